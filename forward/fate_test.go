package forward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// trouble is a destination that fails in one way until it is mended.
type trouble struct {
	url    string
	mended atomic.Bool
	mu     sync.Mutex
	seen   map[string][]visit // by event
}

type visit struct {
	at        time.Time
	key, body string
	verified  error
}

func newTrouble(t *testing.T, fail http.HandlerFunc) *trouble {
	t.Helper()
	d := &trouble{seen: map[string][]visit{}}
	app := source.Stripe("app", secret)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		id := r.Header.Get("Hookkeeper-Event")
		d.mu.Lock()
		d.seen[id] = append(d.seen[id], visit{time.Now(), r.Header.Get("Idempotency-Key"), string(body), app.Verify(r.Header, body, time.Now())})
		d.mu.Unlock()
		if !d.mended.Load() {
			fail(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

func (d *trouble) visits(id string) []visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen[id])
}

// shop is a store with a pool whose times are short.
type shop struct {
	*testing.T
	store *sqlite.Store
	ends  chan string // "handler outcome" of every attempt
}

const attempts = 3

func newShop(t *testing.T, routes []hook.Route) *shop {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SetRoutes(t.Context(), routes); err != nil {
		t.Fatal(err)
	}
	s := &shop{T: t, store: store, ends: make(chan string, 1000)}
	pool := worker.New(worker.Config{Queue: store, Routes: routes, Logger: slog.New(slog.DiscardHandler), Node: "n",
		Lease: 3 * time.Second, Limit: 2 * time.Second, Grace: 100 * time.Millisecond, Slots: 4, Attempts: attempts,
		BackoffBase: 40 * time.Millisecond, BackoffMax: 100 * time.Millisecond, MaxWaiting: time.Hour, Poll: 5 * time.Millisecond,
		Jitter: func() float64 { return 1 },
		Meter:  worker.Meter{Attempt: func(h, outcome string, _ time.Duration) { s.ends <- h + " " + outcome }}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		hooktest.CheckLedger(t, store)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shop) record(key string, handlers ...string) string {
	s.Helper()
	e := anEvent()
	r, err := s.store.Record(s.Context(), hook.Delivery{Source: "stripe", Header: e.Header, Body: []byte(key), ReceivedAt: time.Now()},
		hook.Identity{Key: key, Type: "invoice.paid", Trust: hook.TrustSignature}, handlers)
	if err != nil {
		s.Fatal(err)
	}
	return r.EventID
}

// wait reads the ends of attempts until each of the wanted ones has come as
// often as it is named.
func (s *shop) wait(want ...string) {
	s.Helper()
	limit := time.After(15 * time.Second)
	for len(want) > 0 {
		select {
		case end := <-s.ends:
			if i := slices.Index(want, end); i >= 0 {
				want = slices.Delete(want, i, i+1)
			}
		case <-limit:
			s.Fatalf("never came: %v", want)
		}
	}
}

func (s *shop) job(id, handler string) hook.JobInfo {
	s.Helper()
	d, err := s.store.Event(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	for _, j := range d.Jobs {
		if j.Handler == handler {
			return j
		}
	}
	s.Fatalf("%s has no job of %s", id, handler)
	return hook.JobInfo{}
}

// reset answers with a cut connection, which the peer sees as RST.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // it is cut either way
	_ = conn.Close()
}

// Each kind of trouble: retried on schedule, one request an attempt, a dead
// letter at the end, the neighbour unaffected, and nothing lost: a replay brings
// the same bytes under the same id.
func TestADestinationInTrouble(t *testing.T) {
	elsewhere, port := counter(t)
	for name, fail := range map[string]http.HandlerFunc{
		"500":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"hangs":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"resets": reset,
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:"+port, http.StatusTemporaryRedirect)
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := newTrouble(t, fail)
			good := newTrouble(t, func(http.ResponseWriter, *http.Request) {})
			var routes []hook.Route
			for name, to := range map[string]string{"bad": bad.url, "good": good.url} {
				r, err := forward.Routes(forward.Destination{Name: name, To: to, Events: []string{"stripe:*"},
					Allow: []string{"loopback"}, Timeout: 150 * time.Millisecond}, stripe)
				if err != nil {
					t.Fatal(err)
				}
				routes = append(routes, r...)
			}
			s := newShop(t, routes)
			const events = 6
			var ids, dead, done []string
			for i := range events {
				ids = append(ids, s.record(fmt.Sprintf("{\"n\": %d}\r\n", i), "bad", "good"))
				dead, done = append(dead, "bad dead"), append(done, "good done")
			}
			begun := time.Now()
			s.wait(slices.Concat(dead, done)...)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("the end came after %s", took)
			}
			for i, id := range ids {
				if j := s.job(id, "bad"); j.State != hook.StateDead || j.Attempt != attempts || j.LastError == nil {
					t.Errorf("%s: %+v", id, j)
				}
				checkVisits(t, bad.visits(id), fmt.Sprintf("{\"n\": %d}\r\n", i), attempts)
				checkVisits(t, good.visits(id), fmt.Sprintf("{\"n\": %d}\r\n", i), 1)
			}
			bad.mended.Store(true)
			for _, id := range ids {
				if _, err := s.store.Replay(t.Context(), id, hook.Replay{Handlers: []string{"bad"}, Reason: "mended", Actor: "test"}); err != nil {
					t.Fatal(err)
				}
			}
			for range ids {
				s.wait("bad done")
			}
			for i, id := range ids {
				checkVisits(t, bad.visits(id), fmt.Sprintf("{\"n\": %d}\r\n", i), attempts+1)
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
}

// checkVisits: so many requests, each whole and verified, under one key, and no
// retry before its time.
func checkVisits(t *testing.T, visits []visit, body string, want int) {
	t.Helper()
	if len(visits) != want {
		t.Errorf("%q came %d times, want %d", body, len(visits), want)
	}
	for i, v := range visits {
		if v.body != body || v.verified != nil || v.key != visits[0].key {
			t.Errorf("visit %d of %q: body %q, key %s, %v", i, body, v.body, v.key, v.verified)
		}
		if i > 0 && i < attempts {
			if gap := v.at.Sub(visits[i-1].at); gap < 40*time.Millisecond<<(i-1) && gap < 100*time.Millisecond {
				t.Errorf("retry %d of %q after %s", i, body, gap)
			}
		}
	}
}

func TestRetryAfterIsHeeded(t *testing.T) {
	d := newTrouble(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) })
	routes, err := forward.Routes(forward.Destination{Name: "app", To: d.url, Events: []string{"*:*"}, Allow: []string{"loopback"}}, stripe)
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t, routes)
	id := s.record("x", "app")
	s.wait("app retrying")
	d.mended.Store(true)
	s.wait("app done")
	v := d.visits(id)
	if gap := v[1].at.Sub(v[0].at); gap < time.Second || gap > 2*time.Second {
		t.Errorf("again after %s, asked for was 1 s", gap)
	}
}

func TestGoneIsADeadLetterAtOnce(t *testing.T) {
	d := newTrouble(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) })
	routes, err := forward.Routes(forward.Destination{Name: "app", To: d.url, Events: []string{"*:*"}, Allow: []string{"loopback"}}, stripe)
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t, routes)
	id := s.record("x", "app")
	s.wait("app dead")
	if n := len(d.visits(id)); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// On a connection that is used again, net/http by itself repeats a request that
// it thinks may be repeated: the destination would have it twice in one attempt.
func TestOneAttemptIsOneRequest(t *testing.T) {
	var n, conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1) > 1 {
			reset(w, r)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	f := newForwarder(t, forward.Destination{To: srv.URL, Allow: []string{"loopback"}})
	if _, err := f.Forward(t.Context(), anEvent()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Forward(t.Context(), anEvent()); !errors.Is(err, hook.ErrUnavailable) {
		t.Errorf("a cut connection: %v, want unavailable", err)
	}
	if n.Load() != 2 || conns.Load() != 1 {
		t.Errorf("%d requests on %d connections, want 2 on 1", n.Load(), conns.Load())
	}
}
