package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// shop is a pool on a real store, with times in milliseconds.
type shop struct {
	*testing.T
	store *hooktest.Faulty
	cfg   worker.Config
	ends  chan string // "handler outcome" of every attempt
	stop  func()
}

func newShop(t *testing.T, routes ...hook.Route) *shop {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{T: t, store: &hooktest.Faulty{Store: store}, ends: make(chan string, 1000)}
	if err := store.SetRoutes(t.Context(), routes); err != nil {
		t.Fatal(err)
	}
	s.cfg = worker.Config{Queue: s.store, Routes: routes, Logger: slog.New(slog.DiscardHandler), Node: "n",
		Lease: 2 * time.Second, Limit: 100 * time.Millisecond, Grace: 50 * time.Millisecond, Slots: 2, Attempts: 4,
		BackoffBase: time.Millisecond, BackoffMax: 5 * time.Millisecond, MaxWaiting: time.Hour, Poll: 2 * time.Millisecond,
		Meter: worker.Meter{Attempt: func(h, outcome string, _ time.Duration) { s.ends <- h + " " + outcome }}}
	t.Cleanup(func() {
		if s.stop != nil {
			s.stop()
		}
		hooktest.CheckLedger(t, store)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shop) run() *worker.Pool {
	p := worker.New(s.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
	return p
}

func (s *shop) record(key string, handlers ...string) string {
	s.Helper()
	d := hook.Delivery{Source: "shop", Body: []byte(key), ReceivedAt: time.Now()}
	r, err := s.store.Record(s.Context(), d, hook.Identity{Key: key, Type: "t", Trust: hook.TrustSignature}, handlers)
	if err != nil {
		s.Fatal(err)
	}
	return r.EventID
}

// expect reads the ends of attempts until the wanted one has come.
func (s *shop) expect(want ...string) {
	s.Helper()
	limit := time.After(10 * time.Second)
	for _, w := range want {
		select {
		case got := <-s.ends:
			if got != w {
				s.Fatalf("an attempt ended %q, want %q", got, w)
			}
		case <-limit:
			s.Fatalf("no attempt ended, want %q", w)
		}
	}
}

func (s *shop) wantState(id string, want hook.State, cause string) {
	s.Helper()
	d, err := s.store.Event(context.Background(), id)
	if err != nil {
		s.Fatal(err)
	}
	if d.State != want {
		s.Errorf("state: got %s, want %s", d.State, want)
	}
	last := d.Attempts[len(d.Attempts)-1]
	if cause != "" && (last.Error == nil || !strings.Contains(*last.Error, cause)) {
		s.Errorf("cause of the last attempt: got %v, want one with %q", last.Error, cause)
	}
}

func route(name string, f hook.HandlerFunc) hook.Route { return hook.Route{Name: name, Handler: f} }

// script answers each attempt with the next error; after the last one it is nil.
func script(errs ...error) hook.HandlerFunc {
	return func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
		if n := hook.JobOf(ctx).Attempt - 1; n < len(errs) {
			return nil, errs[n]
		}
		return nil, nil
	}
}

var errBad = errors.New("bad luck")

func TestFateOfAnAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		handler hook.HandlerFunc
		ends    []string
		state   hook.State
		cause   string
	}{
		"done":            {script(), []string{"done"}, hook.StateDone, ""},
		"retried":         {script(errBad, errBad), []string{"retrying", "retrying", "done"}, hook.StateDone, ""},
		"out of attempts": {script(errBad, errBad, errBad, errBad, errBad), []string{"retrying", "retrying", "retrying", "dead"}, hook.StateDead, "bad luck"},
		"permanent":       {script(fmt.Errorf("card %w", hook.ErrPermanent)), []string{"dead"}, hook.StateDead, "permanent"},
		"not yet":         {script(hook.ErrNotYet, hook.ErrNotYet, hook.ErrNotYet, hook.ErrNotYet, hook.ErrNotYet), []string{"waiting", "waiting", "waiting", "waiting", "waiting", "done"}, hook.StateDone, ""},
		"after a while":   {script(hook.After(errBad, time.Millisecond)), []string{"retrying", "done"}, hook.StateDone, ""},
		"panic":           {func(context.Context, *hook.Event) (hook.Effect, error) { panic("boom") }, []string{"retrying", "retrying", "retrying", "dead"}, hook.StateDead, "boom"},
		"effect that says": {func(context.Context, *hook.Event) (hook.Effect, error) {
			return func(context.Context, hook.Tx) error { return hook.ErrPermanent }, nil
		}, []string{"dead"}, hook.StateDead, "permanent"},
		"over its limit": {func(ctx context.Context, _ *hook.Event) (hook.Effect, error) { <-ctx.Done(); return nil, ctx.Err() },
			[]string{"retrying", "retrying", "retrying", "dead"}, hook.StateDead, "time limit"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, route("h", c.handler))
			id := s.record("a", "h")
			s.run()
			for _, e := range c.ends {
				s.expect("h " + e)
			}
			s.stop()
			s.wantState(id, c.state, c.cause)
		})
	}
}

// What waits too long is dead, and says for what it waited.
func TestWaitingIsBounded(t *testing.T) {
	s := newShop(t, route("h", func(context.Context, *hook.Event) (hook.Effect, error) {
		return nil, fmt.Errorf("customer cus_1: %w", hook.ErrNotYet)
	}))
	s.cfg.MaxWaiting = 30 * time.Millisecond
	id := s.record("a", "h")
	s.run()
	for {
		end := <-s.ends
		if end == "h dead" {
			break
		}
		if end != "h waiting" {
			t.Fatalf("an attempt ended %q", end)
		}
	}
	s.stop()
	s.wantState(id, hook.StateDead, "customer cus_1")
}

// A handler that ignores the end of its context costs its slot for the grace
// time, not for ever, and another handler nothing at all.
func TestHangingHandlerIsAbandoned(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	var calls atomic.Int64
	hang := func(context.Context, *hook.Event) (hook.Effect, error) {
		calls.Add(1)
		<-never
		return nil, nil
	}
	s := newShop(t, route("hang", hang), route("fine", script()))
	s.cfg.Attempts = 100
	s.cfg.Limit, s.cfg.Grace = 5*time.Millisecond, 5*time.Millisecond
	for i := range 6 {
		s.record(fmt.Sprint("a", i), "hang", "fine")
	}
	s.run()
	fine, abandoned := 0, 0
	for fine < 6 || abandoned < 4 { // twice its two slots: then it is claimed no more
		switch end := <-s.ends; end {
		case "fine done":
			fine++
		case "hang retrying":
			abandoned++
		default:
			t.Fatalf("an attempt ended %q", end)
		}
	}
	s.record("later", "hang", "fine")
	s.expect("fine done")
	s.stop()
	if n := calls.Load(); n != 4 {
		t.Errorf("the hanging handler was called %d times, want 4", n)
	}
}

func TestDrainReleasesWork(t *testing.T) {
	began := make(chan struct{})
	s := newShop(t, route("h", func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	s.cfg.Limit = time.Hour
	id := s.record("a", "h")
	s.run()
	<-began
	s.stop()
	s.expect("h released")
	s.wantState(id, hook.StateRetrying, "released")
	jobs, err := s.store.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: time.Second, Max: 1, MaxAttempts: 1})
	if err != nil || len(jobs) != 1 || jobs[0].Failed != 0 {
		t.Errorf("claimable at once, without a failure: got %v, %v", jobs, err)
	}
}

// An effect that is ready when the drain comes still counts.
func TestDrainLetsAReadyEffectFinish(t *testing.T) {
	began := make(chan struct{})
	s := newShop(t, route("h", func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
		close(began)
		<-ctx.Done()
		return nil, nil
	}))
	s.cfg.Limit = time.Hour
	id := s.record("a", "h")
	s.run()
	<-began
	s.stop()
	s.expect("h done")
	s.wantState(id, hook.StateDone, "")
}

// A lease that is lost to somebody else ends the handler's context, and the
// handler's late success writes nothing.
func TestLostLeaseEndsTheContext(t *testing.T) {
	clock := hooktest.NewClock()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	began, ended := make(chan struct{}), make(chan error, 1)
	s := &shop{T: t, store: &hooktest.Faulty{Store: store}, ends: make(chan string, 10)}
	s.cfg = worker.Config{Queue: store, Logger: slog.New(slog.DiscardHandler), Lease: 30 * time.Millisecond, Slots: 1,
		Meter: worker.Meter{Attempt: func(h, outcome string, _ time.Duration) { s.ends <- h + " " + outcome }},
		Routes: []hook.Route{route("h", func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
			close(began)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return func(context.Context, hook.Tx) error { t.Error("the effect of a lost attempt ran"); return nil }, nil
		})}}
	s.record("a", "h")
	s.run()
	<-began
	ask := hook.Ask{Handlers: []string{"h"}, Lease: time.Hour, Max: 1, MaxAttempts: 9}
	for taken := false; !taken; { // renewed meanwhile, it lapses again with the next step of the clock
		clock.Advance(time.Second)
		jobs, err := store.Claim(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		taken = len(jobs) == 1
	}
	if cause := <-ended; !errors.Is(cause, hook.ErrLeaseLost) {
		t.Errorf("the context ended by %v", cause)
	}
	s.expect("h lost")
	s.stop()
}

// A finish that was committed and reported as failed is not done twice: the
// job is gone, so the retry finds the lease lost.
func TestFinishThatOnlySeemsToFail(t *testing.T) {
	var effects atomic.Int64
	s := newShop(t, route("h", func(context.Context, *hook.Event) (hook.Effect, error) {
		return func(context.Context, hook.Tx) error { effects.Add(1); return nil }, nil
	}))
	s.store.After = func(method string) error {
		if method == "Finish" {
			return errors.New("connection lost")
		}
		return nil
	}
	id := s.record("a", "h")
	s.run()
	s.expect("h lost")
	s.stop()
	s.wantState(id, hook.StateDone, "")
	if n := effects.Load(); n != 1 {
		t.Errorf("effects: got %d, want 1", n)
	}
}

func TestManyJobsOnce(t *testing.T) {
	const n = 500
	var mu sync.Mutex
	seen := map[string]int{}
	s := newShop(t, hook.Route{Name: "h", Batch: true, Handler: hook.HandlerFunc(func(_ context.Context, e *hook.Event) (hook.Effect, error) {
		return func(context.Context, hook.Tx) error {
			mu.Lock()
			defer mu.Unlock()
			seen[e.Key]++
			return nil
		}, nil
	})})
	s.cfg.Slots = 16
	p := s.run()
	for i := range n {
		s.record(fmt.Sprint(i), "h")
		p.Wake()
	}
	for range n {
		s.expect("h done")
	}
	s.stop()
	if len(seen) != n {
		t.Errorf("worked %d events, want %d", len(seen), n)
	}
}

func TestBackoff(t *testing.T) {
	const base, most = 10 * time.Second, 12 * time.Hour
	for failed, bound := range []time.Duration{base, 4 * base, 16 * base, 64 * base} {
		if got := worker.Backoff(base, most, failed, 0.5); got != bound/2 {
			t.Errorf("after %d failures: got %s, want %s", failed, got, bound/2)
		}
	}
	var sum time.Duration
	for failed := range 11 {
		sum += worker.Backoff(base, most, failed, 1)
	}
	if sum < 60*time.Hour || sum > 72*time.Hour {
		t.Errorf("eleven pauses add up to at most %s, want nearly three days", sum)
	}
	for _, failed := range []int{13, 29, 30, 31, 63, 64, 1000} {
		if got := worker.Backoff(base, most, failed, 0.999); got <= most/2 || got > most {
			t.Errorf("after %d failures: got %s, want nearly %s", failed, got, most)
		}
	}
	if got := worker.Backoff(base, most, 3, 0); got != 0 {
		t.Errorf("full jitter begins at nothing, got %s", got)
	}
}

// Large bodies are held one at a time where more would not fit.
func TestBodiesInMemoryAreBounded(t *testing.T) {
	var now, most atomic.Int64
	s := newShop(t, hook.Route{Name: "h", Handler: hook.HandlerFunc(func(context.Context, *hook.Event) (hook.Effect, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		<-time.After(2 * time.Millisecond) // long enough for another one to begin beside
		return nil, nil
	})})
	s.cfg.Slots, s.cfg.MaxBytes = 8, 1500
	for i := range 6 {
		d := hook.Delivery{Source: "shop", Body: []byte(strings.Repeat("x", 1000)), ReceivedAt: time.Now()}
		if _, err := s.store.Record(t.Context(), d, hook.Identity{Key: fmt.Sprint("large", i), Trust: hook.TrustSignature}, []string{"h"}); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	for range 6 {
		<-s.ends
	}
	// One claim may go beyond the bound by one body.
	if most.Load() > 2 {
		t.Errorf("%d bodies of 1,000 bytes were worked at a time within 1,500", most.Load())
	}
}
