// Package history is the judge of a run: a pure function from what senders
// noted, what the event log shows and which effects were found to a verdict.
//
// It promises to name every broken invariant that such a history can show, to
// raise nothing on a good one, and to say "inconclusive" where a run without
// violations proves nothing because its faults did not hit. Events of different
// keys are independent and per key the model is "set once, effect once", so it
// needs no search and runs in time linear in its input; a verdict can be
// computed again later, by a better judge, from the kept files.
//
// It refuses to guess: a line that cannot be read is an error, and it looks at
// no clock, no file and no database by itself.
package history

import (
	"encoding/json"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Delivery is one request as its sender saw it. The sender writes one line for
// each, except for a dial that failed: that was certainly not delivered.
type Delivery struct {
	Source string     `json:"source"`
	Mode   string     `json:"mode"`
	Key    string     `json:"key"`
	Trust  hook.Trust `json:"trust"`
	SHA    string     `json:"sha"`             // SHA-256 of the body, hex
	Canon  string     `json:"canon,omitempty"` // the same without volatile fields; empty means SHA
	Valid  bool       `json:"valid"`           // the sender built it to be accepted: signature, stamp
	T0     time.Time  `json:"t0"`              // before the dial
	Sent   time.Time  `json:"sent,omitzero"`   // the last byte was written; zero means at once
	T1     time.Time  `json:"t1"`              // answered, closed or given up
	Status int        `json:"status"`          // 0: no answer was read, the outcome is unknown
	Answer string     `json:"answer,omitempty"`
	Node   int        `json:"node,omitempty"` // which of several took it; 0: there is one

	Size       int64 `json:"size,omitempty"`       // bytes of the body
	OverLimit  bool  `json:"over_limit,omitempty"` // over its source's limits: 413 and 431 are right
	Unfinished bool  `json:"unfinished,omitempty"` // the body was never finished
	ShedDue    bool  `json:"shed_due,omitempty"`   // the sender knows that it had to be told to come later
}

// Effect is one row that the test handler wrote.
type Effect struct {
	Source     string          `json:"source"`
	Mode       string          `json:"mode"`
	Key        string          `json:"key"`
	Handler    string          `json:"handler"`
	Generation int             `json:"generation"`
	Attempt    int             `json:"attempt"`
	At         json.RawMessage `json:"at,omitempty"` // kept for people, not judged
}

// Outward is one call that an attempt made to a far side, as that side noted it.
type Outward struct {
	Source         string `json:"source"`
	Mode           string `json:"mode"`
	Key            string `json:"key"`
	Intent         string `json:"intent"` // what is wanted once; a new intent has a new name
	IdempotencyKey string `json:"idempotency_key"`
	Accepted       bool   `json:"accepted"` // it took effect there, not only found again
}

// FaultKind names what was done to the process under test.
type FaultKind string

// The faults whose informative rows the judge knows.
const (
	FaultNone FaultKind = "none"
	FaultKill FaultKind = "kill" // SIGKILL
	FaultStop FaultKind = "stop" // SIGSTOP for longer than a lease, then SIGCONT
	FaultTerm FaultKind = "term" // SIGTERM and a restart

	FaultCut            FaultKind = "cut"             // the connection to the database broken after COMMIT was sent
	FaultDatabaseStop   FaultKind = "database-stop"   // the database server ended as by a crash, and started again
	FaultDatabaseFreeze FaultKind = "database-freeze" // the database server stopped in mid-step, and let go on
)

// Fault is one fault of the run.
type Fault struct {
	Kind     FaultKind `json:"kind"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"` // stop: when the process went on
	Landed   bool      `json:"landed"`         // it met a delivery in flight
	InFlight int       `json:"in_flight"`      // deliveries in flight at that moment
	Detail   string    `json:"detail,omitempty"`
	Node     int       `json:"node,omitempty"` // which of several was hurt; 0: there is one, or all

	Committed bool  `json:"committed,omitempty"` // cut: the transaction had committed
	Away      *Away `json:"away,omitempty"`      // of faults that take the database away
}

// Away is what was seen of the nodes while their database was away.
type Away struct {
	Looks       int   `json:"looks"`        // at the nodes
	FalseReady  int   `json:"false_ready"`  // nodes that said ready once answers were due to be refusals
	Dead        int   `json:"dead"`         // looks at which a node did not say that it lives
	Goroutines  int   `json:"goroutines"`   // the most of any node
	Descriptors int   `json:"descriptors"`  // open descriptors, the most of any node; 0: not known
	MemoryKiB   int64 `json:"memory_kib"`   // resident, the most of any node; 0: not known
	AckAfterMS  int64 `json:"ack_after_ms"` // from the database's return to the first 200
}

// Metrics are totals that only the process itself can tell, summed over its
// restarts, and what the senders counted beside their deliveries.
type Metrics struct {
	StaleFinishes      int `json:"stale_finishes"`
	LeasesTakenOver    int `json:"leases_taken_over"`
	LedgerImbalance    int `json:"ledger_imbalance"` // the worst value of any scrape
	RefusedConnections int `json:"refused_connections"`
	Deadlocks          int `json:"deadlocks"` // that the database server broke up
}

// Input is everything that a run leaves behind. Dump holds the lines of the
// history export: events, conflicts and transitions from one snapshot.
type Input struct {
	Deliveries []Delivery
	Dump       []hook.HistoryLine
	Effects    []Effect
	Outward    []Outward
	Faults     []Fault
	Metrics    Metrics
}

// Options say what the run was to show. The zero value judges the invariants
// and asks for nothing else.
type Options struct {
	// Load asks for the traces that the standard load must leave.
	Load bool
	// Fault asks for the traces of that fault; empty asks for none.
	Fault FaultKind
	// MinLanded is how many faults must have landed; 0 means 1.
	MinLanded int
	// Drained says that after the last fault all work had its time: an event
	// that is not final now never will be. Without it L1 is not judged and a
	// run that asks for a fault or the load is inconclusive.
	Drained bool
	// MaxAttempts bounds failed and lost attempts of a generation; 0 means what
	// the row says.
	MaxAttempts int
	// MaxWaiting bounds the time from the first to the last wait; 0 means no bound.
	MaxWaiting time.Duration
	// Success is the success status of a source; sources not named have 200.
	Success map[string]int
	// TakeoverWithin bounds the time from the end of a lease to its takeover; 0
	// means no bound. Only for runs in which somebody always had a free hand.
	TakeoverWithin time.Duration
	// EffectHandlers write one effect row for each done job; empty means all.
	EffectHandlers []string
	// ClockSlack is how far two clocks may differ; 0 means 10 ms.
	ClockSlack time.Duration
}

// keptConflicts is how many bodies the store keeps beside a row; further ones
// are only counted (reliability §4.2).
const keptConflicts = 8

// Bounds of I12, from the public contract of reception.
const (
	answerWithin = 5 * time.Second  // after the last byte of the request
	bodyWithin   = 10 * time.Second // after the first byte, plus one second per MiB
)

// waitingSlack is what the sweeper that ends a long wait may be late by, with
// restarts in between.
const waitingSlack = 10 * time.Second

func (o Options) withDefaults() Options {
	if o.MinLanded == 0 {
		o.MinLanded = 1
	}
	if o.ClockSlack == 0 {
		o.ClockSlack = 10 * time.Millisecond
	}
	return o
}

func (o Options) success(source string) int {
	if s, ok := o.Success[source]; ok {
		return s
	}
	return 200
}
