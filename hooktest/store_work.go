package hooktest

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// working: one attempt at a time owns a job, and only it can end it.
func working() map[string]func(*bench) {
	return map[string]func(*bench){
		"EffectAndJobCommitTogether":         commitTogether,
		"AFailedEffectLeavesNothing":         failedEffect,
		"StaleAttemptCannotFinish":           staleAttempt,
		"LapsedButNotTakenOverMayFinish":     lapsedMayFinish,
		"LostTooOftenIsBuried":               lostTooOften,
		"ExtendKeepsTheLease":                extendKeeps,
		"ExtendNamesWhatIsLost":              extendNamesLost,
		"RetryComesBackAfterItsTime":         retryTime,
		"ReleaseCountsNoFailure":             releaseCounts,
		"BuriedIsNotClaimedUntilReplay":      buriedReplay,
		"ReplayIsANewGeneration":             replayGeneration,
		"ReplayIsRefusedBesideAnOpenJob":     replayRefused,
		"ReplayNeedsAReasonAndARealHandler":  replayChecks,
		"DiscardLaysADeadJobAside":           discardDead,
		"HandlersAreIndependent":             handlersIndependent,
		"LiveWorkGoesBeforeBacklog":          liveBeforeBacklog,
		"BacklogDoesNotStarve":               backlogMoves,
		"ClaimTakesNoMoreThanItMay":          claimBound,
		"ClaimTakesNoMoreBytesThanItMay":     claimBytes,
		"AnyOrderOfStepsKeepsTheLedgerRight": anyOrder,
	}
}

func commitTogether(b *bench) {
	r := b.record(event{key: "a"})
	j := b.one("h", "a")
	b.wantState(r.EventID, hook.StateRunning)
	b.finish(j)
	b.wantRows("a", 1)
	b.wantState(r.EventID, hook.StateDone)
	b.wantErr(b.store.Finish(b.Context(), j, row("a")), hook.ErrLeaseLost, "finish twice")
	b.wantRows("a", 1)
	d := b.detail(r.EventID)
	if len(d.Jobs) != 1 || d.Jobs[0].State != hook.StateDone || d.Jobs[0].Attempt != 1 || d.Jobs[0].FinishedAt == nil {
		b.Errorf("jobs of a done event: %+v", d.Jobs)
	}
}

func failedEffect(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	cause := errors.New("no room")
	b.wantErr(b.store.Finish(b.Context(), j, fails(row("a"), cause)), cause, "finish with a failing effect")
	b.wantRows("a", 0)
	b.finish(j) // the job is still running at this attempt
	b.wantRows("a", 1)
}

func staleAttempt(b *bench) {
	b.record(event{key: "a"})
	old := b.one("h", "a")
	b.clock.Advance(lease + time.Second)
	now := b.one("h", "a")
	if now.Attempt != 2 || now.Failed != 1 {
		b.Fatalf("taken over as attempt %d after %d failures, want 2 after 1", now.Attempt, now.Failed)
	}
	b.wantErr(b.store.Finish(b.Context(), old, row("a")), hook.ErrLeaseLost, "finish")
	b.wantErr(b.store.Retry(b.Context(), old, 0, hook.Cause{Text: "x"}), hook.ErrLeaseLost, "retry")
	b.wantErr(b.store.Bury(b.Context(), old, hook.Cause{Text: "x"}), hook.ErrLeaseLost, "bury")
	b.wantErr(b.store.Release(b.Context(), old), hook.ErrLeaseLost, "release")
	b.wantRows("a", 0)
	b.finish(now)
	b.wantErr(b.store.Finish(b.Context(), old, row("a")), hook.ErrLeaseLost, "finish after the end")
	b.wantRows("a", 1)
	n, err := b.store.Counts(b.Context())
	if err != nil || n.TakenOver["h"] != 1 || n.Stale["h"] < 2 {
		b.Errorf("counted %d takeovers, %d stale ends, %v", n.TakenOver["h"], n.Stale["h"], err)
	}
}

func lapsedMayFinish(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	b.clock.Advance(time.Hour)
	b.finish(j)
	b.wantRows("a", 1)
	b.none("h")
}

func lostTooOften(b *bench) {
	r := b.record(event{key: "a", subject: "s"})
	b.record(event{key: "b", subject: "s"})
	for range 3 {
		b.one("h", "a")
		b.clock.Advance(lease + time.Second)
	}
	b.finish(b.one("h", "b")) // the claim that buries a lets b go
	b.wantState(r.EventID, hook.StateDead)
	d := b.detail(r.EventID)
	if len(d.Attempts) != 3 || d.Attempts[2].Outcome != "lost" {
		b.Errorf("attempts: %+v", d.Attempts)
	}
}

func extendKeeps(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	for range 5 {
		b.clock.Advance(lease - time.Second)
		if lost, err := b.store.Extend(b.Context(), []*hook.Job{j}, lease); err != nil || len(lost) != 0 {
			b.Fatalf("extend: lost %d, %v", len(lost), err)
		}
		b.none("h")
	}
	b.finish(j)
}

func extendNamesLost(b *bench) {
	b.record(event{key: "a"})
	old := b.one("h", "a")
	b.clock.Advance(lease + time.Second)
	now := b.one("h", "a")
	lost, err := b.store.Extend(b.Context(), []*hook.Job{old, now}, lease)
	if err != nil || len(lost) != 1 || lost[0] != old {
		b.Errorf("lost %v, %v; want the old attempt", lost, err)
	}
	b.finish(now)
}

func retryTime(b *bench) {
	r := b.record(event{key: "a"})
	b.retry(b.one("h", "a"), time.Minute, false)
	b.wantState(r.EventID, hook.StateRetrying)
	b.clock.Advance(59 * time.Second)
	b.none("h")
	b.clock.Advance(time.Second)
	j := b.one("h", "a")
	if j.Attempt != 2 || j.Failed != 1 {
		b.Errorf("attempt %d after %d failures, want 2 after 1", j.Attempt, j.Failed)
	}
	if d := b.detail(r.EventID); d.Jobs[0].LastError == nil || *d.Jobs[0].LastError != "because" {
		b.Errorf("last error: %v", d.Jobs[0].LastError)
	}
	b.finish(j)
}

func releaseCounts(b *bench) {
	b.record(event{key: "a"})
	for want := 1; want <= 5; want++ {
		j := b.one("h", "a")
		if j.Attempt != want || j.Failed != 0 {
			b.Fatalf("attempt %d after %d failures, want %d after none", j.Attempt, j.Failed, want)
		}
		if err := b.store.Release(b.Context(), j); err != nil {
			b.Fatal(err)
		}
	}
	b.finish(b.one("h", "a"))
}

func buriedReplay(b *bench) {
	r := b.record(event{key: "a"})
	b.bury(b.one("h", "a"))
	b.wantState(r.EventID, hook.StateDead)
	b.clock.Advance(1000 * time.Hour)
	b.none("h")
	b.replay(r.EventID)
	j := b.one("h", "a")
	if j.Generation != 2 || j.Attempt != 1 {
		b.Errorf("generation %d attempt %d, want 2 and 1", j.Generation, j.Attempt)
	}
	b.finish(j)
	b.wantState(r.EventID, hook.StateDone)
}

func replayGeneration(b *bench) {
	r := b.record(event{key: "a"})
	b.finish(b.one("h", "a"))
	for generation := 2; generation <= 4; generation++ {
		b.replay(r.EventID)
		b.wantState(r.EventID, hook.StateReady)
		j := b.one("h", "a")
		if j.Generation != generation {
			b.Errorf("generation %d, want %d", j.Generation, generation)
		}
		b.finish(j)
		b.wantRows("a", generation)
	}
	if d := b.detail(r.EventID); len(d.Attempts) != 4 || len(d.Jobs) != 1 || d.Jobs[0].Generation != 4 {
		b.Errorf("%d attempts, jobs %+v", len(d.Attempts), d.Jobs)
	}
}

func replayRefused(b *bench) {
	r := b.record(event{key: "a"})
	try := func(when string) {
		b.Helper()
		_, err := b.store.Replay(b.Context(), r.EventID, hook.Replay{Reason: "x", Actor: "y"})
		b.wantErr(err, hook.ErrRefused, "replay "+when)
	}
	try("ready")
	j := b.one("h", "a")
	try("running")
	b.retry(j, time.Minute, false)
	try("retrying")
	b.clock.Advance(time.Minute)
	b.retry(b.one("h", "a"), time.Minute, true)
	try("waiting")
}

func replayChecks(b *bench) {
	r := b.record(event{key: "a"})
	b.finish(b.one("h", "a"))
	_, err := b.store.Replay(b.Context(), r.EventID, hook.Replay{Actor: "y"})
	b.wantErr(err, hook.ErrRefused, "replay without a reason")
	_, err = b.store.Replay(b.Context(), r.EventID, hook.Replay{Reason: "x", Handlers: []string{"nobody"}})
	b.wantErr(err, hook.ErrRefused, "replay for a handler that does not exist")
	for _, id := range []string{"ev_", "", "ev_zzzzzzzzzzzzzzzzzzzzz", r.EventID[:len(r.EventID)-1], "x'; DROP TABLE events; --"} {
		_, err = b.store.Replay(b.Context(), id, hook.Replay{Reason: "x"})
		b.wantErr(err, hook.ErrNotFound, "replay of "+id)
	}
}

func discardDead(b *bench) {
	r := b.record(event{key: "a"})
	b.wantErr(b.store.Discard(b.Context(), r.EventID, "h", "me", "x"), hook.ErrRefused, "discard a ready job")
	b.bury(b.one("h", "a"))
	b.wantErr(b.store.Discard(b.Context(), r.EventID, "h", "me", ""), hook.ErrRefused, "discard without a reason")
	if err := b.store.Discard(b.Context(), r.EventID, "h", "me", "x"); err != nil {
		b.Fatal(err)
	}
	b.wantState(r.EventID, hook.StateDiscarded)
	b.none("h")
	b.replay(r.EventID)
	b.finish(b.one("h", "a"))
}

func handlersIndependent(b *bench) {
	r := b.record(event{key: "a", subject: "s", handlers: []string{"h", "g"}})
	b.bury(b.one("h", "a"))
	b.finish(b.one("g", "a"))
	b.wantState(r.EventID, hook.StateDead) // the worst of its jobs
	d := b.detail(r.EventID)
	if len(d.Jobs) != 2 {
		b.Errorf("jobs: %+v", d.Jobs)
	}
	b.replay(r.EventID, "h")
	b.none("g")
	b.finish(b.one("h", "a"))
	b.wantState(r.EventID, hook.StateDone)
}

func (b *bench) sweep() {
	b.Helper()
	if _, err := b.store.Sweep(b.Context(), hook.SweepRules{}); err != nil {
		b.Fatalf("sweep: %v", err)
	}
}

func liveBeforeBacklog(b *bench) {
	for i := range 40 {
		b.record(event{key: key(i)})
	}
	b.clock.Advance(2 * time.Minute)
	b.sweep()
	b.record(event{key: "live"})
	jobs := b.claim("h", 4)
	if len(jobs) != 4 || jobs[0].Event.Key != "live" {
		b.Fatalf("claimed %d, first %s, want the live one first", len(jobs), jobs[0].Event.Key)
	}
	for _, j := range jobs {
		b.finish(j)
	}
}

func backlogMoves(b *bench) {
	for i := range 10 {
		b.record(event{key: key(i)})
	}
	b.clock.Advance(2 * time.Minute)
	b.sweep()
	old := 0
	for i := range 50 {
		b.record(event{key: "live" + key(i)})
		b.record(event{key: "more" + key(i)})
		for _, j := range b.claim("h", 2) {
			if len(j.Event.Key) == 4 {
				old++
			}
			b.finish(j)
		}
	}
	if old != 10 {
		b.Errorf("worked %d of 10 old jobs beside a stream of live ones", old)
	}
}

func claimBound(b *bench) {
	for i := range 10 {
		b.record(event{key: key(i)})
	}
	if n := len(b.claim("h", 3)); n != 3 {
		b.Errorf("claimed %d, want 3", n)
	}
	if n := len(b.claim("h", 0)); n != 0 {
		b.Errorf("claimed %d for no slot", n)
	}
	b.none("g")
	if n := len(b.claim("h", 100)); n != 7 {
		b.Errorf("claimed %d, want the other 7", n)
	}
}

func claimBytes(b *bench) {
	for i := range 5 {
		b.record(event{key: key(i), body: strings.Repeat("x", 1000)})
	}
	claim := func(most int64) int {
		b.Helper()
		jobs, err := b.store.Claim(b.Context(), hook.Ask{Handlers: []string{"h"}, Lease: lease, Max: 10, MaxBytes: most, Node: "n"})
		if err != nil {
			b.Fatal(err)
		}
		return len(jobs)
	}
	if n := claim(2999); n != 2 {
		b.Errorf("claimed %d jobs of 1,000 bytes, want the 2 that fit into 2,999", n)
	}
	if n := claim(10); n != 1 {
		b.Errorf("claimed %d, want one: it fits nowhere", n)
	}
	if n := claim(0); n != 2 {
		b.Errorf("claimed %d, want the other 2", n)
	}
}

// anyOrder takes random steps from a fixed seed; CheckLedger judges the history.
func anyOrder(b *bench) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var held []*hook.Job
	var ids []string
	for range 1000 {
		switch rnd.IntN(10) {
		case 0, 1, 2:
			e := event{key: key(rnd.IntN(60)), subject: []string{"", "s", "t", "u"}[rnd.IntN(4)]}
			ids = append(ids, b.record(e).EventID)
		case 3, 4:
			held = append(held, b.claim("h", 1+rnd.IntN(3))...)
		case 5:
			b.clock.Advance(time.Duration(rnd.IntN(40)) * time.Second)
			b.sweep()
		case 6:
			if len(ids) > 0 {
				_, _ = b.store.Replay(b.Context(), ids[rnd.IntN(len(ids))], hook.Replay{Reason: "x", Actor: "y"})
			}
		default:
			if len(held) > 0 {
				i := rnd.IntN(len(held))
				b.endSomehow(rnd, held[i])
				if rnd.IntN(3) > 0 { // sometimes it is ended again
					held = append(held[:i], held[i+1:]...)
				}
			}
		}
	}
	b.drain()
	for _, e := range b.list(hook.Filter{Limit: 1000}) {
		if !e.State.Final() {
			b.Errorf("%s ends as %s", e.Key, e.State)
		}
	}
}

// drain finishes whatever becomes due until nothing has for a week.
func (b *bench) drain() {
	b.Helper()
	for idle := 0; idle < 7; idle++ {
		b.clock.Advance(24 * time.Hour)
		for jobs := b.claim("h", 100); len(jobs) > 0; jobs = b.claim("h", 100) {
			idle = 0
			for _, j := range jobs {
				b.finish(j)
			}
		}
	}
}

func (b *bench) endSomehow(rnd *rand.Rand, j *hook.Job) {
	var err error
	switch rnd.IntN(6) {
	case 0, 1:
		err = b.store.Finish(b.Context(), j, row(j.Event.Key))
	case 2:
		err = b.store.Retry(b.Context(), j, time.Duration(rnd.IntN(200))*time.Second, hook.Cause{Text: "x"})
	case 3:
		err = b.store.Retry(b.Context(), j, time.Duration(rnd.IntN(200))*time.Second, hook.Cause{Text: "x", Wait: true})
	case 4:
		err = b.store.Bury(b.Context(), j, hook.Cause{Text: "x"})
	default:
		err = b.store.Release(b.Context(), j)
	}
	if err != nil && !errors.Is(err, hook.ErrLeaseLost) {
		b.Fatalf("end of %s: %v", j.Event.Key, err)
	}
}
