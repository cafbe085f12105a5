package sqlstore

import (
	"context"
	"fmt"
	"strings"

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

// loadRoutes reads the routes that the last server wrote, so that a replay knows
// who wants an event although no handler runs in this process.
func (c *Core) loadRoutes(ctx context.Context, tx Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT name, source, types, trust, max_attempts FROM routes ORDER BY name`)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	defer rows.Close()
	var routes []hook.Route
	for rows.Next() {
		var r hook.Route
		var trust string
		if err := rows.Scan(&r.Name, &r.Source, &r.Types, &trust, &r.MaxAttempts); err != nil {
			return fmt.Errorf("read routes: %w", err)
		}
		for t := range strings.SplitSeq(trust, ",") {
			if t != "" {
				r.Trust = append(r.Trust, hook.Trust(t))
			}
		}
		routes = append(routes, r)
	}
	c.UseRoutes(routes)
	return rows.Err()
}
