package hooktest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// lines: per handler and subject one at a time, earliest recorded first; what
// waits blocks nobody.
func lines() map[string]func(*bench) {
	return map[string]func(*bench){
		"OneSubjectGoesInOrder":              subjectInOrder,
		"SubjectsGoInParallel":               subjectsParallel,
		"WaitingBlocksNobody":                waitingBlocksNobody,
		"AnEndWakesTheWaiting":               endWakes,
		"ARetryHoldsItsSubjectForAMinute":    retryHolds,
		"ManyRetriesHoldForAMinuteInAll":     retriesHold,
		"AStrictRouteHoldsForAsLongAsNeeded": strictHolds,
		"WhoComesBackEarlierGoesFirst":       earlierFirst,
		"NeverTwoOfASubjectAtOnce":           neverTwo,
		"DeadAndDiscardedBlockNobody":        deadBlocksNobody,
		"ALongLineHasOneHead":                longLine,
	}
}

func (b *bench) recordLine(subject string, keys ...string) {
	b.Helper()
	for _, k := range keys {
		b.record(event{key: k, subject: subject})
	}
}

func subjectInOrder(b *bench) {
	b.recordLine("s", "a", "b", "c")
	for _, k := range []string{"a", "b", "c"} {
		b.finish(b.one("h", k))
	}
	b.none("h")
}

func subjectsParallel(b *bench) {
	b.recordLine("s", "a", "b")
	b.recordLine("t", "c", "d")
	b.recordLine("", "e", "f")
	b.record(event{key: "g", subject: "s", mode: "test"})
	b.record(event{key: "i", subject: "s", source: "other"})
	var got []string
	for _, j := range b.claim("h", 10) {
		got = append(got, j.Event.Key)
	}
	slices.Sort(got)
	if want := []string{"a", "c", "e", "f", "g", "i"}; !slices.Equal(got, want) {
		b.Errorf("claimed together %v, want %v", got, want)
	}
}

// An invoice that waits for its subscription must not hold it back.
func waitingBlocksNobody(b *bench) {
	b.recordLine("sub", "invoice.paid", "subscription.created")
	b.retry(b.one("h", "invoice.paid"), time.Hour, true)
	b.finish(b.one("h", "subscription.created"))
	b.finish(b.one("h", "invoice.paid"))
}

func endWakes(b *bench) {
	b.record(event{key: "a", subject: "s", handlers: []string{"h"}})
	b.retry(b.one("h", "a"), time.Hour, true)
	b.none("h")
	b.record(event{key: "b", subject: "s", handlers: []string{"g"}})
	b.finish(b.one("g", "b")) // the end of any job of the subject
	b.finish(b.one("h", "a"))
}

func retryHolds(b *bench) {
	b.recordLine("s", "a", "b", "c")
	b.retry(b.one("h", "a"), 5*time.Hour, false)
	b.clock.Advance(59 * time.Second)
	b.none("h")
	b.clock.Advance(time.Second)
	b.finish(b.one("h", "b"))
	b.finish(b.one("h", "c"))
	b.none("h")
	b.clock.Advance(5 * time.Hour)
	b.finish(b.one("h", "a"))
}

func retriesHold(b *bench) {
	b.recordLine("s", "a", "b")
	for range 2 { // at 0 s and at 25 s
		b.retry(b.one("h", "a"), 25*time.Second, false)
		b.none("h")
		b.clock.Advance(25 * time.Second)
	}
	b.retry(b.one("h", "a"), 25*time.Second, false) // until 75 s, but it may hold only until 60 s
	b.clock.Advance(9 * time.Second)
	b.none("h")
	b.clock.Advance(time.Second)
	b.finish(b.one("h", "b"))
	b.clock.Advance(15 * time.Second)
	b.finish(b.one("h", "a"))
}

func strictHolds(b *bench) {
	b.recordLine("s", "a", "b")
	j := b.one("h", "a")
	j.Strict = true
	b.retry(j, 5*time.Hour, false)
	b.clock.Advance(4 * time.Hour)
	b.none("h")
	b.clock.Advance(time.Hour)
	b.finish(b.one("h", "a"))
	b.finish(b.one("h", "b"))
}

func earlierFirst(b *bench) {
	b.recordLine("s", "a", "b", "c")
	b.retry(b.one("h", "a"), 2*time.Minute, false)
	b.clock.Advance(time.Minute)
	running := b.one("h", "b")
	b.clock.Advance(time.Minute) // a is due again, b runs (its lease lapses below, so renew it)
	if _, err := b.store.Extend(b.Context(), []*hook.Job{running}, lease); err != nil {
		b.Fatal(err)
	}
	b.none("h")
	b.finish(running)
	b.finish(b.one("h", "a")) // recorded before c
	b.finish(b.one("h", "c"))
}

func neverTwo(b *bench) {
	b.recordLine("s", "a", "b", "c", "d")
	b.retry(b.one("h", "a"), time.Hour, true)
	b.retry(b.one("h", "b"), 90*time.Second, false)
	b.clock.Advance(time.Minute)
	c := b.one("h", "c")
	b.clock.Advance(time.Hour) // everybody is due; c's lease has lapsed
	for _, j := range b.claim("h", 10) {
		if j.Event.Key != "c" {
			b.Errorf("%s runs beside c", j.Event.Key)
		}
		c = j
	}
	b.finish(c)
	for _, k := range []string{"a", "b", "d"} {
		b.finish(b.one("h", k))
	}
}

func deadBlocksNobody(b *bench) {
	b.recordLine("s", "a", "b", "c")
	b.bury(b.one("h", "a"))
	b.bury(b.one("h", "b"))
	b.finish(b.one("h", "c"))
	id := b.list(hook.Filter{Key: "a"})[0].ID
	b.replay(id)
	b.finish(b.one("h", "a"))
}

func longLine(b *bench) {
	const n = 300
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := b.tryRecord(context.Background(), event{key: key(i), subject: "s"}); err != nil {
				b.Errorf("record: %v", err)
			}
		})
	}
	all.Wait()
	b.record(event{key: "other", subject: "t"})
	if jobs := b.claim("h", 10); len(jobs) != 2 {
		b.Errorf("claimed %d, want the heads of two lines", len(jobs))
	}
}
