package hooktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// searches: whatever a filter combines, its pages are what a walk through the
// whole log would find.
func searches(b *bench) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(all ...string) string { return all[rnd.IntN(len(all))] }
	sources, kinds := []string{"shop", "shop", "shop", "rare", "other"}, []string{"a.x", "a.y", "a.z", "b.x", "b", "A.x"}
	start := b.clock.Now()
	for i := range 240 {
		e := event{source: pick(sources...), mode: pick(hook.ModeLive, hook.ModeTest, ""), key: fmt.Sprint("k", rnd.IntN(120)),
			kind: pick(kinds...), subject: pick("", "s1", "s1", "s2", "s3"), handlers: []string{"h"}, body: fmt.Sprint(i)}
		switch rnd.IntN(8) {
		case 0:
			e.handlers = nil
		case 1:
			e.handlers, e.q = nil, hook.QuarantineUnreadable
		}
		b.record(e)
		b.clock.Advance(time.Duration(rnd.IntN(int(40 * time.Minute))))
	}
	for i, j := range b.claim("h", 60) {
		if i%2 == 0 {
			b.finish(j)
		} else {
			b.bury(j)
		}
	}
	whole := b.list(hook.Filter{Limit: 1000})
	end := b.clock.Now()
	for i := range 100 {
		f := hook.Filter{Limit: 5 + rnd.IntN(60)}
		for n := 1 + rnd.IntN(3); n > 0; n-- {
			switch rnd.IntN(7) {
			case 0:
				f.Source = pick("shop", "rare", "nobody")
			case 1:
				f.Type = pick("a.x", "a.*", "*", "b", "*.x,b", "a.x, A.x", "nothing", "z.*")
			case 2:
				f.Subject = pick("s1", "s3", "s9")
			case 3:
				f.Key = fmt.Sprint("k", rnd.IntN(125))
			case 4:
				f.State = hook.Worst[rnd.IntN(len(hook.Worst))]
			case 5:
				f.Since = start.Add(time.Duration(rnd.Int64N(int64(end.Sub(start)))))
			case 6:
				f.Until = start.Add(time.Duration(rnd.Int64N(int64(end.Sub(start)))))
			}
		}
		var want []string
		for _, e := range whole {
			if selects(f, e) {
				want = append(want, e.ID)
			}
		}
		if diff := cmp.Diff(want, b.pagesOf(f)); diff != "" {
			b.Errorf("%d: %+v (-walk +search):\n%s", i, f, diff)
		}
	}
}

// hourOfDuplicates: an hour whose first delivery is a duplicate balances like any
// other, which is looked at after every case.
func hourOfDuplicates(b *bench) {
	b.record(event{key: "a"})
	b.clock.Advance(time.Hour)
	b.record(event{key: "a"})
	b.record(event{key: "b"})
	for _, j := range b.claim("h", 2) {
		b.finish(j)
	}
}

// pagesOf gives the ids that all pages of a filter hold.
func (b *bench) pagesOf(f hook.Filter) (all []string) {
	b.Helper()
	for {
		page, next, err := b.store.Events(b.Context(), f)
		if err != nil {
			b.Fatalf("list %+v: %v", f, err)
		}
		for _, e := range page {
			all = append(all, e.ID)
		}
		if f.Cursor = next; next == "" || len(all) > 10_000 {
			return all
		}
	}
}

// selects is what a filter means.
func selects(f hook.Filter, e *hook.EventInfo) bool {
	return (f.Source == "" || f.Source == e.Source) && (f.Type == "" || hook.Match(f.Type, e.Type)) &&
		(f.Subject == "" || f.Subject == e.Subject) && (f.Key == "" || f.Key == e.Key) &&
		(f.State == "" || f.State == e.State) && (f.Since.IsZero() || !e.ReceivedAt.Before(f.Since)) &&
		(f.Until.IsZero() || e.ReceivedAt.Before(f.Until)) && slices.Contains(hook.Worst[:], e.State)
}
