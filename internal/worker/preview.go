package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of a preview.
const (
	previewTurn  = time.Second     // for another preview to end
	previewLimit = 5 * time.Second // for one handler; then its context ends
	previewGrace = 200 * time.Millisecond
)

// Previews plans replays and says what each planned job would change: it runs the
// handlers of routes that declare it without consequences. One preview runs at a
// time: on SQLite it holds the writer. It is safe for concurrent use.
type Previews struct {
	planner hook.Planner
	ledger  hook.Ledger
	store   hook.Previewer // nil: this store shows no rows
	routes  []hook.Route
	turn    chan struct{} // holds the turn
}

// NewPreviews returns one for a store and the routes of this node; nil if the
// store makes no plans.
func NewPreviews(store hook.Ledger, routes []hook.Route) *Previews {
	planner, ok := store.(hook.Planner)
	if !ok {
		return nil
	}
	p := &Previews{planner: planner, ledger: store, routes: routes, turn: make(chan struct{}, 1)}
	p.store, _ = store.(hook.Previewer)
	return p
}

// PlanReplay implements hook.Planner, with a Preview in every planned job. It
// refuses what the store's plan refuses, and nothing more: what cannot be
// previewed says so. Nothing is changed, inside or outside.
func (p *Previews) PlanReplay(ctx context.Context, id string, r hook.Replay) ([]hook.PlannedJob, error) {
	plan, err := p.planner.PlanReplay(ctx, id, r)
	if err != nil {
		return nil, err
	}
	var e *hook.EventDetail
	for i := range plan {
		route := p.route(plan[i].Handler)
		if why := p.cannot(route); why != "" {
			plan[i].Preview = none(why)
			continue
		}
		if e == nil {
			if e, err = p.ledger.Event(ctx, id); err != nil {
				return nil, err
			}
		}
		plan[i].Preview = p.one(ctx, route, e, plan[i].Generation)
	}
	return plan, nil
}

func (p *Previews) route(handler string) *hook.Route {
	i := slices.IndexFunc(p.routes, func(r hook.Route) bool { return r.Name == handler })
	if i < 0 {
		return nil
	}
	return &p.routes[i]
}

func (p *Previews) cannot(route *hook.Route) string {
	switch {
	case route == nil || route.Handler == nil:
		return "cannot be previewed: this node does not work the handler"
	case route.Preview == nil:
		return "cannot be previewed: its route does not declare it"
	case p.store == nil:
		return "cannot be previewed: this store shows no rows"
	}
	return ""
}

func none(why string) *hook.JobPreview { return previewed(hook.PreviewNone, why, hook.RowChanges{}) }

func previewed(ending, text string, rows hook.RowChanges) *hook.JobPreview {
	if rows.Rows == nil {
		rows.Rows = []hook.RowChange{}
	}
	return &hook.JobPreview{Ending: ending, Text: text, RowChanges: rows}
}

// one runs a handler and then its effect, and gives the turn back.
func (p *Previews) one(ctx context.Context, route *hook.Route, e *hook.EventDetail, generation int) *hook.JobPreview {
	if e.BodyGone {
		return none("cannot be previewed: the body is no longer kept")
	}
	wait := time.NewTimer(previewTurn)
	defer wait.Stop()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-wait.C:
		return none("not previewed: another preview is running, try again in a moment")
	case <-ctx.Done():
		return none("not previewed: there was no time for it")
	}
	job := &hook.Job{Event: eventOf(e), Handler: route.Name, Generation: generation, Attempt: 1, FirstAt: time.Now()}
	effect, err := handlePreview(ctx, route, job)
	var rows hook.RowChanges
	if err == nil && effect != nil {
		rows, err = p.store.PreviewEffect(ctx, *route.Preview, effect)
	}
	if outward, ok := errors.AsType[*hook.OutwardError](err); ok {
		return previewed(hook.PreviewOutward, outward.Error(), rows)
	}
	if err != nil {
		return previewed(hook.PreviewFails, firstLine(err), rows)
	}
	return previewed(hook.PreviewRows, "", rows)
}

// handlePreview runs the handler in a goroutine of its own: one that ignores the
// end of its context is left behind, and can do nothing but ask.
func handlePreview(ctx context.Context, route *hook.Route, job *hook.Job) (hook.Effect, error) {
	ctx, cancel := context.WithTimeout(hook.WithJob(hook.WithPreview(ctx), job), previewLimit)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- result{err: fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())}
			}
		}()
		effect, err := route.Handler.Handle(ctx, job.Event)
		done <- result{effect, err}
	}()
	select {
	case r := <-done:
		return r.effect, r.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(previewGrace)
	defer grace.Stop()
	select {
	case r := <-done:
		return r.effect, r.err
	case <-grace.C:
		return nil, fmt.Errorf("the handler did not end in time: %w", context.Cause(ctx))
	}
}

// eventOf is the event as the queue lends it.
func eventOf(d *hook.EventDetail) *hook.Event {
	e := &hook.Event{
		ID: d.ID, Source: d.Source, Mode: d.Mode, Trust: d.Trust, Key: d.Key, Type: d.Type, Subject: d.Subject,
		Header: http.Header(d.Headers), Body: d.Body, RecordedAt: d.ReceivedAt,
	}
	if d.OccurredAt != nil {
		e.OccurredAt = *d.OccurredAt
	}
	return e
}
