package hooktest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// neighbours: nodes that share a store know of each other's routes, and no event
// lacks a job because a receiver did not know a route yet. A store that is no
// hook.NodeKeeper passes.
func neighbours() map[string]func(*bench) {
	return withRole("this store knows of no nodes", map[string]func(*bench, hook.NodeKeeper){
		"NodesAreSeenWhileTheyBeat":         nodesSeen,
		"RoutesComeBackAsTheyWereSet":       routesKept,
		"ANewRouteGetsWhatWasRecordedSince": newRouteFilled,
		"AChangedRouteGetsWhatItWantsNow":   changedRouteFilled,
	})
}

func nodesSeen(b *bench, keeper hook.NodeKeeper) {
	started := b.clock.Now()
	beat := func(name string, roles ...string) {
		b.Helper()
		if err := keeper.Beat(b.Context(), hook.NodeInfo{Name: name, Roles: roles, Handlers: []string{"h"}, StartedAt: started}); err != nil {
			b.Fatal(err)
		}
	}
	seen := func() []hook.NodeInfo {
		b.Helper()
		nodes, err := keeper.Nodes(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return nodes
	}
	beat("two", "receive", "work")
	beat("one")
	b.clock.Advance(20 * time.Hour)
	beat("one", "operate")
	want := []hook.NodeInfo{{Name: "one", Roles: []string{"operate"}, StartedAt: started, SeenAt: b.clock.Now()},
		{Name: "two", Roles: []string{"receive", "work"}, StartedAt: started, SeenAt: started}}
	if diff := cmp.Diff(want, seen()); diff != "" {
		b.Errorf("nodes (-want +got):\n%s", diff)
	}
	b.clock.Advance(5 * time.Hour)
	if diff := cmp.Diff(want[:1], seen()); diff != "" {
		b.Errorf("nodes a day later (-want +got):\n%s", diff)
	}
}

func routesKept(b *bench, keeper hook.NodeKeeper) {
	set := []hook.Route{
		{Name: "a", Source: "shop", Types: "x.*,y", MaxAttempts: 3, Trust: []hook.Trust{hook.TrustSignature, hook.TrustHint}},
		{Name: "b", Events: []string{"shop:x.*", "other:y"}},
	}
	if err := b.store.SetRoutes(b.Context(), set); err != nil {
		b.Fatal(err)
	}
	got, err := keeper.Routes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(r hook.Route) bool { return r.Name == "h" || r.Name == "g" }) // of the other node, if there are others
	if diff := cmp.Diff(set, got); diff != "" {
		b.Errorf("routes (-want +got):\n%s", diff)
	}
}

// filled sweeps and gives the keys of what the handler may then claim.
func filled(b *bench, handler string) (keys []string) {
	b.Helper()
	if _, err := b.store.Sweep(b.Context(), hook.SweepRules{}); err != nil {
		b.Fatal(err)
	}
	for _, j := range b.claim(handler, 100) {
		keys = append(keys, j.Event.Key)
		b.finish(j)
	}
	return keys
}

func newRouteFilled(b *bench, _ hook.NodeKeeper) {
	b.clock.Advance(time.Hour)
	b.record(event{key: "before"})
	b.clock.Advance(time.Hour)
	routes := []hook.Route{{Name: "h"}, {Name: "late", Types: "thing.*"}}
	if err := b.store.SetRoutes(b.Context(), routes); err != nil {
		b.Fatal(err)
	}
	b.record(event{key: "lacks it"}) // by a node that has not heard of the route
	b.record(event{key: "other type", kind: "other"})
	b.record(event{key: "quarantined", q: hook.QuarantineMode})
	b.clock.Advance(time.Second)
	b.record(event{key: "has it", handlers: []string{"h", "late"}})
	b.record(event{key: "lacks it too", subject: "s"})
	if got := filled(b, "late"); !slices.Equal(got, []string{"has it"}) {
		b.Errorf("at once: %q", got)
	}
	b.clock.Advance(time.Minute)
	b.record(event{key: "after", handlers: []string{"h", "late"}})
	if got := filled(b, "late"); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"after", "lacks it", "lacks it too"}) {
		b.Errorf("a minute later: %q", got)
	}
	if err := b.store.SetRoutes(b.Context(), routes); err != nil { // another start
		b.Fatal(err)
	}
	b.clock.Advance(time.Minute)
	if got := filled(b, "late"); len(got) != 0 {
		b.Errorf("once more: %q", got)
	}
}

func changedRouteFilled(b *bench, _ hook.NodeKeeper) {
	b.clock.Advance(time.Hour)
	if err := b.store.SetRoutes(b.Context(), []hook.Route{{Name: "h"}, {Name: "g", Types: "thing.*"}}); err != nil {
		b.Fatal(err)
	}
	b.record(event{key: "wanted now"})
	b.clock.Advance(time.Minute)
	if got := filled(b, "g"); !slices.Equal(got, []string{"wanted now"}) {
		b.Errorf("got %q", got)
	}
}
