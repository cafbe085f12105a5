package hooktest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// addBulk orders a bulk replay.
func addBulk(b *bench, o operators, order hook.BulkOrder) (id int64) {
	b.Helper()
	id, err := o.AddBulk(b.Context(), order)
	if err != nil {
		b.Fatalf("add: %v", err)
	}
	return id
}

// stepped gets on with bulk replays until none is due, and says how often.
func stepped(b *bench, o operators) int {
	b.Helper()
	for n := 0; n < 1000; n++ {
		busy, err := o.StepBulk(b.Context())
		if err != nil {
			b.Fatalf("step: %v", err)
		}
		if !busy {
			return n
		}
	}
	b.Fatal("it never rests")
	return math.MaxInt
}

func deskBulk(b *bench, o operators) {
	const all = 60
	for i := range all {
		b.record(event{key: fmt.Sprint(i)})
		b.finish(b.one("h", fmt.Sprint(i)))
	}
	open := b.record(event{key: "open"}).EventID
	order := hook.BulkOrder{Filter: hook.Filter{}, Rate: 1000, Reason: "a bug", Actor: "me"}
	n, sample, err := o.CountBulk(b.Context(), order)
	if err != nil || n != all+1 || len(sample) != 5 || sample[0].ID != open {
		b.Fatalf("count: %d, %d shown, %v", n, len(sample), err)
	}
	b.clock.Advance(time.Second)
	id := addBulk(b, o, order)
	b.clock.Advance(time.Second)
	b.record(event{key: "later"})
	for range 10 {
		stepped(b, o)
		b.clock.Advance(time.Second)
	}
	got, err := o.Bulk(b.Context(), id)
	if err != nil || got.State != hook.BulkDone || got.Seen != all+1 || got.Jobs != all || got.Left != 1 || got.Order.Reason != "a bug" {
		b.Fatalf("got %+v, %v, want %d replayed and the open one left out", got, err, all)
	}
	page, _, err := b.store.Events(b.Context(), hook.Filter{Limit: 1000})
	if err != nil {
		b.Fatalf("events: %v", err)
	}
	for _, e := range page {
		want := 2
		if e.Key == "open" || e.Key == "later" {
			want = 1
		}
		if len(e.Jobs) != 1 || e.Jobs[0].Generation != want {
			b.Errorf("%s: jobs %+v, want generation %d", e.Key, e.Jobs, want)
		}
	}
}

func deskBulkRate(b *bench, o operators) {
	for i := range 20 {
		b.record(event{key: fmt.Sprint(i), handlers: []string{}})
	}
	id := addBulk(b, o, hook.BulkOrder{Rate: 4, Reason: "x", Actor: "me"})
	for second := range 3 {
		for range 4 {
			stepped(b, o)
			b.clock.Advance(250 * time.Millisecond)
		}
		if got, err := o.Bulk(b.Context(), id); err != nil || got.Seen != int64(4*(second+1)) {
			b.Errorf("after %d s: %+v, %v", second+1, got, err)
		}
	}
}

func deskBulkSteered(b *bench, o operators) {
	for i := range 10 {
		b.record(event{key: fmt.Sprint(i), handlers: []string{}})
	}
	id := addBulk(b, o, hook.BulkOrder{Rate: 1, Reason: "x", Actor: "me"})
	steer := func(to hook.BulkState) {
		b.Helper()
		for range 2 { // a repeat does nothing
			if err := o.SteerBulk(b.Context(), id, to, "you"); err != nil {
				b.Fatalf("%s: %v", to, err)
			}
		}
	}
	seen := func(want int64, when string) {
		b.Helper()
		b.clock.Advance(time.Second)
		stepped(b, o)
		if got, err := o.Bulk(b.Context(), id); err != nil || got.Seen != want {
			b.Errorf("%s: %+v, %v, want %d seen", when, got, err, want)
		}
	}
	seen(1, "running")
	steer(hook.BulkPaused)
	seen(1, "paused")
	steer(hook.BulkRunning)
	seen(2, "running again")
	steer(hook.BulkCancelled)
	seen(2, "cancelled")
	if err := o.SteerBulk(b.Context(), id, hook.BulkRunning, "you"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("after the end: %v", err)
	}
	if _, err := o.Bulk(b.Context(), id+1); !errors.Is(err, hook.ErrNotFound) {
		b.Errorf("another: %v", err)
	}
	if list, err := o.Bulks(b.Context(), 5); err != nil || len(list) != 1 || list[0].ID != id {
		b.Errorf("list: %+v, %v", list, err)
	}
	if page, _, err := o.Audit(b.Context(), "", 99); err != nil || !strings.HasPrefix(page[0].Action, "bulk_cancel") {
		b.Errorf("audited: %+v, %v", page, err)
	}
}

func deskBulkDead(b *bench, o operators) {
	for i := range 3 {
		buryAs(b, fmt.Sprint("mail", i), fmt.Sprintf("smtp 550 order_%d000", i))
	}
	other := buryAs(b, "dial", "dial tcp: timeout")
	id := addBulk(b, o, hook.BulkOrder{OnlyDead: true, Cause: hook.CauseKey("smtp 550 order_9999"),
		Handlers: []string{"h"}, Rate: 1000, Reason: "x", Actor: "me"})
	stepped(b, o)
	for _, j := range b.claim("h", 9) { // they die again: that does not begin anew
		if err := b.store.Bury(b.Context(), j, hook.Cause{Text: "smtp 550 order_9999"}); err != nil {
			b.Fatalf("bury again: %v", err)
		}
	}
	for range 5 {
		b.clock.Advance(time.Second)
		stepped(b, o)
	}
	got, err := o.Bulk(b.Context(), id)
	if err != nil || got.State != hook.BulkDone || got.Jobs != 3 || got.Total != 3 {
		b.Errorf("got %+v, %v, want three jobs", got, err)
	}
	if j := b.detail(other).Jobs; len(j) != 1 || j[0].Generation != 1 {
		b.Errorf("the other cause: %+v, want it left alone", j)
	}
}

func deskBulkBad(b *bench, o operators) {
	for _, bad := range []hook.BulkOrder{{Rate: 1, Actor: "me"}, {Rate: 0, Reason: "x"}, {Rate: 1001, Reason: "x"}} {
		if _, err := o.AddBulk(b.Context(), bad); !errors.Is(err, hook.ErrRefused) {
			b.Errorf("%+v: %v, want it refused", bad, err)
		}
	}
	for i := range 17 {
		_, err := o.AddBulk(b.Context(), hook.BulkOrder{Rate: 1, Reason: "x", Actor: "me"})
		if refused := errors.Is(err, hook.ErrRefused); refused != (i == 16) || err != nil && !refused {
			b.Fatalf("order %d: %v", i, err)
		}
	}
	if busy, err := o.StepBulk(b.Context()); err != nil || !busy {
		b.Errorf("step: %v, %v", busy, err)
	}
}

func (b *bench) release(j *hook.Job) {
	b.Helper()
	if err := b.store.Release(b.Context(), j); err != nil {
		b.Fatalf("release %s: %v", j.Event.Key, err)
	}
}

// deskBulkUnreadable: an event that cannot be decrypted holds up no others.
func deskBulkUnreadable(b *bench, o operators) {
	for _, key := range []string{"first", "bad", "last"} {
		b.record(event{key: key})
		b.finish(b.one("h", key))
	}
	headers := func(bytes []byte) {
		b.Helper()
		err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE events SET headers = $1 WHERE seq = (SELECT seq FROM event_keys WHERE key = 'bad')`, bytes)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	headers(append([]byte{1}, make([]byte, 64)...)) // as sealed ones begin
	defer headers([]byte{})
	id := addBulk(b, o, hook.BulkOrder{Rate: 1000, Reason: "x", Actor: "me"})
	stepped(b, o)
	if got, err := o.Bulk(b.Context(), id); err != nil || got.State != hook.BulkDone || got.Jobs != 2 || got.Left != 1 {
		b.Errorf("got %+v, %v, want two replayed and the one left out", got, err)
	}
}

// pairs are the handlers' jobs of all events, by event and handler.
func (b *bench) pairs() map[string]hook.JobInfo {
	b.Helper()
	all := map[string]hook.JobInfo{}
	for _, e := range b.list(hook.Filter{Limit: 1000}) {
		for _, j := range e.Jobs {
			all[e.Key+" "+j.Handler] = j
		}
	}
	return all
}

// deskBulkLines replays everything among jobs of every state, in lines and out of
// them, of one handler and of two. What is over gets its next generation, what is not
// is left alone, and afterwards each line is worked from its earliest job on.
func deskBulkLines(b *bench, o operators) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var held []*hook.Job
	for i := range 150 {
		e := event{key: fmt.Sprintf("%03d", i), subject: []string{"", "s", "t", "u", "v"}[rnd.IntN(5)]}
		switch rnd.IntN(9) {
		case 0, 1, 2:
			e.kind, e.handlers = "other.thing", []string{"h", "g"}
		case 3: // nobody's, until now
			e.kind, e.handlers = "other.thing", []string{}
		}
		b.record(e)
		for _, h := range []string{"h", "g"} {
			for _, j := range b.claim(h, rnd.IntN(3)) {
				switch rnd.IntN(12) { // none waits: that leaves its line
				case 0:
					held = append(held, j)
				case 1, 2, 3:
					b.bury(j)
				case 4:
					b.release(j)
				default:
					b.finish(j)
				}
			}
		}
	}
	before := b.pairs()
	addBulk(b, o, hook.BulkOrder{Rate: 1000, Reason: "x", Actor: "me"})
	for range 20 {
		stepped(b, o)
		b.clock.Advance(100 * time.Millisecond)
	}
	replayed, states := 0, map[hook.State]int{}
	for name, now := range b.pairs() {
		was, there := before[name]
		states[was.State]++
		switch over := !there || was.State.Final(); {
		case !over && now.Generation != was.Generation:
			b.Errorf("%s: %+v, it was not over: %+v", name, now, was)
		case over && (now.State != hook.StateReady || now.Generation != was.Generation+1):
			b.Errorf("%s: %+v, want the next generation of %+v", name, now, was)
		case over:
			replayed++
		}
	}
	for _, s := range []hook.State{hook.StateDone, hook.StateDead, hook.StateReady, hook.StateRunning, ""} {
		if states[s] == 0 {
			b.Errorf("no job was %q before: this shows little", s)
		}
	}
	if list, err := o.Bulks(b.Context(), 1); err != nil || list[0].State != hook.BulkDone || list[0].Jobs != int64(replayed) {
		b.Errorf("got %+v, %v, want %d jobs", list[0], err, replayed)
	}
	behindHeld(b, held)
	inOrder(b)
}

// behindHeld sees that nothing is claimed of a line of which a job runs, and ends
// those that do.
func behindHeld(b *bench, held []*hook.Job) {
	runs := map[string]bool{}
	for _, j := range held {
		runs[j.Handler+" "+j.Event.Subject] = j.Event.Subject != ""
	}
	for _, h := range []string{"h", "g"} {
		for _, j := range b.claim(h, 1000) {
			if runs[h+" "+j.Event.Subject] {
				b.Errorf("%s: %s is claimed beside another job of the line %s", h, j.Event.Key, j.Event.Subject)
			}
			b.release(j)
		}
	}
	for _, j := range held {
		b.finish(j)
	}
}

// inOrder works all that is left one by one, and sees that the jobs of one line come
// in the order of their events.
func inOrder(b *bench) {
	for _, h := range []string{"h", "g"} {
		last := map[string]string{}
		for idle := 0; idle < 10; idle++ {
			b.clock.Advance(time.Hour)
			for jobs := b.claim(h, 1); len(jobs) > 0; jobs = b.claim(h, 1) {
				idle = 0
				e := jobs[0].Event
				if e.Subject != "" && e.Key < last[e.Subject] {
					b.Errorf("%s: %s of the line %s is worked after %s", h, e.Key, e.Subject, last[e.Subject])
				}
				last[e.Subject] = e.Key
				b.finish(jobs[0])
			}
		}
	}
}
