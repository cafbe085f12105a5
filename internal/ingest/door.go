// Package ingest is the front door: it reads a delivery's raw bytes, lets the
// source verify and identify them, has the event recorded, and answers. It
// answers 200 for nothing that is not on disk, refuses nothing that verifies,
// and keeps of a refused delivery only a bounded note.
//
// Every bound on what comes from outside:
//
//	what                         bound                               when it is passed
//	name of a source             ^[a-z0-9_-]{1,64}$, configured      404
//	method                       POST                                405
//	header block                 16 KiB (set on the http.Server)     431, by net/http
//	body                         the source's limit, 1 MiB by        413, from the declared length
//	                             default (GitHub 25 MiB)             before reading
//	body of a hint               64 KiB                              413
//	progress of the body         a byte every 5 s                    closed, no row
//	the whole body               10 s + 1 s per MiB of the limit     closed, no row
//	bytes in flight, all bodies  1/8 of the memory limit             503 + Retry-After
//	signatures tried             8 a header (in package source)      401 or 400
//	nesting of JSON              1,000 (in package source)           200, quarantined
//	deliveries of a source       its rate, none by default           429 + Retry-After
//	hints of a source            20 a second, published addresses    429 + Retry-After
//	                             exempt
//	deliveries that wait         4,096 (in the store)                503 + Retry-After
//	commit                       4.5 s (in the store)                503 + Retry-After
//	rows of hints                32 a subject (in the store)         200, folded into the newest
//	re-queries for hints         one per 10 s and subject            200, due later
//	conflicts kept               8 a key (in the store)              200, counted only
//	notes on refusals            64 KiB of body, 16 MiB a source     the oldest give way
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Bounds of the table in the package comment.
const (
	DefaultMaxBodyBytes = 1 << 20
	MaxHintBytes        = 64 << 10
	HintsPerSecond      = 20
	ProgressTimeout     = 5 * time.Second
	BodyTimeout         = 10 * time.Second
	BodyTimeoutPerMiB   = time.Second
)

// Outcome is how a delivery ended, for the metrics.
type Outcome string

// The outcomes of a delivery.
const (
	Recorded    Outcome = "recorded"
	Duplicate   Outcome = "duplicate"
	Conflict    Outcome = "conflict"
	Quarantined Outcome = "quarantined"
	Rejected    Outcome = "rejected"
	Busy        Outcome = "busy"
	Unavailable Outcome = "unavailable"
)

// Config of a Door. All fields but Meter are required.
type Config struct {
	Sources  []hook.Source
	Recorder hook.Recorder
	Rejector hook.Rejector
	Handlers func(source, eventType string, trust hook.Trust) []string
	Now      func() time.Time
	Logger   *slog.Logger
	Budget   *Budget

	Meter func(source string, outcome Outcome, reason hook.Reason, took time.Duration)

	Tracing hook.Tracing // nil: nothing is traced
}

// Door is the public endpoint of all sources: POST /hooks/{source}.
type Door struct {
	cfg     Config
	sources map[string]*gate
	closed  chan struct{}
}

// gate is one source with what the door keeps for it.
type gate struct {
	source   hook.Source
	maxBytes int64
	refusal  int
	rate     *bucket // nil: no bound
	hints    *bucket
	answerer hook.Answerer
	bounder  hook.Bounder
	canon    func([]byte) []byte
}

// New returns a Door; it starts nothing.
func New(cfg Config) *Door {
	d := &Door{cfg: cfg, sources: map[string]*gate{}, closed: make(chan struct{})}
	for _, s := range cfg.Sources {
		g := &gate{source: s, maxBytes: DefaultMaxBodyBytes, refusal: http.StatusUnauthorized,
			hints: newBucket(HintsPerSecond)}
		if a, ok := s.(hook.Answerer); ok {
			g.answerer, g.refusal = a, a.Refusal()
		}
		if b, ok := s.(hook.Bounder); ok {
			g.bounder = b
			if n := b.MaxBodyBytes(); n > 0 {
				g.maxBytes = n
			}
			if r := b.RatePerSecond(); r > 0 {
				g.rate = newBucket(r)
			}
		}
		if c, ok := s.(hook.Canonicaler); ok {
			g.canon = c.Canonical
		}
		d.sources[s.Name()] = g
	}
	return d
}

// Drain makes the door answer 503 to deliveries that have not begun.
func (d *Door) Drain() {
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
}

func (d *Door) draining() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// visit is one delivery on its way through the door.
type visit struct {
	w     http.ResponseWriter
	r     *http.Request
	gate  *gate
	name  string // for metrics and logs: "unknown" where the path names no source
	began time.Time
	d     hook.Delivery

	read, verified time.Time // only where deliveries are traced
}

// ServeHTTP takes a delivery. It owns every path below /hooks/.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{w: w, r: r, name: "unknown", began: time.Now()}
	// A body that is announced and never sent, for a door that is never opened,
	// must not hold the connection; reading one moves the deadline.
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(v.began.Add(ProgressTimeout))
	}
	if r.RequestURI == "*" { // the preface of HTTP/2, or a question to the server as a whole
		w.Header().Set("Connection", "close")
		d.refuse(v, http.StatusBadRequest, "", "no path")
		return
	}
	if len(r.TransferEncoding) > 0 {
		// A chunked body may hide a second request behind a Content-Length that
		// another party believed; the connection ends with this answer.
		w.Header().Set("Connection", "close")
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/hooks/")
	gate, known := d.sources[name]
	switch {
	case !ok || !known:
		d.refuse(v, http.StatusNotFound, "", "no such source")
		return
	case r.Method != http.MethodPost:
		v.name, v.gate = name, gate
		w.Header().Set("Allow", http.MethodPost)
		d.refuse(v, http.StatusMethodNotAllowed, "", "only POST delivers")
		return
	}
	v.name, v.gate = name, gate
	d.take(v)
}

// take walks a delivery through its steps; each ends it or lets it pass.
func (d *Door) take(v *visit) {
	if d.draining() {
		d.unavailable(v, errors.New("shutting down"))
		return
	}
	if v.gate.rate != nil && !v.gate.rate.take(v.began) {
		d.busy(v)
		return
	}
	body, release, ok := d.read(v)
	if !ok {
		return
	}
	defer release()
	if d.cfg.Tracing != nil {
		v.read = time.Now()
	}
	v.d = hook.Delivery{Source: v.name, Header: v.r.Header, Body: body, ReceivedAt: d.cfg.Now(), Remote: v.r.RemoteAddr}
	if fault.Mutant("log_unverified") {
		d.rememberFirst(v)
	}
	if err := v.gate.source.Verify(v.d.Header, body, v.d.ReceivedAt); err != nil {
		d.unverified(v, err)
		return
	}
	if d.cfg.Tracing != nil {
		v.verified = time.Now()
	}
	if a := v.gate.answerer; a != nil {
		if answer, ok := a.Handshake(v.d.Header, body); ok {
			v.w.Header().Set("Content-Type", "application/json")
			_, _ = v.w.Write(answer)
			return
		}
	}
	id := d.identify(v)
	if id.Trust == hook.TrustHint && !d.hintFits(v) {
		return
	}
	d.record(v, id)
}

// rememberFirst is a known mistake for the tests: an id is remembered before
// anybody has looked at the signature.
func (d *Door) rememberFirst(v *visit) {
	id := d.identify(v)
	_, _ = d.cfg.Recorder.Record(context.WithoutCancel(v.r.Context()), v.d, id,
		d.cfg.Handlers(v.name, id.Type, id.Trust))
}

// identify never refuses: what cannot be read is recorded without jobs.
func (d *Door) identify(v *visit) hook.Identity {
	id, err := v.gate.source.Identify(v.d.Header, v.d.Body)
	if err != nil {
		id.Quarantine = hook.QuarantineUnreadable
		if q, ok := errors.AsType[*hook.QuarantineError](err); ok {
			id.Quarantine = q.Reason
		}
	}
	if id.Trust == "" {
		id.Trust = hook.TrustSignature
	}
	id.Canonical = v.gate.canon
	return id
}

// hintFits bounds what nobody has signed.
func (d *Door) hintFits(v *visit) bool {
	if len(v.d.Body) > MaxHintBytes {
		d.refuse(v, http.StatusRequestEntityTooLarge, hook.ReasonTooLarge, "a hint may have 64 KiB")
		return false
	}
	if b := v.gate.bounder; b != nil {
		if addr, ok := peer(v.d.Remote); ok && b.Published(addr) {
			return true
		}
	}
	if !v.gate.hints.take(v.began) {
		d.busy(v)
		return false
	}
	return true
}

// record is where a delivery becomes an event. The sender may hang up; what is
// handed to the store is finished all the same.
func (d *Door) record(v *visit, id hook.Identity) {
	handlers := d.cfg.Handlers(v.name, id.Type, id.Trust)
	receipt, err := d.cfg.Recorder.Record(context.WithoutCancel(v.r.Context()), v.d, id, handlers)
	if err != nil && !fault.Mutant("swallow_db_error") {
		d.unavailable(v, err)
		return
	}
	if err := fault.Point("before-answer"); err != nil {
		d.unavailable(v, err)
		return
	}
	d.accept(v, id, receipt)
	if d.cfg.Tracing != nil {
		d.cfg.Tracing.Delivered(hook.TracedDelivery{
			Event: receipt.EventID, Source: v.name, Type: id.Type, Trust: id.Trust, Duplicate: receipt.Duplicate,
			Parent: v.r.Header.Get("Traceparent"), Began: v.began, Read: v.read, Verified: v.verified, Recorded: time.Now(),
		})
	}
}
