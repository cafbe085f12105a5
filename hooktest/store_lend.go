package hooktest

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
)

// lending: a store that lends at the recording does what a claim right behind the
// commit would have done.
func lending() map[string]func(*bench) {
	return map[string]func(*bench){
		"ALentJobIsAClaimedOne":       lentIsClaimed,
		"ALoanIsForWhomItNames":       loanNames,
		"ALoanLapses":                 loanLapses,
		"ANumberIsOfOneJobOnly":       numberOfOneJob,
		"NobodyIsLentARepeat":         noLoanTwice,
		"OnlyTheFirstOfALineIsLent":   loanInLine,
		"TheLastOfALineHasNobodyNext": nobodyNext,
		"OneOfManyIsLent":             oneOfManyLent,
	}
}

// lend records with a loan of these handlers.
func (b *bench) lend(ctx context.Context, e event, handlers ...string) (hook.Receipt, []*hook.Job) {
	b.Helper()
	d, id, wanted := e.delivery(b)
	r, jobs, err := b.store.(hook.Lender).RecordAndLend(ctx, d, id, wanted, hook.Loan{Handlers: handlers, Lease: lease, Node: "n"})
	if err != nil {
		b.Errorf("record %s: %v", e.key, err)
	}
	return r, jobs
}

// lent is the one job that was lent.
func (b *bench) lent(e event) *hook.Job {
	b.Helper()
	_, jobs := b.lend(b.Context(), e, "h")
	if len(jobs) != 1 {
		b.Fatalf("%d jobs of %s were lent, want 1", len(jobs), e.key)
	}
	return jobs[0]
}

func lentIsClaimed(b *bench) {
	e := event{key: "a", subject: "s", mode: "live", body: `{"a":1}`}
	lent := b.lent(e)
	b.none("h")
	if lent.Attempt != 1 || lent.Generation != 1 || lent.Failed != 0 || !lent.FirstAt.Equal(b.clock.Now()) || !lent.LeaseUntil.Equal(b.clock.Now().Add(lease)) {
		b.Errorf("lent %+v", lent)
	}
	if err := b.store.Release(b.Context(), lent); err != nil {
		b.Fatal(err)
	}
	claimed := b.one("h", "a")
	if claimed.ID != lent.ID || claimed.Attempt != 2 || !reflect.DeepEqual(claimed.Event, lent.Event) {
		b.Errorf("lent job %d with event\n%+v, claimed job %d with\n%+v", lent.ID, lent.Event, claimed.ID, claimed.Event)
	}
	b.finish(claimed)
	var states []hook.State
	if err := b.store.History(b.Context(), func(l hook.HistoryLine) error {
		if l.Kind == "transition" {
			states = append(states, l.To)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	if want := []hook.State{hook.StateReady, hook.StateRunning, hook.StateRetrying, hook.StateRunning, hook.StateDone}; !slices.Equal(states, want) {
		b.Errorf("its history is %v, want %v", states, want)
	}
}

func loanNames(b *bench) {
	_, jobs := b.lend(b.Context(), event{key: "a", handlers: []string{"h", "g", "x"}}, "h", "x", "nobody")
	if len(jobs) != 2 || jobs[0].Handler == jobs[1].Handler || jobs[0].Handler == "g" || jobs[1].Handler == "g" {
		b.Fatalf("lent %d jobs, want those of h and x", len(jobs))
	}
	b.finish(b.one("g", "a"))
	for _, j := range jobs {
		b.finish(j)
	}
	if _, jobs := b.lend(b.Context(), event{key: "b", q: hook.QuarantineMode}, "h"); len(jobs) != 0 {
		b.Errorf("%d jobs of a quarantined event were lent", len(jobs))
	}
	// Hints go another way through the store.
	j := b.lent(event{key: "c", subject: "t", trust: hook.TrustHint})
	b.none("h")
	b.finish(j)
}

func loanLapses(b *bench) {
	first := b.lent(event{key: "a", subject: "s"})
	if lost, err := b.store.Extend(b.Context(), []*hook.Job{first}, lease); err != nil || len(lost) != 0 {
		b.Fatalf("renewing what was lent: %d lost, %v", len(lost), err)
	}
	b.clock.Advance(lease + 1)
	second := b.one("h", "a")
	if second.Attempt != 2 || second.Failed != 1 {
		b.Errorf("taken over at attempt %d with %d failures, want 2 and 1", second.Attempt, second.Failed)
	}
	if err := b.store.Finish(b.Context(), first, row("a")); err != hook.ErrLeaseLost {
		b.Errorf("the first attempt ended with %v, want %v", err, hook.ErrLeaseLost)
	}
	b.finish(second)
}

// numberOfOneJob: what an attempt says long after its job has ended must not meet
// another job under the same number and attempt.
func numberOfOneJob(b *bench) {
	stale := b.lent(event{key: "a"})
	b.clock.Advance(lease + 1)
	b.finish(b.one("h", "a"))
	other := b.lent(event{key: "b"})
	if other.ID == stale.ID {
		b.Errorf("the number %d of an ended job was given again", other.ID)
	}
	if err := b.store.Finish(b.Context(), stale, row("a")); err != hook.ErrLeaseLost {
		b.Errorf("an attempt whose job ended long ago ended with %v, want %v", err, hook.ErrLeaseLost)
	}
	b.finish(other)
}

func noLoanTwice(b *bench) {
	b.finish(b.lent(event{key: "a"}))
	for _, body := range []string{"", `{"other":1}`} {
		if r, jobs := b.lend(b.Context(), event{key: "a", body: body}, "h"); !r.Duplicate || len(jobs) != 0 {
			b.Errorf("a repeat: %+v, %d jobs lent", r, len(jobs))
		}
	}
	b.none("h")
}

func loanInLine(b *bench) {
	head := b.lent(event{key: "a", subject: "s"})
	if _, jobs := b.lend(b.Context(), event{key: "b", subject: "s"}, "h"); len(jobs) != 0 {
		b.Fatal("the second of a subject was lent beside the first")
	}
	b.none("h")
	b.finish(head)
	if !head.Next {
		b.Error("the end of the first does not say that there is another")
	}
	next := b.one("h", "b")
	b.finish(next)
	// One that waits for its retry is the first of its line all the same.
	late := b.lent(event{key: "c", subject: "s"})
	if err := b.store.Retry(b.Context(), late, lease, hook.Cause{Text: "no"}); err != nil {
		b.Fatal(err)
	}
	if _, jobs := b.lend(b.Context(), event{key: "d", subject: "s"}, "h"); len(jobs) != 0 {
		b.Error("lent before an earlier one of its subject")
	}
	b.clock.Advance(lease)
	b.finish(b.one("h", "c"))
	b.finish(b.one("h", "d"))
}

func nobodyNext(b *bench) {
	all := []*hook.Job{b.lent(event{key: "a", subject: "s"}), b.lent(event{key: "b", subject: "t"}), b.lent(event{key: "c"})}
	for _, j := range all {
		if b.finish(j); j.Next {
			b.Errorf("the end of %s promises another", j.Event.Key)
		}
	}
}

func oneOfManyLent(b *bench) {
	var all sync.WaitGroup
	var mu sync.Mutex
	lent := map[string]int{}
	for i := range 60 {
		e := event{key: "one", subject: "x"}
		if i%2 == 0 {
			e = event{key: "k" + strconv.Itoa(i), subject: "s"} // many of one subject
		}
		all.Go(func() {
			_, jobs := b.lend(context.Background(), e, "h")
			mu.Lock()
			defer mu.Unlock()
			for _, j := range jobs {
				lent[j.Event.Subject]++
				j.Batch = true
			}
		})
	}
	all.Wait()
	if lent["x"] != 1 || lent["s"] != 1 {
		b.Errorf("lent of one event %d, of thirty of one subject %d; want one each", lent["x"], lent["s"])
	}
}
