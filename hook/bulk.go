package hook

import (
	"context"
	"time"
)

// BulkState is how far a bulk replay is.
type BulkState string

// The states of a bulk replay.
const (
	BulkRunning   BulkState = "running"
	BulkPaused    BulkState = "paused"
	BulkCancelled BulkState = "cancelled"
	BulkDone      BulkState = "done"
)

// BulkOrder is an operator's order to replay many events. Which ones is fixed
// when it is given: those that Filter selects and that were recorded by then.
type BulkOrder struct {
	Filter   Filter   // Limit and Cursor are not read; Until at the latest now
	Handlers []string // empty: all that want the event
	OnlyDead bool     // only handlers whose job is dead
	Cause    string   // with OnlyDead: a CauseKey that the dead job must have; empty: any
	Rate     int      // events a second, 1 to 1000
	Reason   string   // required
	Actor    string
}

// Bulk is a bulk replay as operators see it.
type Bulk struct {
	ID    int64
	Order BulkOrder
	State BulkState
	Total int64 // events that were counted at the start, at most 10,001: that many or more
	Seen  int64 // events looked at
	Jobs  int64 // queued
	Left  int64 // events left out: their jobs were open, their body gone, or nobody wants them
	At    time.Time
	Moved time.Time // when it last got on
}

// BulkKeeper is an optional role of a store: it keeps bulk replays and gets on
// with them.
type BulkKeeper interface {
	// AddBulk keeps an order, running; audited. It is ErrRefused without a reason,
	// with a rate out of bounds, and while 16 others are not over.
	AddBulk(ctx context.Context, o BulkOrder) (id int64, err error)
	// CountBulk says how many events an order would look at, at most 10,001, and
	// gives a few of them.
	CountBulk(ctx context.Context, o BulkOrder) (n int64, sample []*EventInfo, err error)
	// SteerBulk pauses a bulk replay, lets it go on or cancels it; audited.
	// ErrRefused if it is over.
	SteerBulk(ctx context.Context, id int64, to BulkState, actor string) error
	// Bulks gives the newest bulk replays.
	Bulks(ctx context.Context, limit int) ([]*Bulk, error)
	// Bulk gives one; ErrNotFound if there is none.
	Bulk(ctx context.Context, id int64) (*Bulk, error)
	// StepBulk replays the next few events of one running bulk replay whose turn
	// has come by its rate, together with the note of how far it is: a crash
	// leaves both or neither. Any node may call it, as often as it likes; busy
	// says that something was done.
	StepBulk(ctx context.Context) (busy bool, err error)
}
