package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// flood is the hostile sender: it sends the planned events, each until it has
// been acknowledged, and notes every delivery.
type flood struct {
	plan    plan
	targets []*target
	client  *http.Client
	notes   *notes
	gate    *gate

	next    atomic.Int64 // number of the next event
	turn    atomic.Int64 // of the targets
	refused atomic.Int64 // dials that failed: certainly not delivered
	acked   atomic.Int64 // when the last delivery was acknowledged, Unix nanoseconds
}

// target is a node as senders see it.
type target struct {
	number   int
	base     string        // URL of the public listener
	inFlight atomic.Int64  // deliveries on an open connection, not yet answered
	unknown  atomic.Int64  // deliveries that no answer was read for
	departed chan struct{} // has something soon after a delivery got its connection
}

func newFlood(o Options, nodes []*node, notes *notes) *flood {
	f := &flood{
		plan: plan{o}, notes: notes, gate: newGate(),
		client: &http.Client{
			Timeout:       senderTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{MaxIdleConnsPerHost: o.Senders * parallelCopies},
		},
	}
	for _, n := range nodes {
		f.targets = append(f.targets, &target{number: n.number, base: "http://" + n.public, departed: make(chan struct{}, 1)})
	}
	return f
}

// Pauses between two deliveries of one copy, and what ends its repeats: a
// sender gives up on a receiver that goes on refusing.
const (
	pauseMin    = 5 * time.Millisecond
	pauseMax    = 25 * time.Millisecond
	maxRefusals = 50
	lateAfter   = 20 // events later
	// shedFactor is how much longer a sender pauses that was told to come later.
	shedFactor = 10
)

// run sends everything and returns when every sender has ended.
func (f *flood) run(ctx context.Context) {
	defer f.client.CloseIdleConnections()
	var senders sync.WaitGroup
	for range f.plan.opt.Senders {
		senders.Go(func() { f.sender(ctx) })
	}
	senders.Wait()
}

// sender takes one event after the other. Late copies are sent some events
// afterwards, often over a restart.
func (f *flood) sender(ctx context.Context) {
	var late []event
	for sent := 0; ctx.Err() == nil; sent++ {
		n := int(f.next.Add(1)) - 1
		if n >= f.plan.opt.Events || f.gate.pass(ctx, n) != nil {
			break
		}
		e := f.plan.event(n)
		f.send(ctx, e)
		if e.late {
			late = append(late, e)
		}
		if len(late) > 0 && sent%lateAfter == lateAfter-1 {
			f.repeat(ctx, late[0], parallelCopies)
			late = late[1:]
		}
	}
	for _, e := range late {
		f.repeat(ctx, e, parallelCopies)
	}
}

// send plays the part of one event: forged and stale copies first, then the
// genuine ones.
func (f *flood) send(ctx context.Context, e event) {
	if e.forged {
		f.once(ctx, letter{event: e, body: f.plan.forgedBody(e), secret: forgersSecret(e.source)})
	}
	if e.stale {
		l := f.genuine(e)
		l.valid, l.age = false, time.Hour
		f.once(ctx, l)
	}
	if !e.parallel {
		f.repeat(ctx, e, 0)
		return
	}
	var copies sync.WaitGroup
	for n := range parallelCopies {
		copies.Go(func() { f.repeat(ctx, e, n) })
	}
	copies.Wait()
}

// letter is one delivery to be made.
type letter struct {
	event
	body   []byte
	secret string
	age    time.Duration // how old its stamp is
	valid  bool
}

func (f *flood) genuine(e event) letter {
	return letter{event: e, body: f.plan.body(e), secret: secretOf(e.source, f.plan.opt.Seed), valid: true}
}

// repeat delivers a genuine copy until it is acknowledged.
func (f *flood) repeat(ctx context.Context, e event, copyNumber int) {
	l := f.genuine(e)
	pauses := f.plan.dice(e.number, purposePauses+copyNumber)
	for refusals := 0; refusals < maxRefusals; {
		status, _ := f.deliver(ctx, l)
		if status >= 200 && status < 300 {
			return
		}
		if status >= 300 && status < 500 {
			refusals++
		}
		longer := time.Duration(1)
		if status == http.StatusServiceUnavailable {
			longer = shedFactor
		}
		if wait(ctx, longer*pause(pauses)) != nil {
			return
		}
	}
}

// once delivers a copy that is to be refused. It is repeated only while nobody
// answers the dial, so that the forgery does come first.
func (f *flood) once(ctx context.Context, l letter) {
	pauses := f.plan.dice(l.number, purposePauses)
	for {
		if _, dialled := f.deliver(ctx, l); dialled {
			return
		}
		if wait(ctx, pause(pauses)) != nil {
			return
		}
	}
}

func pause(d *rand.Rand) time.Duration {
	return pauseMin + time.Duration(d.Int64N(int64(pauseMax-pauseMin)))
}

// deliver makes one delivery and notes it. dialled is false if there was no
// connection, so that it certainly did not arrive and is not noted.
func (f *flood) deliver(ctx context.Context, l letter) (status int, dialled bool) {
	sum := sha256.Sum256(l.body)
	to := f.targets[int(f.turn.Add(1))%len(f.targets)]
	d := history.Delivery{
		Source: l.source, Mode: l.mode, Key: l.key, Trust: hook.TrustSignature,
		SHA: hex.EncodeToString(sum[:]), Valid: l.valid, Size: int64(len(l.body)), T0: time.Now(), Node: to.number,
	}
	var err error
	d.Status, d.Answer, err = f.post(ctx, to, l, d.T0.Add(-l.age))
	d.T1 = time.Now()
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		f.refused.Add(1)
		return 0, false
	}
	if d.Status == 0 {
		to.unknown.Add(1)
	}
	if d.Status >= 200 && d.Status < 300 {
		f.acked.Store(d.T1.UnixNano())
	}
	f.notes.add(d)
	return d.Status, true
}

// post sends the letter and reads the answer. A status without an error has
// been read; every other outcome is unknown.
func (f *flood) post(ctx context.Context, to *target, l letter, stamped time.Time) (status int, answer string, err error) {
	var open atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if !open.CompareAndSwap(false, true) {
			return
		}
		to.inFlight.Add(1)
		select {
		case to.departed <- struct{}{}:
		default:
		}
	}})
	defer func() {
		if open.Load() {
			to.inFlight.Add(-1)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.base+"/hooks/"+l.source, bytes.NewReader(l.body))
	if err != nil {
		return 0, "", err
	}
	sign(req.Header, l.source, l.key, l.secret, l.body, stamped)
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	// The status decides, as it does for real senders; a body cut short only
	// hides which kind of 2xx it was.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct{ Status string }
	if json.Unmarshal(text, &said) == nil {
		answer = said.Status
	}
	return resp.StatusCode, answer, nil
}

// gate holds events back, so that the load lasts as long as the faults do.
type gate struct {
	mu    sync.Mutex
	open  int // events below this number may pass
	moved chan struct{}
}

func newGate() *gate { return &gate{moved: make(chan struct{})} }

// raise lets the events below n pass. It never takes back.
func (g *gate) raise(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n <= g.open {
		return
	}
	g.open = n
	close(g.moved)
	g.moved = make(chan struct{})
}

// pass waits until event n may pass, or until ctx ends.
func (g *gate) pass(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		open, moved := g.open, g.moved
		g.mu.Unlock()
		if n < open {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
