package hook

import (
	"context"
	"encoding/json"
	"time"
)

// Ledger is what operators see and may change of the event log.
type Ledger interface {
	// Counts gives totals of jobs by handler and state, and oldest ages.
	Counts(ctx context.Context) (Counts, error)
	// Events gives one page, newest first, and the cursor of the next page,
	// empty at the end. A search that has several conditions or looks into bodies
	// is bounded in time: its page may hold few events, or none, and still have a
	// next one.
	Events(ctx context.Context, f Filter) (page []*EventInfo, next string, err error)
	// Event gives one event with its jobs, attempts and raw body.
	Event(ctx context.Context, id string) (*EventDetail, error)
	// Replay queues a new generation of jobs for a recorded event: for the
	// named handlers, or for all that want it. Never beside an open job of the
	// same handler. Audited under the actor with its reason.
	Replay(ctx context.Context, id string, r Replay) (jobs int, err error)
	// Discard lays a dead job aside. Audited.
	Discard(ctx context.Context, id, handler, actor, reason string) error
	// History writes events, conflicts and every transition in commit order,
	// from one snapshot.
	History(ctx context.Context, write func(HistoryLine) error) error
	// Rejections gives the newest notes on refused deliveries of a source, or
	// of all sources if empty.
	Rejections(ctx context.Context, source string, limit int) ([]*Rejection, error)
}

// Filter selects events. Zero values select everything.
type Filter struct {
	Source  string
	Type    string // pattern, see Match
	State   State
	Subject string
	Key     string
	Since   time.Time // recorded at or after
	Until   time.Time // recorded before
	Words   string    // all of these occur in the body; word* for what begins so. See Searcher
	Path    string    // with Value: the body has exactly this value there, such as data.object.customer
	Value   string    // a string, or the text of a number, true, false or null
	Limit   int       // at most so many on this page; 0 means 100, the most is 1000
	Cursor  string    // opaque, from the page before
}

// Replay is an operator's order to work a recorded event again.
type Replay struct {
	Handlers []string // empty: all routes that want the event
	Reason   string   // required
	Actor    string   // who; shown in the audit trail
}

// EventInfo is one event as operators and the public API see it.
type EventInfo struct {
	ID         string     `json:"id"`
	Source     string     `json:"source"`
	Mode       string     `json:"mode"`
	Trust      Trust      `json:"trust"`
	Key        string     `json:"key"`
	Type       string     `json:"type"`
	Subject    string     `json:"subject"`
	OccurredAt *time.Time `json:"occurred_at"`
	ReceivedAt time.Time  `json:"received_at"`
	Size       int64      `json:"size"`
	SHA256     string     `json:"sha256"`
	Deliveries int64      `json:"deliveries"`
	Conflicts  int64      `json:"conflicts"`
	Quarantine *string    `json:"quarantine"`
	ErasedAt   *time.Time `json:"erased_at"` // body and headers were removed on request
	State      State      `json:"state"`
	Jobs       []JobInfo  `json:"jobs"`
}

// JobInfo is one job of an event: the newest generation of its handler.
type JobInfo struct {
	Handler     string     `json:"handler"`
	State       State      `json:"state"`
	Generation  int        `json:"generation"`
	Attempt     int        `json:"attempt"`
	MaxAttempts int        `json:"max_attempts"`
	NextAt      *time.Time `json:"next_at"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	LastError   *string    `json:"last_error"`
}

// AttemptInfo is one run of a handler.
type AttemptInfo struct {
	Handler    string     `json:"handler"`
	Generation int        `json:"generation"`
	Attempt    int        `json:"attempt"`
	StartedAt  time.Time  `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at"`
	Outcome    string     `json:"outcome"` // running, done, retrying, waiting, dead, lost, released
	Error      *string    `json:"error"`
}

// EventDetail is one event with everything that happened to it.
type EventDetail struct {
	EventInfo
	SameBodyAs string              `json:"same_body_as,omitempty"` // the event whose body came again
	Headers    map[string][]string `json:"headers"`
	Attempts   []AttemptInfo       `json:"attempts"`
	Body       []byte              `json:"-"`           // exact bytes; nil once retention has removed them
	BodyGone   bool                `json:"body_pruned"` // the bytes are no longer kept
}

// Counts are totals for metrics and overviews.
type Counts struct {
	Jobs      map[string]map[State]int64 `json:"jobs"`              // handler, state; open and dead ones
	OldestJob map[string]time.Time       `json:"oldest_job"`        // handler: when its oldest due job was queued
	Events    int64                      `json:"events"`            // recorded ever
	LastEvent map[string]time.Time       `json:"last_event"`        // source: newest event
	StoreTime time.Time                  `json:"store_time"`        // the store's clock at this reading
	Stale     map[string]int64           `json:"stale_finishes"`    // handler: ends refused to a lost lease, since start
	TakenOver map[string]int64           `json:"leases_taken_over"` // handler: lapsed leases claimed again, since start
}

// Rejection is a note on a refused delivery.
type Rejection struct {
	At      time.Time           `json:"at"`
	Source  string              `json:"source"`
	Reason  Reason              `json:"reason"`
	Detail  string              `json:"detail"`
	Remote  string              `json:"remote"`
	Headers map[string][]string `json:"headers"`
	Size    int                 `json:"size"`
	Body    []byte              `json:"body"` // at most 64 KiB
}

// HistoryLine is one line of the history that a checker reads. Kind is event,
// conflict or transition; the other fields are set as that kind needs them.
type HistoryLine struct {
	Kind       string          `json:"kind"`
	Order      int64           `json:"order,omitempty"` // transitions: position in commit order
	Seq        int64           `json:"seq,omitempty"`   // number of the event in this database
	ID         string          `json:"id,omitempty"`
	Source     string          `json:"source"`
	Mode       string          `json:"mode"`
	Key        string          `json:"key"`
	Trust      Trust           `json:"trust,omitempty"`
	Type       string          `json:"type,omitempty"`
	Subject    string          `json:"subject,omitempty"`
	Quarantine string          `json:"quarantine,omitempty"`
	SHA256     string          `json:"sha256,omitempty"`            // as stored beside the event
	Recomputed string          `json:"sha256_recomputed,omitempty"` // of the bytes as they are stored now; empty if pruned
	ReceivedAt *time.Time      `json:"received_at,omitempty"`
	Deliveries int64           `json:"deliveries,omitempty"`
	Conflicts  int64           `json:"conflicts,omitempty"`
	State      State           `json:"state,omitempty"`
	Jobs       []JobInfo       `json:"jobs,omitempty"`
	Handler    string          `json:"handler,omitempty"`
	Generation int             `json:"generation,omitempty"`
	From       State           `json:"from,omitempty"` // empty: no such job before
	To         State           `json:"to,omitempty"`
	Attempt    int             `json:"attempt,omitempty"`
	At         *time.Time      `json:"at,omitempty"`
	LeaseUntil *time.Time      `json:"lease_until,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Extra      json.RawMessage `json:"extra,omitempty"`
}
