package hook

import (
	"context"
	"time"
)

// HoldOrder is an operator's order that nothing of some events may be removed: of
// one event, of one subject of a source, or of a source within a range of time.
type HoldOrder struct {
	Source  string    `json:"source"`
	Subject string    `json:"subject,omitempty"`
	Event   string    `json:"event,omitempty"`          // its id; Source may then be left out
	Since   time.Time `json:"since,omitempty,omitzero"` // recorded at or after; without a subject or an event one of the two is wanted
	Until   time.Time `json:"until,omitempty,omitzero"` // recorded before
	Reason  string    `json:"reason"`                   // required
	Actor   string    `json:"actor"`
}

// Hold is a legal hold as operators see it. While it is not released neither
// retention nor an erasure touches what it names.
type Hold struct {
	ID int64 `json:"id"`
	HoldOrder
	At            time.Time  `json:"at"`
	Released      *time.Time `json:"released_at"`
	ReleasedBy    string     `json:"released_by,omitempty"`
	ReleaseReason string     `json:"release_reason,omitempty"`
}

// HoldKeeper is an optional role of a store: it keeps legal holds.
type HoldKeeper interface {
	// AddHold keeps a hold; audited. It holds from the moment at which it returns,
	// also for events that are still to come. A repeat makes another one. ErrRefused
	// without a reason or without saying what is held, ErrNotFound for an event
	// that there is none of.
	AddHold(ctx context.Context, o HoldOrder) (id int64, err error)
	// ReleaseHold ends a hold; audited. ErrRefused without a reason or if it has
	// been released.
	ReleaseHold(ctx context.Context, id int64, actor, reason string) error
	// Holds gives the newest holds, those that still hold before the others; of an
	// event only those that still hold it.
	Holds(ctx context.Context, event string, limit int) ([]*Hold, error)
}
