package hooktest

import (
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ledger: everything that happened can be listed and counted.
func ledger() map[string]func(*bench) {
	return map[string]func(*bench){
		"EventStateIsTheWorstOfItsJobs": worstState,
		"FiltersSelect":                 filters,
		"SearchesFindWhatAWalkWould":    searches,
		"PagesCoverEverythingOnce":      pages,
		"BadFiltersAreRefused":          badFilters,
		"CountsAddUp":                   counts,
		"AnHourBeginsWithADuplicate":    hourOfDuplicates,
		"AttemptsKeepTheirCause":        attemptsCause,
	}
}

func worstState(b *bench) {
	r := b.record(event{key: "a", handlers: []string{"h", "g"}})
	steps := []struct {
		do   func()
		want hook.State
	}{
		{func() {}, hook.StateReady},
		{func() { b.finish(b.one("h", "a")) }, hook.StateReady},
		{func() { b.retry(b.one("g", "a"), time.Hour, true) }, hook.StateWaiting},
		{func() { b.clock.Advance(time.Hour); b.retry(b.one("g", "a"), time.Hour, false) }, hook.StateRetrying},
		{func() { b.clock.Advance(time.Hour); b.bury(b.one("g", "a")) }, hook.StateDead},
		{func() { _ = b.store.Discard(b.Context(), r.EventID, "g", "me", "x") }, hook.StateDiscarded},
	}
	for _, s := range steps {
		s.do()
		b.wantState(r.EventID, s.want)
		for _, state := range hook.Worst {
			want := 0
			if state == s.want {
				want = 1
			}
			if got := len(b.list(hook.Filter{State: state})); got != want {
				b.Errorf("an event in state %s is listed %d times under %s", s.want, got, state)
			}
		}
	}
}

func filters(b *bench) {
	b.record(event{key: "a", kind: "invoice.paid", subject: "sub_1"})
	b.clock.Advance(time.Minute)
	middle := b.clock.Now()
	b.record(event{key: "b", kind: "invoice.payment_failed", subject: "sub_2", source: "other"})
	b.clock.Advance(time.Minute)
	b.record(event{key: "c", kind: "Invoice.x[y]?", subject: "sub_1"})
	for _, c := range []struct {
		name string
		f    hook.Filter
		want []string
	}{
		{"source", hook.Filter{Source: "other"}, []string{"b"}},
		{"glob", hook.Filter{Type: "invoice.*"}, []string{"b", "a"}},
		{"glob or", hook.Filter{Type: "invoice.paid, Invoice*"}, []string{"c", "a"}},
		{"glob is literal else", hook.Filter{Type: "Invoice.x[y]?"}, []string{"c"}},
		{"no wildcard but *", hook.Filter{Type: "invoice_paid"}, nil},
		{"subject", hook.Filter{Subject: "sub_1"}, []string{"c", "a"}},
		{"key", hook.Filter{Key: "b"}, []string{"b"}},
		{"since", hook.Filter{Since: middle}, []string{"c", "b"}},
		{"until", hook.Filter{Until: middle}, []string{"a"}},
		{"injection", hook.Filter{Subject: "' OR 1=1 --"}, nil},
	} {
		var got []string
		for _, e := range b.list(c.f) {
			got = append(got, e.Key)
		}
		if !slices.Equal(got, c.want) {
			b.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func pages(b *bench) {
	const n = 57
	for i := range n {
		b.record(event{key: key(i)})
	}
	var got []string
	f := hook.Filter{Limit: 10}
	for {
		page, next, err := b.store.Events(b.Context(), f)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range page {
			got = append(got, e.Key)
		}
		b.record(event{key: "while reading " + f.Cursor}) // newer ones do not shift the pages
		if f.Cursor = next; next == "" {
			break
		}
	}
	if len(got) != n {
		b.Fatalf("got %d events, want %d", len(got), n)
	}
	for i, k := range got {
		if want := key(n - 1 - i); k != want {
			b.Fatalf("position %d: got %s, want %s", i, k, want)
		}
	}
}

func badFilters(b *bench) {
	for _, f := range []hook.Filter{{Cursor: "x"}, {Cursor: "czE6eHh4"}, {Cursor: "czE6LTE"}, {State: "great"}, {State: "' OR 1=1"}} {
		_, _, err := b.store.Events(b.Context(), f)
		b.wantErr(err, hook.ErrBadFilter, "filter")
	}
	_, err := b.store.Event(b.Context(), "ev_nonsense")
	b.wantErr(err, hook.ErrNotFound, "event")
}

func counts(b *bench) {
	b.record(event{key: "a", handlers: []string{"h", "g"}})
	b.clock.Advance(time.Minute)
	b.record(event{key: "b"})
	b.bury(b.one("g", "a"))
	b.finish(b.claim("h", 1)[0])
	n, err := b.store.Counts(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if n.Events != 2 || n.Jobs["g"][hook.StateDead] != 1 || n.Jobs["h"][hook.StateReady] != 1 || len(n.Jobs["h"]) != 1 {
		b.Errorf("counts: %+v", n)
	}
	if at := n.LastEvent["shop"]; !at.Equal(b.clock.Now()) {
		b.Errorf("last event: %s, want %s", at, b.clock.Now())
	}
	if at := n.OldestJob["h"]; !at.Equal(b.clock.Now()) {
		b.Errorf("oldest open job: %s, want that of b", at)
	}
}

func attemptsCause(b *bench) {
	r := b.record(event{key: "a"})
	b.retry(b.one("h", "a"), 0, false)
	b.retry(b.one("h", "a"), 0, true)
	b.clock.Advance(time.Second)
	b.bury(b.one("h", "a"))
	var got []string
	for _, a := range b.detail(r.EventID).Attempts {
		got = append(got, a.Outcome+": "+*a.Error)
	}
	if want := []string{"retrying: because", "waiting: because", "dead: hopeless"}; !slices.Equal(got, want) {
		b.Errorf("attempts: got %q, want %q", got, want)
	}
}
