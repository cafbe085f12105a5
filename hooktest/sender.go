package hooktest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Sender plays a sender before a door, with no network: it signs as the
// sender's own servers do, and can misbehave as the world does.
type Sender struct {
	t      testing.TB
	door   http.Handler
	source hook.Source

	// Now is the sender's clock; nil is the clock of the process.
	Now func() time.Time
}

// NewSender returns a Sender of the source's deliveries. The source must be able
// to sign (hook.Signer), as all of package source are; door is a Keeper, or
// whatever it is mounted on.
func NewSender(t testing.TB, door http.Handler, source hook.Source) *Sender {
	t.Helper()
	if _, ok := source.(hook.Signer); !ok {
		t.Fatalf("source %s cannot sign", source.Name())
	}
	return &Sender{t: t, door: door, source: source}
}

// Answer is how a delivery was answered.
type Answer struct {
	Code   int
	Status string `json:"status"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
}

// Deliver signs the body and delivers it. header holds further headers as name
// and value in turn, such as GitHub's X-GitHub-Event and X-GitHub-Delivery.
func (s *Sender) Deliver(body string, header ...string) Answer {
	s.t.Helper()
	return s.send(body, body, 0, header)
}

// Tampered delivers other bytes than those that were signed.
func (s *Sender) Tampered(body string, header ...string) Answer {
	s.t.Helper()
	return s.send(body, body+" ", 0, header)
}

// Late delivers what was signed that long ago; negative is in the future.
func (s *Sender) Late(by time.Duration, body string, header ...string) Answer {
	s.t.Helper()
	return s.send(body, body, by, header)
}

func (s *Sender) send(signed, sent string, late time.Duration, header []string) Answer {
	s.t.Helper()
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+s.source.Name(), strings.NewReader(sent))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if err := s.source.(hook.Signer).Sign(r.Header, []byte(signed), now().Add(-late)); err != nil {
		s.t.Fatalf("sign for %s: %v", s.source.Name(), err)
	}
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	a := Answer{Code: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		s.t.Fatalf("answer %d is not JSON: %q", w.Code, w.Body)
	}
	return a
}

// WaitState waits until the event is in that state and fails t after ten
// seconds, with the states and causes that it found instead.
func WaitState(t testing.TB, ledger hook.Ledger, event string, want hook.State) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		d, err := ledger.Event(context.Background(), event)
		if err != nil {
			t.Fatalf("event %s: %v", event, err)
		}
		if d.State == want {
			return
		}
		if time.Now().After(deadline) {
			text, _ := json.Marshal(d.Jobs)
			t.Fatalf("event %s is %s, want %s: %s", event, d.State, want, text)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
