package tosstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// The headers of a delivery.
const (
	headerID        = "Tosspayments-Webhook-Transmission-Id"
	headerTime      = "Tosspayments-Webhook-Transmission-Time"
	headerRetried   = "Tosspayments-Webhook-Transmission-Retried-Count"
	headerSignature = "Tosspayments-Webhook-Signature"
)

// gaps are the times after a failed attempt until the next, as documented.
func gaps() []time.Duration {
	return []time.Duration{time.Minute, 4 * time.Minute, 16 * time.Minute, 64 * time.Minute,
		256 * time.Minute, 1024 * time.Minute, 4096 * time.Minute}
}

// Delivery is one attempt to deliver an event.
type Delivery struct {
	At         time.Time   `json:"at"`
	EventType  string      `json:"eventType"`
	PaymentKey string      `json:"paymentKey,omitempty"`
	ID         string      `json:"id"`      // of the transmission; the same for all its attempts
	Retried    int         `json:"retried"` // 0 for the first attempt
	Fault      string      `json:"fault,omitempty"`
	URL        string      `json:"url,omitempty"`
	Header     http.Header `json:"header,omitempty"`
	Body       string      `json:"body"`
	Status     int         `json:"status"` // zero: no answer
	Answer     string      `json:"answer,omitempty"`
	Millis     float64     `json:"ms"`
	Error      string      `json:"error,omitempty"`
	NextAt     *time.Time  `json:"nextAt,omitempty"` // of the next attempt
}

// sending is one event on its way to the receiver.
type sending struct {
	epoch      int
	paymentKey string
	eventType  string
	id         string
	body       []byte
	sign       string
	fault      string
	firstAt    time.Time     // of the first attempt; owned by the goroutine that sends
	retried    int           // owned by the goroutine that sends
	after      *sending      // is attempted before it
	then       []*sending    // follow it, held back by the fault reorder
	first      chan struct{} // closed after the first attempt
}

// receiver is where deliveries go. It does not change once made.
type receiver struct {
	url    string // empty: nowhere
	client *http.Client
}

func newReceiver(url string, h http.Handler) receiver {
	if url == "" && h != nil {
		url = "http://receiver.invalid/hooks/toss"
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if h != nil {
		c.Transport = inProcess{h}
	} else if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		own := standard.Clone()
		own.MaxConnsPerHost, own.MaxIdleConnsPerHost = 64, 64 // a receiver is one machine
		c.Transport = own
	}
	return receiver{url: url, client: c}
}

// changed makes the deliveries for a payment's new state, in each registered
// shape. The caller holds mu and launches them when it has let it go.
func (s *Sim) changed(p *payment) []*sending {
	var out []*sending
	for _, shape := range s.opts.Events {
		switch {
		case shape == EventPayment:
			out = append(out, s.prepare(p, EventPayment, s.paymentBody(p.Payment))...)
		case p.VirtualAccount != nil:
			out = append(out, s.prepare(p, EventDeposit, s.depositBody(p.Payment))...)
		}
	}
	return out
}

func (s *Sim) createdAt() string {
	return s.clock.now().In(kst()).Format("2006-01-02T15:04:05.000000")
}

func (s *Sim) paymentBody(p Payment) []byte {
	return marshal(struct {
		EventType string  `json:"eventType"`
		CreatedAt string  `json:"createdAt"`
		Data      Payment `json:"data"`
	}{EventPayment, s.createdAt(), p})
}

func (s *Sim) depositBody(p Payment) []byte {
	return marshal(struct {
		CreatedAt      string  `json:"createdAt"`
		Secret         *string `json:"secret"`
		OrderID        string  `json:"orderId"`
		Status         string  `json:"status"`
		TransactionKey *string `json:"transactionKey"`
	}{s.createdAt(), p.Secret, p.OrderID, p.Status, p.LastTransactionKey})
}

// marshal writes values of ours, which cannot fail, as Toss does: < and > stay.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("tosstest: " + err.Error())
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// prepare makes the deliveries of one event, with the fault that is ordered for
// it. Those that may go at once are returned, and counted as on their way. The
// caller holds mu.
func (s *Sim) prepare(p *payment, eventType string, body []byte) []*sending {
	f := s.take("webhook")
	one := s.newSending(p, eventType, body)
	one.fault = f.Action
	out := []*sending{one}
	switch f.Action {
	case "drop":
		keep(&s.tried, Delivery{At: s.clock.now(), EventType: eventType, PaymentKey: one.paymentKey, ID: one.id,
			Fault: f.Action, Body: string(body), Error: "never sent, by a fault"})
		return nil
	case "delay":
		s.at(s.clock.now().Add(time.Duration(f.MS)*time.Millisecond), func() { s.relaunch(one) })
		return nil
	case "reorder":
		s.held = append(s.held, one)
		return nil
	case "duplicate":
		for range max(f.N, 2) - 1 {
			twin := *one
			twin.first = make(chan struct{})
			out = append(out, &twin)
		}
	case "contradict":
		if eventType == EventPayment {
			wrong := p.clone()
			wrong.Status = StatusAborted
			out = append(out, s.newSending(p, eventType, s.paymentBody(wrong)))
		}
	}
	for _, one := range out {
		if p != nil {
			one.after, p.last = p.last, one
		}
	}
	last := out[len(out)-1]
	last.then, s.held = s.held, nil
	s.count(out)
	s.count(last.then)
	return out
}

func (s *Sim) newSending(p *payment, eventType string, body []byte) *sending {
	one := &sending{epoch: s.epoch, eventType: eventType, id: "whtrans_" + random(20), body: body,
		sign: s.opts.Sign, first: make(chan struct{})}
	if p != nil {
		one.paymentKey = p.PaymentKey
	}
	return one
}

// count notes deliveries as on their way, which launch must follow. The caller
// holds mu.
func (s *Sim) count(out []*sending) {
	for _, one := range out {
		s.flying[one] = true
	}
}

// launch starts counted deliveries. The caller does not hold mu.
func (s *Sim) launch(out []*sending) {
	for _, one := range out {
		go s.send(one)
	}
}

// relaunch counts and starts one.
func (s *Sim) relaunch(one *sending) {
	s.mu.Lock()
	s.flying[one] = true
	s.mu.Unlock()
	s.launch([]*sending{one})
}

func (s *Sim) send(one *sending) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.flying, one)
		s.landed.Broadcast()
	}()
	if one.after != nil {
		<-one.after.first // ends soon after Close: every attempt does
		one.after = nil
	}
	s.attempt(one)
	if one.retried == 0 {
		close(one.first)
		s.launch(one.then)
		one.then = nil
	}
}

// attempt delivers once, notes how it went, and plans the next attempt if Toss
// would make one.
func (s *Sim) attempt(one *sending) {
	s.mu.Lock()
	to, now, stale := s.out, s.clock.now(), s.epoch != one.epoch
	s.mu.Unlock()
	if stale || s.ctx.Err() != nil {
		return
	}
	if one.retried == 0 {
		one.firstAt = now
	}
	d := Delivery{At: now, EventType: one.eventType, PaymentKey: one.paymentKey, ID: one.id, Retried: one.retried,
		URL: to.url, Body: string(one.body)}
	if one.fault != "ok" {
		d.Fault = one.fault
	}
	if to.url == "" {
		d.Error = "no address to send to"
	} else {
		s.post(to, one, now, &d)
	}
	defer func() {
		s.say("delivered %d  %s  %s %s", d.Status, d.EventType, d.PaymentKey, d.Error)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != one.epoch {
		return
	}
	if d.Status != http.StatusOK && to.url != "" && one.retried < len(gaps()) && s.ctx.Err() == nil {
		next := s.clock.now().Add(gaps()[one.retried])
		d.NextAt = &next
		s.at(next, func() {
			one.retried++
			s.relaunch(one)
		})
	}
	keep(&s.tried, d)
}

// post makes the HTTP exchange and notes it in d.
func (s *Sim) post(to receiver, one *sending, now time.Time, d *Delivery) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.DeliveryTimeout)
	defer cancel()
	body := one.body
	if one.fault == "truncatedBody" {
		body = body[:len(body)/2]
		d.Body = string(body)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		d.Error = err.Error()
		return
	}
	s.dress(r.Header, one, now)
	d.Header = r.Header.Clone()
	begin := time.Now()
	res, err := to.client.Do(r)
	if err == nil {
		var answer []byte
		answer, err = io.ReadAll(io.LimitReader(res.Body, 4096))
		err = errors.Join(err, res.Body.Close())
		d.Status, d.Answer = res.StatusCode, string(answer)
	}
	d.Millis = float64(time.Since(begin).Microseconds()) / 1000
	if err != nil {
		d.Error = err.Error()
	}
}

// Deliveries returns every attempt so far, oldest first. Events that a fault
// dropped are among them, with status zero.
func (s *Sim) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tried)
}

// inProcess is a transport that hands requests to a handler in this process.
type inProcess struct{ h http.Handler }

// RoundTrip serves the request. When its context ends before the handler does,
// it returns and leaves the handler to itself, as a network would.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "127.0.0.1:7070", r.URL.Host
	w := &recorder{header: http.Header{}}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("the receiver ended the connection: %v", p)
			}
		}()
		t.h.ServeHTTP(w, in)
		done <- nil
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case err := <-done:
		if err != nil {
			return nil, err
		}
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}, nil
}

// recorder keeps a handler's answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
