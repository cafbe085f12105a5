package dev

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// apart is farther from now than any sender's window.
const apart = time.Hour

// defaultBurst is how many copies a burst has unless Count says so.
const defaultBurst = 20

// Scenarios lists what Plan.Scenario may be for every type; see Stories.
func Scenarios() []string {
	return []string{"duplicate", "tampered", "wrong-secret", "late", "future", "reordered", "burst"}
}

// scenario makes the deliveries of one round. together asks for all at once,
// otherwise each waits for the answer before it.
func (p *Plan) scenario() (shots []shot, together bool, err error) {
	now := time.Now()
	if slices.Contains(Stories(), p.Scenario) {
		shots, err = p.story(now)
		return shots, false, err
	}
	d, err := p.delivery(p.Options)
	if err != nil {
		return nil, false, err
	}
	switch p.Scenario {
	case "duplicate":
		s, err := p.sign(d, now)
		again := s
		if p.Recorded == nil && p.Data == nil && p.ID == "" {
			s.answer = []string{"recorded"}
		}
		again.answer = []string{"duplicate"}
		return []shot{s, again}, false, err
	case "tampered":
		s, err := p.sign(d, now)
		s.body = tamper(s.body)
		return []shot{p.refusedIf(s, d.Signed)}, false, err
	case "wrong-secret":
		header := d.Header.Clone()
		err := p.Wrong.Sign(header, d.Body, now)
		return []shot{p.refusedIf(shot{header: header, body: d.Body}, d.Signed)}, false, err
	case "late":
		s, err := p.sign(d, now.Add(-apart))
		return []shot{p.refusedIf(s, d.Signed && p.window())}, false, err
	case "future":
		s, err := p.sign(d, now.Add(apart))
		return []shot{p.refusedIf(s, d.Signed && p.window())}, false, err
	case "reordered":
		shots, err := p.reordered(now)
		return shots, false, err
	case "burst":
		s, err := p.sign(d, now)
		for range p.copies() {
			shots = append(shots, s)
		}
		return shots, true, err
	}
	s, err := p.sign(d, now)
	return []shot{s}, false, err
}

// copies is how many deliveries of a burst go out at once.
func (p *Plan) copies() int {
	switch {
	case p.Scenario != "burst":
		return 1
	case p.Count < 1:
		return defaultBurst
	}
	return p.Count
}

// reordered makes two events of one subject, the newer one first.
func (p *Plan) reordered(now time.Time) ([]shot, error) {
	var shots []shot
	for _, at := range []time.Time{now, now.Add(-time.Minute)} {
		o := p.Options
		o.At = at
		d, err := p.delivery(o)
		if err != nil {
			return nil, err
		}
		s, err := p.sign(d, now)
		if err != nil {
			return nil, err
		}
		shots = append(shots, s)
	}
	return shots, nil
}

// delivery is the recorded one, if the plan has one, else a composed one.
func (p *Plan) delivery(o Options) (Delivery, error) {
	if p.Recorded == nil {
		return Compose(p.Sender, p.Type, o)
	}
	e := p.Recorded
	if e.BodyGone {
		return Delivery{}, fmt.Errorf("event %s: its body is no longer kept", e.ID)
	}
	d := Delivery{Header: http.Header{}, Body: e.Body, Signed: e.Trust != hook.TrustHint}
	for name, values := range e.Headers {
		if !hopHeader(name) {
			d.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return d, nil
}

// hopHeader: these belong to the connection on which the event came, not to the
// event.
func hopHeader(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "host", "transfer-encoding", "accept-encoding",
		"te", "trailer", "upgrade", "keep-alive", "proxy-connection", "expect":
		return true
	}
	return false
}

// sign signs at a time; the answer due is that it is recorded, or was before.
func (p *Plan) sign(d Delivery, at time.Time) (shot, error) {
	signer, ok := p.Source.(hook.Signer)
	if !ok {
		return shot{}, fmt.Errorf("source %s: cannot sign", p.Source.Name())
	}
	header := d.Header.Clone()
	if err := signer.Sign(header, d.Body, at); err != nil {
		return shot{}, err
	}
	return shot{
		header: header, body: d.Body,
		status: http.StatusOK, answer: []string{"recorded", "duplicate"},
	}, nil
}

// refusedIf sets the answer due to the sender's refusal. A delivery that its
// sender never signs passes as a hint whatever was done to it.
func (p *Plan) refusedIf(s shot, refused bool) shot {
	s.status, s.answer = http.StatusOK, []string{"recorded", "duplicate"}
	if refused {
		s.status, s.answer = http.StatusUnauthorized, []string{"rejected"}
		if p.Sender == "stripe" {
			s.status = http.StatusBadRequest
		}
	}
	return s
}

// window says whether the sender's scheme bounds the age of a signature. For
// declared schemes only their source knows.
func (p *Plan) window() bool {
	switch p.Sender {
	case "stripe", "standard-webhooks", "portone":
		return true
	case "toss", "github":
		return false
	}
	probe := Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{}`)}
	now := time.Now()
	s, err := p.sign(probe, now.Add(-apart))
	return err == nil && p.Source.Verify(s.header, s.body, now) != nil
}

// tamper changes one byte and keeps JSON JSON: a digit if there is one, else a
// letter, else it adds a byte.
func tamper(body []byte) []byte {
	out := bytes.Clone(body)
	for i := len(out) - 1; i > 0; i-- {
		if c := out[i]; c >= '0' && c <= '8' && out[i-1] >= '0' && out[i-1] <= '9' {
			out[i]++
			return out
		}
	}
	for i := len(out) - 2; i > 0; i-- {
		if c := out[i]; c >= 'a' && c <= 'y' && out[i-1] != '\\' {
			out[i]++
			return out
		}
	}
	return append(out, ' ')
}
