package hook

import (
	"context"
	"strings"
	"time"
	"unicode"
)

// Desk is an optional role of a store: what operators look at besides the
// Ledger, and the audit trail. Nothing here reads a table from end to end.
type Desk interface {
	// Jobs gives one page of open, dead and discarded jobs, and the cursor of the
	// next page, empty at the end. Dead and discarded ones come newest first, the
	// others in the order in which they were queued.
	Jobs(ctx context.Context, f JobFilter) (page []*QueuedJob, next string, err error)
	// Causes groups the newest ten thousand dead jobs by handler and cause, the
	// largest group first.
	Causes(ctx context.Context) ([]*DeadCause, error)
	// Traffic gives what charts are drawn from, from since on.
	Traffic(ctx context.Context, since time.Time) (*Traffic, error)
	// Audit gives one page of the audit trail, newest first, and the cursor of
	// the next page, empty at the end.
	Audit(ctx context.Context, cursor string, limit int) (page []*AuditEntry, next string, err error)
	// VerifyAudit walks the whole chain of the audit trail and says whether every
	// entry still is what it was when it was sealed.
	VerifyAudit(ctx context.Context) (AuditReport, error)
	// Note adds an entry about something that is done outside the store, such as
	// looking at what a mask hides. A repeat adds another.
	Note(ctx context.Context, n AuditNote) error
}

// JobFilter selects jobs. Zero values select every open job.
type JobFilter struct {
	Handler string
	State   State  // of a job that is not done; empty: all that are open
	Limit   int    // at most so many on this page; 0 means 50, the most is 1000
	Cursor  string // opaque, from the page before
}

// QueuedJob is a job with what operators need to know of its event.
type QueuedJob struct {
	JobInfo
	Event    string    `json:"event"`
	Source   string    `json:"source"`
	Type     string    `json:"type"`
	Subject  string    `json:"subject"`
	QueuedAt time.Time `json:"queued_at"`
}

// DeadCause is a group of dead jobs of one handler that ended alike.
type DeadCause struct {
	Handler string    `json:"handler"`
	Key     string    `json:"key"`    // CauseKey of every cause in the group
	Cause   string    `json:"cause"`  // one of them, whole
	Jobs    int64     `json:"jobs"`   // how many
	First   time.Time `json:"first"`  // when the oldest was queued
	Last    time.Time `json:"last"`   // when the newest was queued
	Sample  string    `json:"sample"` // event of the newest
}

// CauseKey is what causes of the same kind have in common: digits and what looks
// like an id give way to #, and only the first line counts.
func CauseKey(cause string) string {
	cause, _, _ = strings.Cut(cause, "\n")
	words := strings.FieldsFunc(cause, unicode.IsSpace)
	for i, w := range words {
		if strings.ContainsFunc(w, unicode.IsDigit) {
			words[i] = digitsAway(w)
		}
	}
	key := strings.Join(words, " ")
	if len(key) > 200 {
		key = strings.ToValidUTF8(key[:200], "")
	}
	return key
}

// digitsAway keeps a short number, which may be a status, and hides longer ones
// and mixtures.
func digitsAway(w string) string {
	bare := strings.TrimFunc(w, unicode.IsPunct)
	if len(bare) <= 3 && !strings.ContainsFunc(bare, func(r rune) bool { return !unicode.IsDigit(r) }) {
		return w
	}
	var b strings.Builder
	hidden := false
	for _, r := range w {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' {
			if !hidden {
				b.WriteByte('#')
			}
			hidden = true
			continue
		}
		hidden = false
		b.WriteRune(r)
	}
	return b.String()
}

// Traffic is what charts are drawn from.
type Traffic struct {
	Hours    []HourCount    // complete, from the counters
	Minutes  []MinuteCount  // of the newest hour, from the newest events
	Whole    time.Time      // Minutes are complete from here on
	Handlers []HandlerSpeed // of the newest attempts
	Habits   []SourceHabit  // of the newest events
}

// HourCount is how many deliveries of a source ended so within an hour.
type HourCount struct {
	Hour    time.Time
	Source  string
	Outcome string
	N       int64
}

// MinuteCount is how many events of a source were recorded within a minute.
type MinuteCount struct {
	Minute time.Time
	Source string
	N      int64
}

// HandlerSpeed is how the newest attempts of a handler went.
type HandlerSpeed struct {
	Handler       string
	Attempts      int64
	Failed        int64 // did not end as done
	P50, P95, P99 time.Duration
}

// SourceHabit is how often a source speaks.
type SourceHabit struct {
	Source string
	Events int64         // that the gap is known from
	Gap    time.Duration // the usual pause between two events: the median
}

// AuditNote is an entry to be written to the audit trail.
type AuditNote struct {
	Actor  string
	Action string // one word, such as reveal
	Event  string // id of the event concerned; may be empty
	Object string // what else is concerned; may be empty
	Reason string
}

// AuditEntry is an entry of the audit trail.
type AuditEntry struct {
	At         time.Time `json:"at"`
	Actor      string    `json:"actor"`
	Action     string    `json:"action"`
	Event      string    `json:"event,omitempty"`
	Handler    string    `json:"handler,omitempty"`
	Generation int       `json:"generation,omitempty"`
	Was        State     `json:"was,omitempty"`
	Object     string    `json:"object,omitempty"`
	Reason     string    `json:"reason"`
	Position   int64     `json:"position"` // in the chain, from 1; 0 while it is not sealed
	Hash       string    `json:"hash"`     // of this entry and the one before it, hex
}

// AuditReport is the outcome of a walk along the chain.
type AuditReport struct {
	Entries  int64  `json:"entries"`  // sealed and checked
	Unsealed int64  `json:"unsealed"` // too new to be sealed
	Head     string `json:"head"`     // hash of the newest; keep it elsewhere to notice a cut tail
	Broken   int64  `json:"broken"`   // position of the first entry that is not what it was, or missing; 0: none
}

// Pause is a handler that is not given jobs.
type Pause struct {
	Handler string    `json:"handler"`
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Pauser is an optional role of a store: it keeps which handlers are paused, for
// all nodes.
type Pauser interface {
	// SetPaused pauses a handler or lets it go on; audited. A running job goes on
	// either way, and a repeat does nothing.
	SetPaused(ctx context.Context, handler string, paused bool, actor, reason string) error
	// Paused gives the handlers that are paused, by name.
	Paused(ctx context.Context) ([]Pause, error)
}

// SessionKeeper is an optional role of a store: it keeps the sessions of
// operators' browsers, so that they outlive a node and hold on every one.
type SessionKeeper interface {
	// AddSession keeps a session by the hash of its secret, with the hash of the
	// token that it was opened with, until a time; older ones may be forgotten.
	AddSession(ctx context.Context, session, token TokenHash, until time.Time) error
	// SessionToken gives the token of a session that is not over; ErrNotFound if
	// there is none.
	SessionToken(ctx context.Context, session TokenHash) (TokenHash, error)
	// EndSession ends a session; a repeat does nothing.
	EndSession(ctx context.Context, session TokenHash) error
}
