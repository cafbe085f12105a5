package hooktest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// feeds: the log can be read forwards from a durable cursor. A store that is no
// hook.Feeder passes.
func feeds() map[string]func(*bench) {
	return withRole("this store has no feeds", map[string]func(*bench, hook.Feeder){
		"FeedBeginsAtTheNewestEvent":         feedBegins,
		"FeedBeginsAtATime":                  feedSince,
		"FeedGivesTheSameUntilAdvanced":      feedRepeats,
		"FeedIsWholeAndInOrder":              feedWhole,
		"FeedsDoNotMoveEachOther":            feedNames,
		"WhatAFeedLeavesOutCountsAsSeen":     feedFilter,
		"BadFeedsAreRefused":                 feedBad,
		"LargeBodiesComeInSmallerPortions":   feedLarge,
		"AFeedBesideWritersMissesNothing":    feedBeside,
		"ACursorNeverGoesBack":               feedNeverBack,
		"QuarantinedAndHintedEventsAreFed":   feedEverything,
		"AFeedPassesALongStretchForGood":     feedStretch,
		"AnEventWithoutItsBodyIsFedAsPruned": feedPruned,
	})
}

// fed asks for at most n events and returns their keys.
func fed(b *bench, feeder hook.Feeder, name string, f hook.Filter, n int) (keys []string, last string) {
	b.Helper()
	events, err := feeder.Feed(b.Context(), name, f, n)
	if err != nil {
		b.Fatalf("feed %s: %v", name, err)
	}
	for _, e := range events {
		keys, last = append(keys, e.Key), e.ID
	}
	return keys, last
}

func wantFed(b *bench, feeder hook.Feeder, name string, f hook.Filter, n int, want ...string) (last string) {
	b.Helper()
	got, last := fed(b, feeder, name, f, n)
	if !slices.Equal(got, want) {
		b.Errorf("feed %s: got %v, want %v", name, got, want)
	}
	return last
}

func advance(b *bench, feeder hook.Feeder, name, id string) {
	b.Helper()
	if err := feeder.Advance(b.Context(), name, id); err != nil {
		b.Fatalf("advance %s: %v", name, err)
	}
}

func feedBegins(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "empty", hook.Filter{}, 0)
	b.record(event{key: "old"})
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	b.record(event{key: "new"})
	wantFed(b, feeder, "app", hook.Filter{}, 0, "new")
	wantFed(b, feeder, "empty", hook.Filter{}, 0, "old", "new")
}

func feedSince(b *bench, feeder hook.Feeder) {
	b.record(event{key: "a"})
	b.clock.Advance(time.Hour)
	at := b.clock.Now()
	b.record(event{key: "b"})
	b.clock.Advance(time.Hour)
	b.record(event{key: "c"})
	wantFed(b, feeder, "app", hook.Filter{Since: at}, 0, "b", "c")
	wantFed(b, feeder, "all", hook.Filter{Since: at.Add(-24 * time.Hour)}, 0, "a", "b", "c")
	wantFed(b, feeder, "none", hook.Filter{Since: at.Add(24 * time.Hour)}, 0)
	// A known name goes on where it stopped.
	wantFed(b, feeder, "app", hook.Filter{Since: b.clock.Now()}, 0, "b", "c")
}

func feedRepeats(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	for i := range 5 {
		b.record(event{key: key(i)})
	}
	wantFed(b, feeder, "app", hook.Filter{}, 2, key(0), key(1))
	last := wantFed(b, feeder, "app", hook.Filter{}, 2, key(0), key(1))
	advance(b, feeder, "app", last)
	advance(b, feeder, "app", last)
	last = wantFed(b, feeder, "app", hook.Filter{}, 0, key(2), key(3), key(4))
	advance(b, feeder, "app", last)
	wantFed(b, feeder, "app", hook.Filter{}, 0)
}

func feedWhole(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	r := b.record(event{key: "a", kind: "invoice.paid", subject: "sub_1", mode: "live", body: "exact\x00\xff bytes\n"})
	events, err := feeder.Feed(b.Context(), "app", hook.Filter{}, 1)
	if err != nil || len(events) != 1 {
		b.Fatalf("feed: %d events, %v", len(events), err)
	}
	e := events[0]
	if e.ID != r.EventID || e.Source != "shop" || e.Mode != "live" || e.Trust != hook.TrustSignature ||
		e.Key != "a" || e.Type != "invoice.paid" || e.Subject != "sub_1" || string(e.Body) != "exact\x00\xff bytes\n" ||
		e.Headers["X-Test"][0] != "a" || e.SHA256 != sum(string(e.Body)) {
		b.Errorf("fed %+v with body %q", e.EventInfo, e.Body)
	}
}

func feedNames(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "one", hook.Filter{}, 0)
	wantFed(b, feeder, "two", hook.Filter{}, 0)
	b.record(event{key: "a"})
	advance(b, feeder, "one", wantFed(b, feeder, "one", hook.Filter{}, 0, "a"))
	b.record(event{key: "b"})
	wantFed(b, feeder, "one", hook.Filter{}, 0, "b")
	wantFed(b, feeder, "two", hook.Filter{}, 0, "a", "b")
}

func feedFilter(b *bench, feeder hook.Feeder) {
	f := hook.Filter{Source: "shop", Type: "invoice.*"}
	wantFed(b, feeder, "app", f, 0)
	b.record(event{key: "a", kind: "charge.failed"})
	b.record(event{key: "b", kind: "invoice.paid"})
	b.record(event{key: "c", kind: "invoice.paid", source: "other"})
	b.record(event{key: "d", kind: "invoice.sent"})
	wantFed(b, feeder, "app", f, 0, "b", "d")
	wantFed(b, feeder, "app", hook.Filter{Source: "' OR 1=1 --"}, 0)
	advance(b, feeder, "app", wantFed(b, feeder, "app", f, 1, "b"))
	wantFed(b, feeder, "app", hook.Filter{}, 0, "c", "d")
}

func feedBad(b *bench, feeder hook.Feeder) {
	for _, name := range []string{"", "A", "a b", "a/b", "' OR 1=1 --", strings.Repeat("a", 65)} {
		_, err := feeder.Feed(b.Context(), name, hook.Filter{}, 0)
		b.wantErr(err, hook.ErrBadFilter, "feed "+name)
	}
	r := b.record(event{key: "a"})
	b.wantErr(feeder.Advance(b.Context(), "never-read", r.EventID), hook.ErrNotFound, "advance an unknown feed")
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	b.wantErr(feeder.Advance(b.Context(), "app", "ev_nonsense"), hook.ErrNotFound, "advance to nonsense")
	// The id that the next event will have must not be reachable yet.
	next := r.EventID[:len(r.EventID)-2] + "vu"
	b.wantErr(feeder.Advance(b.Context(), "app", next), hook.ErrNotFound, "advance to the future")
	b.record(event{key: "b"})
	wantFed(b, feeder, "app", hook.Filter{}, 0, "b")
}

func feedLarge(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	const n = 6
	for i := range n {
		b.record(event{key: key(i), body: strings.Repeat(fmt.Sprint(i), 1<<20)})
	}
	var got []string
	for rounds := 0; len(got) < n; rounds++ {
		keys, last := fed(b, feeder, "app", hook.Filter{}, 0)
		if len(keys) == 0 || len(keys) == n || rounds > n {
			b.Fatalf("portion of %d after %d events", len(keys), len(got))
		}
		got = append(got, keys...)
		advance(b, feeder, "app", last)
	}
	for i, k := range got {
		if k != key(i) {
			b.Errorf("position %d: got %s", i, k)
		}
	}
}

func feedBeside(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	const writers, each = 4, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := b.tryRecord(b.Context(), event{key: fmt.Sprintf("%d-%d", w, i)}); err != nil {
					b.Errorf("record: %v", err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { all.Wait(); close(written) }()
	seen := map[string]int{}
	for done := false; ; {
		keys, last := fed(b, feeder, "app", hook.Filter{}, 7)
		for _, k := range keys {
			seen[k]++
		}
		if len(keys) > 0 {
			advance(b, feeder, "app", last)
			continue
		}
		if done {
			break
		}
		select {
		case <-written:
			done = true // one more look
		default:
		}
	}
	if len(seen) != writers*each {
		b.Errorf("fed %d events, want %d", len(seen), writers*each)
	}
	for k, n := range seen {
		if n != 1 {
			b.Errorf("%s was fed %d times", k, n)
		}
	}
}

func feedNeverBack(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	first := b.record(event{key: "a"})
	second := b.record(event{key: "b"})
	b.record(event{key: "c"})
	advance(b, feeder, "app", second.EventID)
	advance(b, feeder, "app", first.EventID)
	wantFed(b, feeder, "app", hook.Filter{}, 0, "c")
}

func feedEverything(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	b.record(event{key: "q", q: hook.QuarantineMode})
	b.record(event{key: "h", trust: hook.TrustHint})
	events, err := feeder.Feed(b.Context(), "app", hook.Filter{}, 0)
	if err != nil || len(events) != 2 {
		b.Fatalf("feed: %d events, %v", len(events), err)
	}
	if q := events[0].Quarantine; q == nil || *q != string(hook.QuarantineMode) || events[1].Trust != hook.TrustHint {
		b.Errorf("fed %+v and %+v", events[0].EventInfo, events[1].EventInfo)
	}
}

func feedStretch(b *bench, feeder hook.Feeder) {
	wanted := hook.Filter{Type: "invoice.*"}
	wantFed(b, feeder, "app", wanted, 0)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 150 {
				if _, err := b.tryRecord(b.Context(), event{key: fmt.Sprintf("%d-%d", w, i)}); err != nil {
					b.Errorf("record: %v", err)
				}
			}
		})
	}
	all.Wait()
	wantFed(b, feeder, "app", wanted, 0)
	if keys, _ := fed(b, feeder, "app", hook.Filter{}, 0); len(keys) != 0 {
		b.Errorf("%d events that the filter left out are given again", len(keys))
	}
	b.record(event{key: "late", kind: "invoice.paid"})
	wantFed(b, feeder, "app", wanted, 0, "late")
}

func feedPruned(b *bench, feeder hook.Feeder) {
	wantFed(b, feeder, "app", hook.Filter{}, 0)
	b.record(event{key: "a"})
	b.finish(b.one("h", "a"))
	b.clock.Advance(48 * time.Hour)
	if _, err := b.store.Sweep(b.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: time.Hour}}}); err != nil {
		b.Fatal(err)
	}
	events, err := feeder.Feed(b.Context(), "app", hook.Filter{}, 0)
	if err != nil || len(events) != 1 || !events[0].BodyGone || events[0].Body != nil {
		b.Errorf("fed %v, %v; want one event without its body", events, err)
	}
}
