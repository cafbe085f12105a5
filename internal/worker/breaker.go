package worker

import (
	"context"
	"errors"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// breaker is a lane's circuit breaker: it holds a handler back while what that needs,
// a sender's API or a destination, does not answer. Without it each job that waits
// would ask in vain, spend its attempts and its pauses on an outage that is nobody's
// fault, and all of them would ask again at once when it is over.
//
//	closed     all slots
//	open       none, until the pause is over
//	half-open  one; each attempt that is answered opens one more, until it is closed
//
// It lies in memory: a process that starts anew begins with all slots, and finds out
// again. Guarded by the lane's mu.
type breaker struct {
	slots   int
	first   time.Duration // the first pause
	most    time.Duration // the longest
	tripped bool          // open or half-open
	since   time.Time     // when it opened
	limit   int           // slots that may be in use, once the pause is over
	until   time.Time     // the end of the pause
	pause   time.Duration
	bad     int // attempts that found nobody, less those that were answered; never below nothing
}

const (
	// breakAt is how many more attempts find nobody than are answered before it opens.
	breakAt = 5

	// mostAsked bounds what a Retry-After may ask of a whole handler; what it asks of
	// its own job stands.
	mostAsked = time.Minute
)

// newBreaker pauses for a tenth of the base of a failed job's pauses at first, and for
// half of it at most: one second and five, by default.
func newBreaker(slots int, base time.Duration) breaker {
	return breaker{slots: slots, limit: slots, first: base / 10, most: base / 2}
}

// room is how many slots may be in use now.
func (b *breaker) room() int {
	if b.tripped && time.Now().Before(b.until) {
		return 0
	}
	return b.limit
}

// answered hears that an attempt reached what it needs. It reports whether that
// closed the breaker.
func (b *breaker) answered() (closed bool) {
	b.bad = max(b.bad-1, 0)
	if !b.tripped {
		return false
	}
	b.until = time.Time{} // also one that began before the pause shows that it is over
	b.limit = min(b.limit+1, b.slots)
	if b.limit < b.slots {
		return false
	}
	b.tripped, b.pause = false, 0
	return true
}

// unavailable hears that an attempt found nobody, and when it was told to come back,
// if it was. It reports whether that opened the breaker that was closed.
func (b *breaker) unavailable(after time.Duration) (opened bool) {
	now := time.Now()
	if b.tripped && now.Before(b.until) {
		return false // it began before the pause
	}
	b.bad++
	if b.tripped {
		b.limit = max(b.limit/2, 1)
	}
	if b.bad < breakAt {
		return false
	}
	if opened = !b.tripped; opened {
		b.since = now
	}
	b.tripped, b.limit = true, 1
	b.bad = breakAt - 1 // the next one that finds nobody opens it again
	b.pause = min(max(2*b.pause, b.first), b.most)
	b.until = now.Add(max(b.pause, min(after, mostAsked)))
	return opened
}

// silent says that nobody has answered since it opened, or hardly anybody: on the way
// to closed, which takes as many answers as there are slots, the outage is over.
func (b *breaker) silent() bool { return b.tripped && b.limit == 1 }

// Outages names the handlers of this process for which nobody answers, and since when.
func (p *Pool) Outages() map[string]time.Time {
	all := map[string]time.Time{}
	for _, l := range p.lanes {
		l.mu.Lock()
		if l.breaker.silent() {
			all[l.route.Name] = l.breaker.since
		}
		l.mu.Unlock()
	}
	return all
}

// heed lets the breaker hear how an attempt ended, with mu held, and returns what is
// to be done about it without. An error that says nothing of what the handler needs
// changes nothing.
func (l *lane) heed(job *hook.Job, err error) (then func()) {
	was := l.breaker.silent()
	defer func() {
		if is := l.breaker.silent(); is != was {
			l.meterBreaker(is)
		}
	}()
	switch {
	case errors.Is(err, hook.ErrUnavailable):
		l.miss(job)
		after, _ := hook.Delay(err)
		if l.breaker.unavailable(after) {
			return func() {
				l.cfg.Logger.Warn("circuit breaker open: what the handler needs does not answer; from time to time one job tries whether it does",
					"handler", l.route.Name, "error", firstLine(err))
			}
		}
	case err == nil, hook.Permanent(err):
		return l.answered()
	}
	return func() {}
}

func (l *lane) answered() (then func()) {
	outage := l.breaker.tripped
	closed := l.breaker.answered()
	missed := l.missed
	l.missed = nil
	if !outage {
		return func() {}
	}
	return func() {
		l.hasten(missed)
		if closed {
			l.cfg.Logger.Info("circuit breaker closed: what the handler needs answers", "handler", l.route.Name)
		}
	}
}

// mostMissed bounds what is remembered of an outage. What is not waits for its time.
const mostMissed = 1000

// miss remembers a job whose attempt found nobody, so that it need not wait for hours
// when somebody is there again. One that has failed for half of its attempts keeps its
// time: it may be what nobody can answer.
func (l *lane) miss(job *hook.Job) {
	if l.cfg.Hastener == nil || 2*(job.Failed+1) > l.attempts() {
		return
	}
	if _, known := l.missed[job.ID]; !known && len(l.missed) == mostMissed {
		return
	}
	if l.missed == nil {
		l.missed = map[int64]int{}
	}
	l.missed[job.ID] = job.Attempt
}

// hasten brings jobs forward; the breaker sees to it that they come step by step. If
// it fails, or the process dies here, they wait for their time.
func (l *lane) hasten(missed map[int64]int) {
	if len(missed) == 0 {
		return
	}
	jobs := make([]*hook.Job, 0, len(missed))
	for id, attempt := range missed {
		jobs = append(jobs, &hook.Job{ID: id, Attempt: attempt})
	}
	if err := l.cfg.Hastener.Hasten(context.Background(), jobs); err != nil {
		l.cfg.Logger.Warn("jobs not brought forward", "handler", l.route.Name, "jobs", len(jobs), "error", err)
	}
}

func (l *lane) meterBreaker(open bool) {
	if l.cfg.Meter.Breaker != nil {
		l.cfg.Meter.Breaker(l.route.Name, open)
	}
}
