// Package dashboard is the operators' door: the JSON interface /api/v1 for
// scripts and the pages /dashboard/ for people, through which they look into the
// event log and put recorded events to work again.
//
// It promises that nothing is shown or changed without an operator token of a
// sufficient role, that whoever guesses tokens is slowed down, that every list ends in pages or in
// a stream, and that every error is a problem document which names what was
// wrong. It knows a [hook.Ledger], what the store can do besides ([hook.Desk] and
// its like), and the [hook.Operation]s of departments, and nothing else: no engine,
// no sender. The API refuses cookies, unknown parameters and unknown fields.
//
// The pages open a session for a token, and it is worth what its token is worth;
// a GET changes nothing, a form of another site is refused, and whatever a
// stranger has sent is shown as text, with all that steers made visible. Both
// doors are in one package, and so it is larger than others, because they share
// the gate: its roles, its brake and its memory of tokens must not come apart.
package dashboard

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// APIConfig is what the API stands on. Ledger is required.
type APIConfig struct {
	Ledger  hook.Ledger
	Sources []SourceInfo
	// Gate lets operators in. Nil lets nobody in.
	Gate *Gate
	// Logger gets the cause of answers 503; nil means no log.
	Logger *slog.Logger
	// Draining is closed when hookkeeper shuts down: answers that wait for
	// something then end. Nil means never.
	Draining <-chan struct{}
	// Alarms gives alarms; nil: there are none.
	Alarms hook.AlarmBook
	// Previews plans a replay and says what it would change; nil: nothing does.
	Previews hook.Planner
	// Retention is what is kept how long.
	Retention hook.Retention
	// Approvals holds operations that move money back until a second operator has
	// approved them; nil: nothing needs that.
	Approvals *Approvals
	// Operations are what departments add, each of which CheckOperation passes.
	Operations []hook.Operation
}

// SourceInfo is a configured source as operators see it. It never holds a
// secret.
type SourceInfo struct {
	Name         string   `json:"name"`
	Endpoint     string   `json:"endpoint"` // path on the public listener
	Sender       string   `json:"sender,omitempty"`
	Signs        bool     `json:"signs"` // it can sign test deliveries
	MaxBodyBytes int64    `json:"max_body_bytes"`
	Rate         float64  `json:"rate_per_second"` // 0: no bound
	Refusal      int      `json:"refusal"`         // status code for what does not verify
	Warnings     []string `json:"warnings"`

	LastEvent *time.Time `json:"last_event"` // filled in by the API
}

// defaultMaxBodyBytes is the largest body of a source that sets no bound of its
// own, as the public contract states it.
const defaultMaxBodyBytes = 1 << 20

// Describe reads what a source says of itself through its optional abilities.
func Describe(s hook.Source) SourceInfo {
	info := SourceInfo{
		Name: s.Name(), Endpoint: "/hooks/" + s.Name(), MaxBodyBytes: defaultMaxBodyBytes,
		Refusal: http.StatusUnauthorized, Warnings: []string{},
	}
	if n, ok := s.(interface{ Sender() string }); ok {
		info.Sender = n.Sender()
	}
	if _, ok := s.(hook.Signer); ok {
		info.Signs = true
	}
	if b, ok := s.(hook.Bounder); ok {
		if n := b.MaxBodyBytes(); n > 0 {
			info.MaxBodyBytes = n
		}
		info.Rate = b.RatePerSecond()
	}
	if a, ok := s.(hook.Answerer); ok {
		info.Refusal = a.Refusal()
	}
	if v, ok := s.(hook.Validator); ok {
		info.Warnings = append(info.Warnings, v.Warnings()...)
	}
	return info
}

// api is fixed after API returned.
type api struct {
	ledger  hook.Ledger
	sources []SourceInfo
	gate    *Gate
	log     *slog.Logger
	mux     *http.ServeMux
	doc     []byte // openapi.json

	keep      hook.Retention
	alarms    hook.AlarmBook // nil: there are none
	previews  hook.Planner   // nil: nobody says what a replay would change
	masker    *show.Masker
	approvals *Approvals  // nil: nothing needs a second person
	feeder    hook.Feeder // nil if the ledger is none
	pauser    hook.Pauser
	bulk      hook.BulkKeeper
	waiting   chan struct{}
	draining  <-chan struct{}
}

// API returns the handler of /api/v1/. It is safe for concurrent use and starts
// nothing. It panics without a ledger, which is an error of the programmer.
func API(c APIConfig) http.Handler {
	if c.Ledger == nil {
		panic("dashboard: API without a ledger")
	}
	a := &api{
		ledger: c.Ledger, sources: c.Sources, gate: c.Gate, log: c.Logger, mux: http.NewServeMux(),
	}
	a.feeder, _ = c.Ledger.(hook.Feeder)
	a.keep = c.Retention
	a.pauser, _ = c.Ledger.(hook.Pauser)
	a.bulk, _ = c.Ledger.(hook.BulkKeeper)
	a.alarms, a.previews, a.masker = c.Alarms, c.Previews, show.NewMasker()
	a.approvals = c.Approvals
	a.waiting, a.draining = make(chan struct{}, maxFeedsAwait), c.Draining
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.gate == nil {
		a.gate = NewGate(GateConfig{})
	}
	var err error
	if a.doc, err = document(openAPIDocument, c.Operations); err != nil {
		panic("dashboard: openapi.json: " + err.Error()) // operationsOf would tell as well
	}
	for _, rt := range operationsOf(c.Operations) {
		a.register(rt)
	}
	return a
}
