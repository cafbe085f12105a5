package hook

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// Handler works one event. It runs outside any transaction, may run more than
// once, also beside a stale twin of itself, and must end when ctx does. What it
// wants written it returns as an Effect; nil means that there is nothing to
// write. The error decides the fate of the attempt: see ErrNotYet, ErrPermanent
// and After; any other error is tried again.
type Handler interface {
	Handle(ctx context.Context, e *Event) (Effect, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, e *Event) (Effect, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, e *Event) (Effect, error) { return f(ctx, e) }

// Effect is the writes that follow from an event. The store runs it in the
// transaction that ends the job: both commit or neither does. It must be short
// (on SQLite it has 250 ms), does database writes only, may run again after a
// rollback, must not keep tx, and must not call Record, Finish or Apply.
type Effect func(ctx context.Context, tx Tx) error

// Tx is the part of a transaction that an effect may use. Placeholders are $1,
// $2 … on both engines. Statements that begin, end or name a transaction are
// refused.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Route binds a handler to event types of a source under a stable name. The
// name is stored with every job, so it is unique and renamed only by a
// migration.
type Route struct {
	Name    string
	Source  string // exact name of a source, or a pattern; empty means every source
	Types   string // pattern of types; empty means every type
	Handler Handler

	// Events are pairs source:type, each part a pattern, of which at least one
	// must fit as well: Source and Types alone would take every combination of
	// theirs. Empty means no such condition.
	Events []string

	// Strict keeps later events of a subject back for as long as an earlier one
	// is retried; otherwise for at most a minute.
	Strict bool
	// Batch lets effects of this route share one commit with others. Only for
	// effects that are one short statement; if one of a batch fails, each is
	// run again alone. Where more than about 200 jobs come a second, one may wait a
	// tenth of a second for others to be claimed with.
	Batch bool
	// MaxAttempts is how often an attempt may fail or be lost before the job is
	// dead; zero means the worker's default.
	MaxAttempts int
	// Preview says that the handler can be run without consequences; nil means
	// that a replay of it cannot be previewed.
	Preview *Preview
	// Trust lists the kinds of evidence that the handler takes. Empty means
	// all, hints included: a handler must look at Event.Trust before it
	// believes a body.
	Trust []Trust
}

// Wants reports whether the route takes events of this source, type and trust.
func (r *Route) Wants(source, eventType string, trust Trust) bool {
	if r.Source != "" && !Match(r.Source, source) {
		return false
	}
	if r.Types != "" && !Match(r.Types, eventType) {
		return false
	}
	if len(r.Events) > 0 && !slices.ContainsFunc(r.Events, func(pair string) bool {
		s, t, _ := strings.Cut(pair, ":")
		return Match(s, source) && Match(t, eventType)
	}) {
		return false
	}
	if len(r.Trust) == 0 {
		return true
	}
	for _, t := range r.Trust {
		if t == trust {
			return true
		}
	}
	return false
}

// Match reports whether name matches pattern: * stands for any run of
// characters, dots included, and a comma means or.
func Match(pattern, name string) bool {
	for p := range strings.SplitSeq(pattern, ",") {
		if matchOne(strings.TrimSpace(p), name) {
			return true
		}
	}
	return false
}

func matchOne(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
