package dev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// storeFeed is a store as a feed, away for the next so many calls.
type storeFeed struct {
	*sqlite.Store
	away atomic.Int64
}

var errAway = errors.New("connection refused")

func (s *storeFeed) AwaitFeed(ctx context.Context, name string, f hook.Filter, limit int, _ time.Duration) ([]*hook.EventDetail, error) {
	return s.Feed(ctx, name, f, limit)
}

func (s *storeFeed) Advance(ctx context.Context, name, id string) error {
	if s.away.Add(-1) >= 0 {
		return errAway
	}
	return s.Store.Advance(ctx, name, id)
}

type relayed struct {
	*testing.T
	feed  *storeFeed
	relay *dev.Relay
	lines []dev.Relayed
	notes []string
}

// newRelay relays to a program, with n events already waiting.
func newRelay(t *testing.T, n int, program http.HandlerFunc) *relayed {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.Feed(t.Context(), "app", hook.Filter{}, 1); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, err := store.Record(t.Context(), hook.Delivery{Source: "stripe", Body: fmt.Appendf(nil, "body %d", i), ReceivedAt: time.Now()},
			hook.Identity{Key: fmt.Sprint(i), Type: "t", Trust: hook.TrustSignature}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(program)
	t.Cleanup(srv.Close)
	f, err := forward.New(forward.Destination{Name: "forward", To: srv.URL, Events: []string{"*:*"}, Allow: []string{"loopback"},
		Sign: forward.SignStandardWebhooks, Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	r := &relayed{T: t, feed: &storeFeed{Store: store}}
	r.relay = &dev.Relay{Open: func() (dev.Feed, error) { return r.feed, nil }, Forwarder: f, Name: "app", Once: true, Backoff: 5 * time.Millisecond,
		Say:  func(l dev.Relayed) { r.lines = append(r.lines, l) },
		Note: func(text string) { r.notes = append(r.notes, text) }}
	return r
}

func (r *relayed) run(ctx context.Context) {
	r.Helper()
	if err := r.relay.Run(ctx); err != nil {
		r.Error(err)
	}
}

func TestRelayFinishesTheEventOnItsWayAtAStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var n atomic.Int64
	r := newRelay(t, 2, func(w http.ResponseWriter, req *http.Request) {
		if n.Add(1) == 1 {
			stop()
			<-ctx.Done()
		}
		if req.Context().Err() != nil {
			t.Error("the request was cut")
		}
	})
	r.run(ctx)
	if n.Load() != 1 {
		t.Errorf("%d events came before the stop, want 1", n.Load())
	}
	r.run(t.Context())
	if n.Load() != 2 || len(r.lines) != 2 || r.lines[0].Event == r.lines[1].Event {
		t.Errorf("%d requests, %+v; want each event once", n.Load(), r.lines)
	}
}

func TestRelaySendsNothingAgainWhileHookkeeperIsAway(t *testing.T) {
	var bodies []string
	r := newRelay(t, 3, func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(body))
	})
	r.feed.away.Store(4)
	r.run(t.Context())
	if !slices.Equal(bodies, []string{"body 0", "body 1", "body 2"}) {
		t.Errorf("sent %q", bodies)
	}
	if len(r.notes) != 2 || !strings.Contains(r.notes[0], errAway.Error()) || !strings.Contains(r.notes[1], "again") {
		t.Errorf("said %q", r.notes)
	}
}

func TestRelayStaysWithAnEventUntilItIsTaken(t *testing.T) {
	var keys []string
	r := newRelay(t, 2, func(w http.ResponseWriter, req *http.Request) {
		keys = append(keys, req.Header.Get("Idempotency-Key"))
		switch len(keys) {
		case 1:
			w.WriteHeader(500)
		case 2:
			w.WriteHeader(410)
		case 3:
			w.WriteHeader(302)
		}
	})
	r.run(t.Context())
	if len(keys) != 5 || keys[0] != keys[3] || keys[3] == keys[4] {
		t.Errorf("requests under %q; want the first event four times, then the second", keys)
	}
	var outcomes []string
	for _, l := range r.lines {
		outcomes = append(outcomes, l.Outcome)
	}
	if want := []string{"retrying", "retrying", "retrying", "forwarded", "forwarded"}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes %q, want %q", outcomes, want)
	}
}

func TestRelayEndsAtWhatNoWaitingMends(t *testing.T) {
	r := newRelay(t, 1, func(http.ResponseWriter, *http.Request) {})
	r.relay.Name = "Not A Name"
	if err := r.relay.Run(t.Context()); !errors.Is(err, hook.ErrBadFilter) {
		t.Errorf("got %v", err)
	}
}
