package sqlstore

import (
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// PlanReplay says what Replay would queue; see hook.Planner.
func (c *Core) PlanReplay(ctx context.Context, tx Tx, id string, r hook.Replay) ([]hook.PlannedJob, error) {
	seq, handlers, err := c.replayTargets(ctx, tx, id, r.Handlers)
	if err != nil {
		return nil, err
	}
	var plan []hook.PlannedJob
	for _, h := range handlers {
		was, err := c.newestJob(ctx, tx, seq, h)
		if err != nil {
			return nil, err
		}
		if was.generation > 0 && !was.state.Final() {
			continue
		}
		plan = append(plan, hook.PlannedJob{Handler: h, Generation: was.generation + 1, Was: was.state})
	}
	if len(plan) == 0 {
		return nil, fmt.Errorf("replay %s: its jobs are still open: %w", id, hook.ErrRefused)
	}
	return plan, nil
}
