package hook

import "time"

// State is the state of a job, or of an event as the worst of its jobs.
type State string

// The states of a job, and the two that only an event can have.
const (
	StateReady       State = "ready"
	StateRunning     State = "running"
	StateRetrying    State = "retrying"
	StateWaiting     State = "waiting" // for something that must exist first
	StateDone        State = "done"
	StateDead        State = "dead"
	StateDiscarded   State = "discarded"
	StateNoHandler   State = "no_handler"  // events only: nobody wants it
	StateQuarantined State = "quarantined" // events only: authentic, but kept from the handlers
)

// Worst lists all states, worst first: the state of an event is the first of
// them that any of its jobs is in.
var Worst = [...]State{
	StateDead, StateWaiting, StateRetrying, StateRunning, StateReady,
	StateQuarantined, StateDiscarded, StateDone, StateNoHandler,
}

// Final reports whether a job or event in state s is left alone until an
// operator acts.
func (s State) Final() bool {
	switch s {
	case StateDone, StateDead, StateDiscarded, StateNoHandler, StateQuarantined:
		return true
	}
	return false
}

// Next reports whether the picture in the package comment has an arrow from one
// state to another. The empty state is "no such job yet". From running to
// running leads the claim of a lapsed lease.
func Next(from, to State) bool {
	switch from {
	case "", StateNoHandler, StateQuarantined:
		return to == StateReady
	case StateReady, StateRetrying, StateWaiting:
		// Back to ready leads waking: what a job waited for has happened.
		return to == StateRunning || to == StateReady && from != StateReady
	case StateRunning:
		switch to {
		case StateRunning, StateDone, StateRetrying, StateWaiting, StateDead:
			return true
		}
	case StateDead:
		return to == StateDiscarded
	}
	return false
}

// Job is the queued work of one handler for one event, lent under a lease. The
// fence is (ID, Attempt): what an older attempt says changes nothing.
type Job struct {
	ID           int64
	Event        *Event
	Handler      string
	Generation   int       // 1, or higher after a replay
	Attempt      int       // number of this claim within the generation
	Failed       int       // attempts of this generation that failed or were lost before this one
	FirstAt      time.Time // when this generation was queued
	WaitingSince time.Time // when the job first waited for something missing; zero if it never did
	LeaseUntil   time.Time

	// Batch and Strict are the Route's; the worker copies them here.
	Batch  bool
	Strict bool

	// Next is set by Queue.Finish: the end of this job has, or may have, made
	// others due, such as the next one of the subject.
	Next bool
}

// Ask is what a worker wants from the queue.
type Ask struct {
	Handlers    []string      // only jobs of these
	Lease       time.Duration // how long the right lasts without being renewed
	Max         int           // at most so many: the idle slots, so that no job waits under a running lease
	MaxBytes    int64         // bodies of due jobs, together: no more are lent, but always one; 0 is no bound
	MaxAttempts int           // a lapsed lease at this number of failed attempts is buried, cause lost
	Node        string        // who asks; shown to operators
}

// Loan is what a worker would take of an event that is being recorded.
type Loan struct {
	Handlers []string      // that have an idle slot kept for it
	Lease    time.Duration // as in Ask
	Node     string        // as in Ask
}

// Cause says why an attempt ended without its effect.
type Cause struct {
	Text string // for operators; cut to a limit by the store; never a secret
	Wait bool   // what it needs is not there yet: the job waits and does not count as failed
}
