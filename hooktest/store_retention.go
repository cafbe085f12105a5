package hooktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const day = 24 * time.Hour

// custodian is all that a store can do about what it keeps.
type custodian interface {
	hook.HoldKeeper
	hook.ErasureKeeper
	hook.Desk
}

// custody: what is removed, when, and what never is. A store that keeps no holds
// passes the cases that are about them.
func custody() map[string]func(*bench) {
	out := withRole("this store keeps no holds", map[string]func(*bench, custodian){
		"AHoldKeepsWhatRetentionWouldRemove": holdKeeps,
		"AHoldSaysWhatItHolds":               holdBad,
		"AnErasureLeavesKeyAndHistory":       erased,
		"AnErasureFindsWhereverItStands":     erasedAnywhere,
		"AnErasureWaitsForWorkAndHolds":      erasedLater,
		"AnErasureGoesOnWhereItWas":          erasedInSteps,
		"AnErasureIsRefusedWhereAHoldIs":     erasedHeld,
		"ALookErasesNothing":                 erasedLook,
		"AnErasureOfNothingIsDone":           erasedNothing,
	})
	maps.Copy(out, map[string]func(*bench){
		"PruneSparesOpenWork":               pruneSparesOpenWork,
		"EachSourceHasItsOwnRules":          rulesOfSources,
		"AttemptsGoAndTheEndStays":          attemptsGo,
		"ForgottenKeysLeaveTheLedgerInTune": keysGo,
		"OldNotesOnRejectionsGo":            notesGo,
	})
	for name, f := range out {
		out[name] = func(b *bench) {
			b.clock.Advance(time.Hour) // the routes are new no longer: nothing is filled in
			f(b)
		}
	}
	return out
}

// enforce applies rules once.
func (b *bench) enforce(r hook.Retention) int {
	b.Helper()
	report, err := b.store.Sweep(b.Context(), hook.SweepRules{Keep: r, Ledger: true})
	if err != nil || report.Imbalance != 0 {
		b.Fatalf("sweep: %+v, %v", report, err)
	}
	return report.Pruned
}

// inState brings one event into a state and gives its id.
func (b *bench) inState(s hook.State, key string) string {
	b.Helper()
	e := event{key: key, body: `{"key":"` + key + `","filler":"` + strings.Repeat("x", 200) + `"}`}
	switch s {
	case hook.StateNoHandler:
		e.handlers = []string{}
	case hook.StateQuarantined:
		e.q = hook.QuarantineMode
	}
	id := b.record(e).EventID
	if s == hook.StateReady || s == hook.StateNoHandler || s == hook.StateQuarantined {
		return id
	}
	var job *hook.Job
	for _, j := range b.claim("h", 100) {
		if j.Event.Key == key {
			job = j
			continue
		}
		if err := b.store.Release(b.Context(), j); err != nil {
			b.Fatal(err)
		}
	}
	if job == nil {
		b.Fatalf("the job of %s was not lent", key)
	}
	switch s {
	case hook.StateRetrying:
		b.retry(job, 1000*day, false)
	case hook.StateWaiting:
		b.retry(job, 1000*day, true)
	case hook.StateDead, hook.StateDiscarded:
		b.bury(job)
	case hook.StateDone:
		b.finish(job)
	}
	if s == hook.StateDiscarded {
		if err := b.store.Discard(b.Context(), id, "h", "tester", "of no use"); err != nil {
			b.Fatal(err)
		}
	}
	return id
}

// Every state of a job at every age: retention removes the bodies of what is over,
// and nothing else.
func pruneSparesOpenWork(b *bench) {
	over := []hook.State{hook.StateDone, hook.StateDiscarded, hook.StateNoHandler}
	needed := []hook.State{hook.StateQuarantined, hook.StateDead, hook.StateWaiting, hook.StateRetrying, hook.StateReady, hook.StateRunning}
	ids := map[string]string{}
	ages := []time.Duration{0, 5 * day, 9 * day}
	for n, age := range ages {
		for _, s := range slices.Concat(over, needed) {
			key := fmt.Sprint(s, "-", age)
			ids[key] = b.inState(s, key)
		}
		if n+1 < len(ages) {
			b.clock.Advance(ages[n+1] - age)
		}
	}
	b.clock.Advance(3 * day) // they are 12, 7 and 3 days old
	b.enforce(hook.Retention{Keep: hook.Keep{Bodies: 4 * day}})
	for n, age := range ages {
		for _, s := range over {
			if d := b.detail(ids[fmt.Sprint(s, "-", age)]); d.BodyGone != (n < 2) {
				b.Errorf("%s, %d days old: gone %v", s, (12*day-age)/day, d.BodyGone)
			}
		}
		for _, s := range needed {
			if d := b.detail(ids[fmt.Sprint(s, "-", age)]); d.BodyGone {
				b.Errorf("%s, %d days old: its body is gone", s, (12*day-age)/day)
			}
		}
		for _, s := range slices.Concat(over, needed) { // no key is lost
			key := fmt.Sprint(s, "-", age)
			e := event{key: key, body: `{"key":"` + key + `","filler":"` + strings.Repeat("x", 200) + `"}`}
			if r := b.record(e); !r.Duplicate || r.EventID != ids[key] || r.Conflict {
				b.Errorf("redelivery of %s: %+v", key, r)
			}
		}
	}
	// What was needed goes once it is no longer.
	id := ids[fmt.Sprint(hook.StateDead, "-", ages[0])]
	if err := b.store.Discard(b.Context(), id, "h", "tester", "of no use"); err != nil {
		b.Fatal(err)
	}
	b.enforce(hook.Retention{Keep: hook.Keep{Bodies: 4 * day}})
	if !b.detail(id).BodyGone {
		b.Error("the body of a dead letter that was laid aside is still there")
	}
	if _, err := b.store.Replay(b.Context(), id, hook.Replay{Reason: "test", Actor: "tester"}); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("replay of an event without a body: %v", err)
	}
}

func rulesOfSources(b *bench) {
	gone := func(id string) bool { return b.detail(id).BodyGone }
	ids := map[string]string{}
	for _, source := range []string{"shop", "hub", "bank"} {
		ids[source] = b.record(event{source: source, key: "a", handlers: []string{}}).EventID
		ids[source+" hint"] = b.record(event{source: source, key: "hint:a", trust: hook.TrustHint, handlers: []string{}}).EventID
	}
	rules := hook.Retention{Keep: hook.Keep{Bodies: 20 * day, Hints: 2 * day}, Sources: map[string]hook.Keep{
		"hub": {Bodies: 5 * day}, "bank": {Bodies: -1, Hints: -1}}}
	for _, at := range []struct {
		after time.Duration
		gone  []string
	}{
		{day, nil},
		{2 * day, []string{"hub hint", "shop hint"}},
		{3 * day, []string{"hub", "hub hint", "shop hint"}},
		{30 * day, []string{"hub", "hub hint", "shop", "shop hint"}},
	} {
		b.clock.Advance(at.after)
		b.enforce(rules)
		for name, id := range ids {
			if gone(id) != slices.Contains(at.gone, name) {
				b.Errorf("%v later: %s gone: %v", at.after, name, gone(id))
			}
		}
	}
}

func attemptsGo(b *bench) {
	twice := b.record(event{key: "twice"}).EventID
	b.retry(b.one("h", "twice"), 0, false)
	b.clock.Advance(time.Second)
	b.finish(b.one("h", "twice"))
	dead := b.inState(hook.StateDead, "dead")
	want := b.detail(twice).Jobs[0]
	const worked = `SELECT count(*) FROM webhook_events WHERE processed_at IS NOT NULL`
	before := b.number(worked)
	b.clock.Advance(2 * time.Hour) // within what the ledger looks back at
	rules := hook.Retention{Keep: hook.Keep{Attempts: time.Hour}}
	b.enforce(rules)
	d := b.detail(twice)
	if len(d.Attempts) != 0 || d.BodyGone {
		b.Errorf("%d attempts left; body gone: %v", len(d.Attempts), d.BodyGone)
	}
	if len(d.Jobs) != 1 || d.Jobs[0].State != hook.StateDone || d.Jobs[0].Attempt != want.Attempt || d.Jobs[0].Generation != 1 ||
		d.Jobs[0].FinishedAt == nil || !d.Jobs[0].FinishedAt.Equal(*want.FinishedAt) {
		b.Errorf("its job is now %+v, it was %+v", d.Jobs, want)
	}
	if got := b.number(worked); got != before {
		b.Errorf("%d events count as worked in the view for people, %d did before", got, before)
	}
	if got := len(b.detail(dead).Attempts); got != 1 {
		b.Errorf("a dead letter has %d attempts, want its one", got)
	}
	// A replay follows the generation that was, and the ledger stays in balance.
	b.replay(twice)
	b.enforce(rules)
	j := b.one("h", "twice")
	if j.Generation != 2 {
		b.Errorf("replayed as generation %d, want 2", j.Generation)
	}
	b.finish(j)
	b.enforce(rules)
	if d := b.detail(twice); len(d.Jobs) != 1 || d.Jobs[0].Generation != 2 || len(d.Attempts) != 1 {
		b.Errorf("after the replay: %+v, %d attempts", d.Jobs, len(d.Attempts))
	}
}

func keysGo(b *bench) {
	old := b.inState(hook.StateDone, "old")
	aside := b.inState(hook.StateDiscarded, "aside")
	dead := b.inState(hook.StateDead, "dead")
	b.clock.Advance(2 * time.Hour) // within what the ledger looks back at
	rules := hook.Retention{Keep: hook.Keep{Bodies: time.Hour, Attempts: time.Hour}, Sources: map[string]hook.Keep{"shop": {Keys: time.Hour}}}
	b.enforce(rules)
	b.inState(hook.StateDone, "new")
	b.enforce(rules)
	for _, id := range []string{old, aside} {
		if _, err := b.store.Event(b.Context(), id); !errors.Is(err, hook.ErrNotFound) {
			b.Errorf("a forgotten event: %v", err)
		}
	}
	if d := b.detail(dead); d.State != hook.StateDead || d.BodyGone {
		b.Errorf("a dead letter was forgotten: %+v", d)
	}
	if r := b.record(event{key: "old"}); r.Duplicate || r.EventID == old {
		b.Errorf("after its key was forgotten: %+v", r)
	}
	b.finish(b.one("h", "old"))
	b.clock.Advance(2 * time.Hour) // the newest number is not given twice, so that event stays
	b.enforce(rules)
	if _, err := b.store.Event(b.Context(), b.list(hook.Filter{Key: "old"})[0].ID); err != nil {
		b.Errorf("the newest event: %v", err)
	}
}

func notesGo(b *bench) {
	note := func(source string) {
		b.store.Reject(hook.Delivery{Source: source, Body: []byte("x"), ReceivedAt: b.clock.Now()}, hook.ReasonBadSignature, "no")
		b.clock.Advance(2 * time.Second)
		b.record(event{key: fmt.Sprint(source, b.clock.Now()), handlers: []string{}}) // they are written with deliveries
	}
	note("shop")
	note("hub")
	b.clock.Advance(10 * day)
	note("shop")
	written := func() (n int) {
		if err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT count(*) FROM rejections`).Scan(&n)
		}); err != nil {
			b.Fatal(err)
		}
		return n
	}
	b.eventually(func() bool { return written() == 3 })
	b.enforce(hook.Retention{Keep: hook.Keep{Rejections: 5 * day}, Sources: map[string]hook.Keep{"hub": {Rejections: -1}}})
	left, err := b.store.Rejections(b.Context(), "", 10)
	if err != nil || len(left) != 2 || left[0].Source != "shop" || left[1].Source != "hub" {
		b.Errorf("left %+v, %v; want the new one of shop and that of hub", left, err)
	}
}

// eventually waits for what a store does behind reception.
func (b *bench) eventually(done func() bool) {
	b.Helper()
	for until := time.Now().Add(10 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			b.Fatal("it has not come in 10 s")
		}
	}
}
