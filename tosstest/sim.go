// Package tosstest plays Toss Payments: the script of js.tosspayments.com, the
// payment window, the core API and the sender of its events, as one plain
// http.Handler with all state in memory. Tests drive a Sim from Go or through
// its control API; hookkeeper sandbox toss and hookkeeper dev serve it to people.
//
// It promises: only what the documented states allow happens to a payment,
// however many goroutines ask at once; each change of state is sent to the
// receiver in order, retried as Toss retries, and every call, operation and
// delivery is kept to be asked for; a fault that was ordered happens once. Time
// is a clock of its own, which Advance moves, so that nothing is waited for
// except what a fault orders.
//
// It refuses to be taken for the real thing: payment keys begin with tsim_,
// everything is gone when the process ends, and nothing that it serves or keeps
// holds a secret key. It knows nothing of hookkeeper.
//
// It is larger than other packages because it is four servers of another company
// in one; their common state is what makes it worth having.
package tosstest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// How deliveries are signed, values of Options.Sign.
const (
	SignNone   = "none"   // no signature header on anything
	SignDocs   = "docs"   // as documented: payout.changed and seller.changed only
	SignAll    = "all"    // the documented formula on every event
	SignLegacy = "legacy" // HMAC over the body alone, on every event; documented nowhere
)

// Event types that can be registered, values of Options.Events.
const (
	EventPayment = "PAYMENT_STATUS_CHANGED"
	EventDeposit = "DEPOSIT_CALLBACK" // our name; its body has no eventType
)

// Options configure a Sim. The zero value is a simulator that takes any test
// key, sends nothing and has a clock that runs as the wall's.
type Options struct {
	// SecretKey is the only key that the core API takes. Empty: any key that
	// begins with test_gsk_ or test_sk_.
	SecretKey string

	// SecurityKeys sign deliveries, 64 hexadecimal digits each; two make two
	// signatures, as while Toss replaces a key.
	SecurityKeys []string
	KeyEncoding  string // hex: the digits are the key (default); bytes: what they spell
	Sign         string // SignNone, SignDocs, SignAll or SignLegacy; default docs with keys, none without

	// WebhookURL gets the deliveries; Receiver instead takes them in this
	// process. With neither they are only noted. SendTo changes it later.
	WebhookURL string
	Receiver   http.Handler

	Events          []string      // registered types; default EventPayment and EventDeposit
	DeliveryTimeout time.Duration // for one answer, on the wall clock; default 10 s
	RetriesKeepTime bool          // retries repeat the first transmission time

	BaseURL   string           // in the links of payments; default http://127.0.0.1:7070
	TimeScale float64          // speed of the clock; default 1, -1: it only moves by Advance
	Now       func() time.Time // the wall clock; default time.Now

	RateLimit    int               // calls a minute to each API; default no limit, as Toss's test mode: 100
	ReplayErrors bool              // an Idempotency-Key repeats errors too, not only successes
	PayByGET     bool              // the window's buttons work by GET
	Say          func(line string) // told each answered call and each attempt to deliver, by many goroutines
	Codes        map[string]string // other error codes where Toss's are not known, by the names of Unsure
}

// Unsure are the cases in which the exact error code of Toss is not known, with
// the code that stands for it here unless Options.Codes names another.
func Unsure() map[string]string {
	return map[string]string{
		"wrongOrder":           "NOT_FOUND_PAYMENT_SESSION",
		"wrongAmount":          "INVALID_REQUEST",
		"overRefund":           "INVALID_REFUND_AMOUNT",
		"missingRefundAccount": "INVALID_REQUEST",
		"rateLimited":          "TOO_MANY_REQUESTS",
	}
}

// Validate returns everything that is wrong, joined, or nil. It names settings,
// never the value of a key.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tosstest: "+format, args...)) }
	for i, key := range o.SecurityKeys {
		if raw, err := hex.DecodeString(key); err != nil || len(raw) != 32 {
			bad("security key %d: want 64 hexadecimal digits", i+1)
		}
	}
	if !slices.Contains([]string{"", "hex", "bytes"}, o.KeyEncoding) {
		bad("key encoding %q: want hex or bytes", o.KeyEncoding)
	}
	if !slices.Contains([]string{"", SignNone, SignDocs, SignAll, SignLegacy}, o.Sign) {
		bad("sign %q: want none, docs, all or legacy", o.Sign)
	} else if o.Sign != "" && o.Sign != SignNone && len(o.SecurityKeys) == 0 {
		bad("sign %s: needs a security key", o.Sign)
	}
	if o.WebhookURL != "" {
		if u, err := url.Parse(o.WebhookURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("webhook %q: want an http address such as http://127.0.0.1:8080/hooks/toss", o.WebhookURL)
		}
	}
	if o.TimeScale < 0 && o.TimeScale != -1 || o.TimeScale > 1e6 {
		bad("time scale %g: want a speed up to a million, or -1 for a clock that stands", o.TimeScale)
	}
	if o.RateLimit < 0 || o.DeliveryTimeout < 0 {
		bad("rate limit and delivery timeout must not be negative")
	}
	for _, e := range o.Events {
		if e != EventPayment && e != EventDeposit {
			bad("event %q: want %s or %s", e, EventPayment, EventDeposit)
		}
	}
	for name := range o.Codes {
		if Unsure()[name] == "" {
			bad("codes: %q is no case whose code is unsure", name)
		}
	}
	return errors.Join(errs...)
}

func (o *Options) defaults() {
	if o.KeyEncoding == "" {
		o.KeyEncoding = "hex"
	}
	if o.Sign == "" {
		o.Sign = SignNone
		if len(o.SecurityKeys) > 0 {
			o.Sign = SignDocs
		}
	}
	if len(o.Events) == 0 {
		o.Events = []string{EventPayment, EventDeposit}
	}
	if o.DeliveryTimeout == 0 {
		o.DeliveryTimeout = 10 * time.Second // Toss waits so long
	}
	if o.BaseURL == "" {
		o.BaseURL = "http://127.0.0.1:7070"
	}
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	codes := Unsure()
	for name, code := range o.Codes {
		codes[name] = code
	}
	o.Codes = codes
}

// Sim is the simulator. All its methods may be called by many goroutines at
// once. Make it with New, serve it as an http.Handler, and end it with Close.
type Sim struct {
	opts Options // fixed after New
	mux  http.Handler
	ctx  context.Context // ends with Close
	stop context.CancelFunc

	advancing sync.Mutex // one Advance at a time; taken before mu

	mu     sync.Mutex
	landed *sync.Cond        // one of flying has gone
	flying map[*sending]bool // deliveries on their way or about to start
	clock  clock
	due    []*timer
	wake   *time.Timer // looks at due when the next one's time has come
	hung   map[chan struct{}]bool
	out    receiver
	state
}

// state is what Reset empties.
type state struct {
	epoch    int // deliveries of an earlier one leave no trace
	payments map[string]*payment
	order    []*payment // as they were made
	byOrder  map[string][]*payment
	answers  map[string]*answered
	rates    map[string]*window
	faults   map[string][]Fault
	held     []*sending // by the fault reorder
	calls    []*Call
	ops      []Op
	tried    []Delivery
	ledger   []transaction
	hangs    map[string]bool // operations that hang in a page: released or not
	serial   int64
}

func newState(epoch int) state {
	return state{
		epoch: epoch, payments: map[string]*payment{}, byOrder: map[string][]*payment{}, answers: map[string]*answered{},
		rates: map[string]*window{}, faults: map[string][]Fault{}, hangs: map[string]bool{},
	}
}

// New returns a simulator that is ready to be served. It panics if the options
// are not valid: ask Options.Validate first where they come from people.
func New(o Options) *Sim {
	if err := o.Validate(); err != nil {
		panic(err.Error())
	}
	o.defaults()
	s := &Sim{opts: o, state: newState(0), hung: map[chan struct{}]bool{}, flying: map[*sending]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.landed = sync.NewCond(&s.mu)
	s.clock = newClock(o)
	s.out = newReceiver(o.WebhookURL, o.Receiver)
	s.mux = s.routes()
	return s
}

// ServeHTTP answers as Toss does; the paths under /__sim are the control API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	}
	s.mux.ServeHTTP(w, r)
}

// maxBodyBytes is far above what any caller of Toss sends.
const maxBodyBytes = 1 << 20

// Close lets go of everything that hangs, ends deliveries on their way and waits
// for them. A closed Sim still answers but sends nothing more. Close it before
// the server that it is served by, which would wait for what hangs.
func (s *Sim) Close() {
	s.stop()
	s.ReleaseHung()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		s.wake.Stop()
	}
	s.due = nil
	for len(s.flying) > 0 {
		s.landed.Wait()
	}
	s.out.client.CloseIdleConnections()
}

// Reset makes the state clean: no payments, faults, logs, due events or stored
// answers. What hangs is let go. Clock and receiver stay.
func (s *Sim) Reset() {
	s.ReleaseHung()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = newState(s.epoch + 1)
	s.due = nil
}

// SendTo directs all later deliveries to a URL; an empty one stops them.
func (s *Sim) SendTo(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.client.CloseIdleConnections()
	s.out = newReceiver(url, nil)
}

// SendToHandler directs all later deliveries to a handler in this process, under
// the given path.
func (s *Sim) SendToHandler(path string, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.client.CloseIdleConnections()
	s.out = newReceiver("http://receiver.invalid"+path, h)
}

// say tells the one who watches. The caller does not hold mu.
func (s *Sim) say(format string, args ...any) {
	if s.opts.Say != nil {
		s.opts.Say(strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// keep appends to a log that must not grow for ever.
func keep[T any](log *[]T, entry T) {
	if len(*log) >= maxLog {
		*log = slices.Delete(*log, 0, maxLog/10)
	}
	*log = append(*log, entry)
}

// maxLog bounds each log; the oldest tenth goes when it is full.
const maxLog = 20000
