package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// TestPreviewsSayHowTheyEnd: each planned job says what it would change, or why
// that cannot be said, and none of them is worked.
func TestPreviewsSayHowTheyEnd(t *testing.T) {
	t.Parallel()
	writes := func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO consequences (scope, handler, key, seq, generation, at, result)
			VALUES ('s', 'h', 'k', 1, 1, 1, '')`)
		return err
	}
	var seen *hook.Job
	handlers := map[string]hook.HandlerFunc{
		"rows": func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
			if seen = hook.JobOf(ctx); !hook.Previewing(ctx) || string(e.Body) != "k" || e.Type != "t" {
				t.Errorf("the handler sees %+v", e)
			}
			return writes, nil
		},
		"nothing": func(context.Context, *hook.Event) (hook.Effect, error) { return nil, nil },
		"outward": func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
			return writes, hook.Outward(ctx, "call POST /v1/%s", "refunds")
		},
		"fails":   func(context.Context, *hook.Event) (hook.Effect, error) { return nil, errors.New("no such user") },
		"panics":  func(context.Context, *hook.Event) (hook.Effect, error) { panic("at once") },
		"secret":  func(context.Context, *hook.Event) (hook.Effect, error) { t.Error("it was run"); return nil, nil },
		"effects": func(context.Context, *hook.Event) (hook.Effect, error) { return broken, nil },
	}
	var routes []hook.Route
	for name, h := range handlers {
		r := hook.Route{Name: name, Source: "shop", Handler: h, Preview: &hook.Preview{Tables: []string{"consequences"}}}
		if name == "secret" {
			r.Preview = nil
		}
		routes = append(routes, r)
	}
	routes = append(routes, hook.Route{Name: "elsewhere", Source: "shop"})
	s := newShop(t, routes...)
	id := s.record("k") // without jobs
	plan, err := worker.NewPreviews(s.store.Store, routes).PlanReplay(t.Context(), id, hook.Replay{})
	if err != nil || len(plan) != len(routes) {
		t.Fatalf("%d planned, %v", len(plan), err)
	}
	for _, job := range plan {
		p := job.Preview
		want := map[string][2]string{
			"rows": {hook.PreviewRows, ""}, "nothing": {hook.PreviewRows, ""},
			"outward": {hook.PreviewOutward, "would call POST /v1/refunds"}, "fails": {hook.PreviewFails, "no such user"},
			"panics": {hook.PreviewFails, "handler panicked: at once"}, "secret": {hook.PreviewNone, "does not declare it"},
			"effects": {hook.PreviewFails, "on purpose"}, "elsewhere": {hook.PreviewNone, "does not work the handler"},
		}[job.Handler]
		rows := 0
		if job.Handler == "rows" {
			rows = 1
		}
		if p == nil || p.Ending != want[0] || !strings.Contains(p.Text, want[1]) || len(p.Rows) != rows {
			t.Errorf("%s: got %+v, want %q and %d rows", job.Handler, p, want, rows)
		}
	}
	if seen == nil || seen.Generation != 1 || seen.Handler != "rows" {
		t.Errorf("the handler's job is %+v", seen)
	}
	e, err := s.store.Event(t.Context(), id)
	if err != nil || len(e.Jobs) != 0 || len(e.Attempts) != 0 {
		t.Errorf("after the previews: %+v, %v", e, err)
	}
	if _, err := worker.NewPreviews(s.store.Store, routes).PlanReplay(t.Context(), "ev_nope", hook.Replay{}); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("an unknown event: %v", err)
	}
}

func broken(context.Context, hook.Tx) error { return errors.New("broken on purpose") }
