package hooktest

import (
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// hastening: jobs that failed for want of an answer need not wait for their time. A
// store that is no hook.Hastener passes.
func hastening() map[string]func(*bench) {
	return withRole("this store brings no attempts forward", map[string]func(*bench, hook.Hastener){
		"AHastenedJobIsDueNow":            hastenedIsDue,
		"AHastenedJobKeepsItsLine":        hastenedInLine,
		"OnlyWhatRetriesIsHastened":       hastenedOnlyRetrying,
		"ManyAreHastenedTogether":         hastenedTogether,
		"AJobThatSteppedAsideIsHastened":  hastenedAside,
		"AHastenedAttemptIsAnOrdinaryOne": hastenedHistory,
	})
}

// hasten calls Hasten with jobs of which only number and attempt are known.
func (b *bench) hasten(h hook.Hastener, jobs ...*hook.Job) {
	b.Helper()
	var named []*hook.Job
	for _, j := range jobs {
		named = append(named, &hook.Job{ID: j.ID, Attempt: j.Attempt})
	}
	if err := h.Hasten(b.Context(), named); err != nil {
		b.Fatalf("hasten: %v", err)
	}
}

func hastenedIsDue(b *bench, h hook.Hastener) {
	r := b.record(event{key: "a"})
	j := b.one("h", "a")
	b.retry(j, time.Hour, false)
	b.none("h")
	b.hasten(h, j)
	b.hasten(h, j)
	b.wantState(r.EventID, hook.StateRetrying)
	if j = b.one("h", "a"); j.Attempt != 2 || j.Failed != 1 {
		b.Errorf("attempt %d after %d failures, want 2 after 1", j.Attempt, j.Failed)
	}
	b.finish(j)
}

func hastenedInLine(b *bench, h hook.Hastener) {
	b.record(event{key: "a", subject: "s"})
	b.record(event{key: "b", subject: "s"})
	j := b.one("h", "a")
	b.retry(j, 10*time.Second, false)
	b.none("h")
	b.hasten(h, j)
	b.finish(b.one("h", "a"))
	b.finish(b.one("h", "b"))
}

// A job that is running, that waits for something else, that is dead or done, or that
// has had another attempt since, stays as it is.
func hastenedOnlyRetrying(b *bench, h hook.Hastener) {
	for _, key := range []string{"again", "dead", "done", "running", "waiting"} {
		b.record(event{key: key})
	}
	jobs := map[string]*hook.Job{}
	var all []*hook.Job
	for _, j := range b.claim("h", 10) {
		jobs[j.Event.Key] = j
		all = append(all, j)
	}
	b.retry(jobs["again"], 0, false)
	b.retry(b.one("h", "again"), time.Hour, false)
	b.bury(jobs["dead"])
	b.finish(jobs["done"])
	b.retry(jobs["waiting"], time.Hour, true)
	b.hasten(h, all...)
	b.none("h")
	b.finish(jobs["running"])
}

func hastenedTogether(b *bench, h hook.Hastener) {
	const many = 70
	for i := range many {
		b.record(event{key: string(rune('A' + i))})
	}
	jobs := b.claim("h", many)
	for _, j := range jobs {
		b.retry(j, time.Hour, false)
	}
	b.hasten(h, jobs[1:]...)
	if got := len(b.claim("h", 100)); got != many-1 {
		b.Errorf("%d are due, want all %d but one", got, many)
	}
}

// One that retries for longer than it may hold its line has left it.
func hastenedAside(b *bench, h hook.Hastener) {
	b.record(event{key: "a", subject: "s"})
	b.record(event{key: "b", subject: "s"})
	a := b.one("h", "a")
	b.retry(a, time.Hour, false)
	b.clock.Advance(2 * time.Minute)
	next := b.one("h", "b")
	b.hasten(h, a)
	b.none("h") // its line has another one at work
	b.finish(next)
	b.finish(b.one("h", "a"))
}

func hastenedHistory(b *bench, h hook.Hastener) {
	r := b.record(event{key: "a"})
	j := b.one("h", "a")
	b.retry(j, time.Hour, false)
	b.hasten(h, j)
	b.finish(b.one("h", "a"))
	b.wantRows("a", 1)
	if d := b.detail(r.EventID); len(d.Attempts) != 2 || d.Jobs[0].State != hook.StateDone {
		b.Errorf("%d attempts, %s, want 2 and done", len(d.Attempts), d.Jobs[0].State)
	}
}
