package hooktest

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// plans: what a plan says is what a replay then does. A store that is no
// hook.Planner passes.
func plans() map[string]func(*bench) {
	return withRole("this store makes no plans", map[string]func(*bench, hook.Planner){
		"APlanIsWhatTheReplayDoes":    planHolds,
		"APlanRefusesWhatAReplayDoes": planRefuses,
	})
}

func planHolds(b *bench, p hook.Planner) {
	done := b.record(event{key: "done", kind: "other.thing"}).EventID // wanted by h and g, queued for h
	b.finish(b.one("h", "done"))
	dead := b.record(event{key: "dead"}).EventID
	b.bury(b.one("h", "dead"))
	fresh := b.record(event{key: "fresh", handlers: []string{}}).EventID
	for _, c := range []struct {
		id       string
		handlers []string
		want     []hook.PlannedJob
	}{
		{done, nil, []hook.PlannedJob{{Handler: "g", Generation: 1}, {Handler: "h", Generation: 2, Was: hook.StateDone}}},
		{dead, []string{"h"}, []hook.PlannedJob{{Handler: "h", Generation: 2, Was: hook.StateDead}}},
		{fresh, nil, []hook.PlannedJob{{Handler: "h", Generation: 1}}},
	} {
		order := hook.Replay{Handlers: c.handlers, Reason: "x", Actor: "me"}
		before := b.detail(c.id)
		got, err := p.PlanReplay(b.Context(), c.id, order)
		if err != nil {
			b.Fatalf("plan %s: %v", c.id, err)
		}
		slices.SortFunc(got, func(x, y hook.PlannedJob) int { return strings.Compare(x.Handler, y.Handler) })
		if diff := cmp.Diff(c.want, got); diff != "" {
			b.Errorf("plan of %s (-want +got):\n%s", before.Key, diff)
		}
		if diff := cmp.Diff(before, b.detail(c.id)); diff != "" {
			b.Errorf("the plan of %s changed it:\n%s", before.Key, diff)
		}
		jobs, err := b.store.Replay(b.Context(), c.id, order)
		if err != nil || jobs != len(c.want) {
			b.Errorf("replay %s: %d jobs, %v, want %d", before.Key, jobs, err, len(c.want))
		}
		for _, want := range c.want {
			if !slices.ContainsFunc(b.detail(c.id).Jobs, func(j hook.JobInfo) bool {
				return j.Handler == want.Handler && j.Generation == want.Generation && j.State == hook.StateReady
			}) {
				b.Errorf("after the replay %s has no ready job %+v", before.Key, want)
			}
		}
	}
}

func planRefuses(b *bench, p hook.Planner) {
	open := b.record(event{key: "open"}).EventID
	for _, c := range []struct {
		name, id string
		handlers []string
		want     error
	}{
		{"open jobs", open, nil, hook.ErrRefused},
		{"an unknown handler", open, []string{"nobody"}, hook.ErrRefused},
		{"an unknown event", "ev_nope", nil, hook.ErrNotFound},
	} {
		_, planned := p.PlanReplay(b.Context(), c.id, hook.Replay{Handlers: c.handlers})
		_, done := b.store.Replay(b.Context(), c.id, hook.Replay{Handlers: c.handlers, Reason: "x", Actor: "me"})
		if !errors.Is(planned, c.want) || !errors.Is(done, c.want) {
			b.Errorf("%s: planned %v, done %v, want %v of both", c.name, planned, done, c.want)
		}
	}
}
