package hook

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"time"
)

// Department is a part of the house that has tables, routes and pages of its
// own, such as billing or the checkout. It is a value: a program builds it, opens
// its store with the Tables and hands the rest to the Keeper.
type Department struct {
	Name       string
	Tables     Tables
	Routes     []Route
	Pages      map[string]http.Handler // on the public listener, by path prefix such as /checkout/
	Operations []Operation             // of the operators' API
	Duties     []Duty
	Alarms     []Condition // what must not last
	Metrics    []Metric    // under /metrics, beside the house's own

	// Erase blanks what it keeps of a customer of a source, as an erasure asks; nil:
	// it keeps nothing personal.
	Erase Eraser
}

// Tables are a department's tables as steps of SQL. An engine runs each step
// once, after its own, in order, and refuses to open a database that has more
// steps of that name than Files holds. The zero value has none.
type Tables struct {
	Name  string // 1 to 64 of a-z, 0-9, _ and -; the version is kept under it
	Files fs.FS  // sqlite/0001_name.sql …, postgres/0001_name.sql …: as many steps for each engine

	// Watched are tables whose changes a preview may show; see Preview. On
	// PostgreSQL each gets a trigger that does nothing outside a preview; a table
	// in another schema is named with it.
	Watched []string
}

// Operation is one operation that a department adds to the operators' API. It is
// reached only with a token of at least the role Need.
type Operation struct {
	Method string   // GET, POST or DELETE; a GET changes nothing
	Path   string   // below /api/v1/, with {name} for a part that varies: users/{id}/access
	Need   Role     // the least role
	Query  []string // parameters that it reads; any other is refused
	// Money says that it moves money. Where a second person is required for that,
	// the request waits until another operator approves it, and Handle is called
	// with what was sent then. A repeat of Handle with the same body must not move
	// the money twice.
	Money bool

	// Handle answers with a value that becomes the JSON answer. An ErrNotFound is
	// answered 404, an ErrRefused 409, an ErrBadFilter 400, a Problem as it says,
	// anything else 503. The body of r is bounded already.
	Handle func(r *http.Request) (any, error)

	// Doc is the operation in OpenAPI 3.1: summary, parameters, requestBody,
	// responses. The API adds the role and the errors that all operations share.
	Doc json.RawMessage
}

// Problem is an error with the status that an operator's request is answered.
// Its text is shown: it says what, where and what to do.
type Problem struct {
	Status int
	Detail string
}

// Error is the text that is shown.
func (p *Problem) Error() string { return p.Detail }

type actorKey struct{}

// WithActor returns a context that says which operator asks; the API calls it
// before an Operation's Handle.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns who asks, for the audit trail; empty outside the API.
func ActorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

// Duty is work that comes round by the clock and not by an event: a sweep of
// open orders, a comparison with the sender's API. It runs once at the start and
// then every Every, on one node at a time; a failure is logged and tried again
// at the next turn. Run must end when ctx does, may be cut at any point, and may
// in rare cases run beside itself on another node: what must happen once is
// guarded in the database.
type Duty struct {
	Name  string // 1 to 64 of a-z, 0-9, _ and -
	Every time.Duration
	Run   func(ctx context.Context) error
}

// Metric is a family of numbers that a department shows under /metrics.
type Metric struct {
	Name    string   // hookkeeper_ and more of a-z, 0-9 and _, once in the house; a counter's ends in _total
	Help    string   // what the numbers are, in a sentence
	Labels  []string // names of the labels; their values come from code, never from strangers
	Counter bool     // it only grows while the process lives; otherwise it goes up and down

	// Read gives the present numbers, one for each set of label values. It is
	// called at every scrape, by several goroutines at once, and ends when ctx
	// does. After an error the family is missing from that scrape.
	Read func(ctx context.Context) ([]Sample, error)
}

// Sample is one number of a Metric.
type Sample struct {
	Labels []string // as many values as the Metric has names, in their order
	Value  float64
}

// TurnKeeper is an optional role of a store: it gives the nodes turns at duties.
type TurnKeeper interface {
	// Turn reports whether the turn at name is the caller's: nobody has had one
	// for as long as every, by the store's clock. Taking it counts as having it.
	Turn(ctx context.Context, name string, every time.Duration) (mine bool, err error)
}
