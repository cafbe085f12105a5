package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// engines are the databases on which everything here holds.
var engines = map[string]func(t *testing.T, clock *hooktest.Clock) hook.Store{
	"SQLite": func(t *testing.T, clock *hooktest.Clock) hook.Store {
		store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"),
			sqlite.Options{Now: clock.Now, Tables: []hook.Tables{stripe.Tables()}})
		if err != nil {
			t.Fatal(err)
		}
		return store
	},
	"PostgreSQL": func(t *testing.T, clock *hooktest.Clock) hook.Store {
		store, err := postgres.Open(t.Context(), pgtest.Database(t),
			postgres.Options{Now: clock.Now, Tables: []hook.Tables{stripe.Tables()}, MaxConns: 8})
		if err != nil {
			t.Fatal(err)
		}
		return store
	},
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onEngines runs a test on every engine.
func onEngines(t *testing.T, test func(b *bench)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEngine(t, open, test)
		})
	}
}

// onEngine runs a test on one of them.
func onEngine(t *testing.T, open func(t *testing.T, clock *hooktest.Clock) hook.Store, test func(b *bench)) {
	clock := hooktest.NewClock()
	b := &bench{T: t, clock: clock, store: open(t, clock)}
	b.sim = stripetest.New(clock.Now(), stripe.PinnedVersion)
	t.Cleanup(func() {
		b.stop()
		hooktest.CheckLedger(t, b.store)
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	test(b)
}

// bench is a billing department on a store, with Stripe's double beside it.
type bench struct {
	*testing.T
	clock  *hooktest.Clock
	store  hook.Store
	sim    *stripetest.Sim
	source hook.Source
	desk   *stripe.Desk
	routes []hook.Route

	stops []func()

	mu    sync.Mutex
	pools []*worker.Pool // guarded by mu
}

// wake makes the workers look for jobs.
func (b *bench) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, pool := range b.pools {
		pool.Wake()
	}
}

const secret = "whsec_hookkeeperTestSecretNotReal"

// open builds the desk. change may set what differs.
func (b *bench) open(change func(*stripe.Config)) {
	b.Helper()
	if b.source == nil {
		b.source = source.Stripe("stripe", secret)
	}
	cfg := stripe.Config{Source: b.source, Store: b.store, Record: b.record, Now: b.clock.Now,
		Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	desk, err := stripe.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.desk, b.routes = desk, desk.Department().Routes
	if err := b.store.SetRoutes(b.Context(), b.routes); err != nil {
		b.Fatal(err)
	}
}

// keyed makes the desk ask the double.
func (b *bench) keyed(c *stripe.Config) {
	server := httptest.NewServer(b.sim)
	b.Cleanup(server.Close)
	transport := &http.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	c.APIKey, c.APIBase, c.HTTP = "sk_test_bench", server.URL, transport
}

// work starts so many workers.
func (b *bench) work(workers int) {
	b.Helper()
	for i := range workers {
		pool := worker.New(worker.Config{Queue: b.store, Routes: b.routes, Logger: slog.New(slog.DiscardHandler),
			Node: fmt.Sprintf("n%d", i), BackoffBase: time.Millisecond, BackoffMax: time.Millisecond, Slots: 4,
			Poll: 100 * time.Millisecond, Jitter: func() float64 { return 0 }})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		b.mu.Lock()
		b.pools = append(b.pools, pool)
		b.mu.Unlock()
		go func() { defer close(done); pool.Run(ctx) }()
		b.stops = append(b.stops, sync.OnceFunc(func() { cancel(); <-done }))
	}
}

func (b *bench) stop() {
	for _, stop := range b.stops {
		stop()
	}
	b.stops = nil
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pools = nil
}

// record is what a Keeper does.
func (b *bench) record(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
	var handlers []string
	for i := range b.routes {
		if r := &b.routes[i]; r.Wants(d.Source, id.Type, id.Trust) {
			handlers = append(handlers, r.Name)
		}
	}
	r, err := b.store.Record(ctx, d, id, handlers)
	b.wake()
	return r, err
}

// deliver records a body as the door does after it has verified it.
func (b *bench) deliver(body []byte) hook.Receipt {
	b.Helper()
	r, err := b.take(body)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *bench) take(body []byte) (hook.Receipt, error) {
	header := http.Header{}
	if err := b.source.(hook.Signer).Sign(header, body, b.clock.Now()); err != nil {
		return hook.Receipt{}, err
	}
	if err := b.source.Verify(header, body, b.clock.Now()); err != nil {
		return hook.Receipt{}, err
	}
	id, err := b.source.Identify(header, body)
	if q, ok := errors.AsType[*hook.QuarantineError](err); ok {
		id.Quarantine = q.Reason
	} else if err != nil {
		return hook.Receipt{}, err
	}
	id.Canonical = b.source.(hook.Canonicaler).Canonical
	return b.record(b.Context(), hook.Delivery{Source: b.source.Name(), Header: header, Body: body, ReceivedAt: b.clock.Now()}, id)
}

// deliverAll delivers many sequences at the same time, each in its order.
func (b *bench) deliverAll(sequences [][][]byte) {
	b.Helper()
	todo := make(chan [][]byte)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for sequence := range todo {
				for _, body := range sequence {
					if _, err := b.take(body); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	for _, sequence := range sequences {
		todo <- sequence
	}
	close(todo)
	all.Wait()
}

// settle waits until no job can go on by itself.
func (b *bench) settle() {
	b.Helper()
	b.await(func(open, _ int64) bool { return open == 0 })
}

// settlePatiently also gives jobs that wait the time to look again.
func (b *bench) settlePatiently() {
	b.Helper()
	b.await(func(open, waiting int64) bool {
		if open == 0 && waiting > 0 {
			b.clock.Advance(15 * time.Second)
			b.wake()
		}
		return open == 0 && waiting == 0
	})
}

// settleLimit is for a busy machine under the race detector.
const settleLimit = 4 * time.Minute

// await looks at the jobs now and again until done says so.
func (b *bench) await(done func(open, waiting int64) bool) {
	b.Helper()
	look := time.NewTicker(30 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(settleLimit); ; <-look.C {
		counts, err := b.store.Counts(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var open, waiting int64
		for _, states := range counts.Jobs {
			open += states[hook.StateReady] + states[hook.StateRunning] + states[hook.StateRetrying]
			waiting += states[hook.StateWaiting]
		}
		if done(open, waiting) {
			return
		}
		if time.Now().After(until) {
			b.Fatalf("jobs are still open: %v; %s%s", counts.Jobs, b.causes(hook.StateWaiting), b.causes(hook.StateRetrying))
		}
	}
}

// rows reads a query as lines of values between bars; times as Unix seconds.
func (b *bench) rows(query string, args ...any) []string {
	b.Helper()
	var lines []string
	err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			values := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range into {
				into[i] = &values[i]
				if name := columns[i]; name != "cancel_at_period_end" && (strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "_end") ||
					strings.HasSuffix(name, "_start")) {
					into[i] = new(hook.Timestamp)
				}
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			lines = append(lines, line(values, into))
		}
		return rows.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
	return lines
}

func line(values, into []any) string {
	var texts []string
	for i := range into {
		switch v := into[i].(type) {
		case *hook.Timestamp:
			text := "-"
			if v.Valid {
				text = fmt.Sprint(v.Time.Unix())
			}
			texts = append(texts, text)
		default:
			switch value := values[i].(type) {
			case nil:
				texts = append(texts, "-")
			case []byte:
				texts = append(texts, string(value))
			case bool:
				texts = append(texts, map[bool]string{true: "1", false: "0"}[value])
			default:
				texts = append(texts, fmt.Sprint(value))
			}
		}
	}
	return strings.Join(texts, "|")
}

// one is rows for exactly one line.
func (b *bench) one(query string, args ...any) string {
	b.Helper()
	lines := b.rows(query, args...)
	if len(lines) != 1 {
		b.Fatalf("%s: got %d rows, want 1: %q", query, len(lines), lines)
	}
	return lines[0]
}

// wantNone fails if a state has jobs.
func (b *bench) wantNone(states ...hook.State) {
	b.Helper()
	counts, err := b.store.Counts(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for handler, byState := range counts.Jobs {
		for _, s := range states {
			if n := byState[s]; n > 0 {
				b.Errorf("handler %s has %d jobs that are %s: %s", handler, n, s, b.causes(s))
			}
		}
	}
}

func (b *bench) causes(s hook.State) string {
	page, _, err := b.store.Events(b.Context(), hook.Filter{State: s, Limit: 3})
	if err != nil {
		b.Fatal(err)
	}
	var all []string
	for _, e := range page {
		for _, j := range e.Jobs {
			if j.LastError != nil {
				all = append(all, e.Type+" "+j.Handler+": "+*j.LastError)
			}
		}
	}
	return strings.Join(all, "; ")
}
