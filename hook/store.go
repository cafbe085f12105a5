package hook

import (
	"context"
	"time"
)

// Recorder writes an event and its jobs durably, once.
type Recorder interface {
	// Record returns nil only when the event is on disk. Concurrent equal calls
	// give one fresh receipt; the others are duplicates of a committed row. The
	// same key with other bytes sets Conflict and overwrites nothing. After an
	// error the row may exist; the sender's next delivery is then a duplicate.
	Record(ctx context.Context, d Delivery, id Identity, handlers []string) (Receipt, error)
}

// Lender is a Recorder that can lend the jobs of an event in the transaction that
// records it, so that the node that took a delivery works it without a claim.
type Lender interface {
	Recorder
	// RecordAndLend is Record. Of the jobs of a fresh event it lends those of the
	// loan's handlers that would be due at once, under their first attempt, exactly
	// as Claim would; a repeat lends nothing. After an error jobs may be lent all
	// the same: their leases lapse.
	RecordAndLend(ctx context.Context, d Delivery, id Identity, handlers []string, loan Loan) (Receipt, []*Job, error)
}

// Rejector keeps a bounded ring of notes on refused deliveries, outside the
// event log. It never blocks: a note that finds no room is dropped.
type Rejector interface {
	Reject(d Delivery, reason Reason, detail string)
}

// Queue lends jobs to workers. Times are the store's clock.
type Queue interface {
	// Claim lends at most Max due jobs of the named handlers: first of their
	// subject, not leased; lapsed leases first, live work before backlog. Empty
	// when none is due.
	Claim(ctx context.Context, ask Ask) ([]*Job, error)
	// Extend renews the leases of jobs and returns those that are lost.
	Extend(ctx context.Context, jobs []*Job, lease time.Duration) (lost []*Job, err error)
	// Finish commits the effect and the end of the job together or not at all.
	// An error of the effect comes back as it is, after the rollback; the job
	// is then still running at this attempt. Without an error job.Next says
	// whether the end may have made other jobs due.
	Finish(ctx context.Context, job *Job, effect Effect) error
	// Retry makes the job due again after that time and records the attempt
	// with its cause: waiting if cause.Wait, else retrying.
	Retry(ctx context.Context, job *Job, after time.Duration, cause Cause) error
	// Bury makes the job a dead letter, never claimed until a replay.
	Bury(ctx context.Context, job *Job, cause Cause) error
	// Release gives a job back unworked, due at once, as at a drain. The attempt
	// counts as no failure.
	Release(ctx context.Context, job *Job) error
}

// Hastener is a queue that can bring an attempt forward.
type Hastener interface {
	// Hasten makes those of the jobs due now that are retrying, and have had no
	// attempt after the one that each says. A repeat changes nothing.
	Hasten(ctx context.Context, jobs []*Job) error
}

// Applier runs one effect in a transaction of its own, where there is no job,
// and reads where there is no effect.
type Applier interface {
	Viewer
	Apply(ctx context.Context, effect Effect) error
}

// Viewer runs reads on one snapshot, beside the writers.
type Viewer interface {
	// View calls read with a transaction that refuses to write, and returns its
	// error. Short, like an effect: it must not keep tx.
	View(ctx context.Context, read func(ctx context.Context, tx Tx) error) error
}

// Keeping is the store's duty of looking after itself: the sweeper calls it
// regularly. It moves old open work behind live work, removes what retention
// allows, and recomputes the hours of the ledger.
type Keeping interface {
	// SetRoutes writes the routes of this node, so that jobs can be made for
	// every handler that wants an event, by Replay too.
	SetRoutes(ctx context.Context, routes []Route) error
	Sweep(ctx context.Context, rules SweepRules) (SweepReport, error)
	// Ready returns nil when the database can be written and its schema is
	// current, and otherwise says why not.
	Ready(ctx context.Context) error
}

// SweepRules are the limits that a sweep enforces.
type SweepRules struct {
	Keep   Retention // what is kept how long
	Ledger bool      // recompute the ledger of the last 48 hours
}

// SweepReport says what a sweep did.
type SweepReport struct {
	Aged      int // open jobs that now count as backlog
	Filled    int // jobs that a node which did not know a new route had left out
	Mended    int // lines that had lost their head; must be 0
	Pruned    int // removed by retention: bodies, and events whose attempts or keys went
	Imbalance int // events that the ledger cannot account for; must be 0
	Checked   bool
}

// Store is the sum of the roles. Only the roof and main ask for all of it.
type Store interface {
	Recorder
	Rejector
	Queue
	Ledger
	Applier
	Keeping
	// Close ends all work of the store; what was answered nil stays.
	Close() error
}
