package dashboard

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// sampledPreviews is of how many events of a bulk replay the rows are shown, and
// sampleTime how long they may take together.
const (
	sampledPreviews = 5
	sampleTime      = 3 * time.Second
)

// hidePersonal masks what a preview shows, as the pages mask everything else.
func hidePersonal(m *show.Masker, plan []hook.PlannedJob) []hook.PlannedJob {
	mask := func(s *string) {
		if s != nil {
			*s, _ = m.Mask(*s)
		}
	}
	for _, job := range plan {
		if job.Preview == nil {
			continue
		}
		mask(&job.Preview.Text)
		for i := range job.Preview.Rows {
			row := &job.Preview.Rows[i]
			mask(&row.Key)
			for _, c := range row.Columns {
				mask(c.Old)
				mask(c.New)
			}
		}
	}
	return plan
}

// plan is what a replay would queue, and where it can be told what would change.
func (p *Pages) plan(ctx context.Context, id string, order hook.Replay) ([]hook.PlannedJob, error) {
	if p.previews == nil {
		return p.planner.PlanReplay(ctx, id, order)
	}
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	plan, err := p.previews.PlanReplay(ctx, id, order)
	return hidePersonal(p.masker, plan), err
}

// sampled is an event of a bulk replay with what would change for it.
type sampled struct {
	*hook.EventInfo
	Plan    []hook.PlannedJob
	Refused string
	Left    bool // there was no time for it
}

// sample plans the first events of a bulk replay, for as long as there is time.
func (p *Pages) sample(ctx context.Context, o hook.BulkOrder, events []*hook.EventInfo) []sampled {
	if p.previews == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	var all []sampled
	for _, e := range events[:min(len(events), sampledPreviews)] {
		one := sampled{EventInfo: e}
		handlers := handlersOf(o, e)
		switch plan, err := p.previews.PlanReplay(ctx, e.ID, hook.Replay{Handlers: handlers}); {
		case ctx.Err() != nil:
			one.Left = true
		case err != nil:
			one.Refused = err.Error()
		default:
			one.Plan = hidePersonal(p.masker, plan)
		}
		all = append(all, one)
	}
	return all
}

// handlersOf are those that a bulk replay would queue the event for; none stands
// for all that want it.
func handlersOf(o hook.BulkOrder, e *hook.EventInfo) []string {
	if !o.OnlyDead {
		return o.Handlers
	}
	var dead []string
	for _, j := range e.Jobs {
		if j.State == hook.StateDead && (len(o.Handlers) == 0 || o.Handlers[0] == j.Handler) {
			dead = append(dead, j.Handler)
		}
	}
	return dead
}
