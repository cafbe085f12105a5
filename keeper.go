package hookkeeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/alarm"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
	"github.com/hookkeeper/hookkeeper/internal/ingest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// Keeper is the whole system as one value: an http.Handler for senders, one for
// operators, and Run for the work.
type Keeper struct {
	cfg      Config
	door     *ingest.Door
	pool     *worker.Pool
	pausing  *pausing // nil: the store keeps no pauses
	sweeper  *worker.Sweeper
	duties   *worker.Duties
	alarms   *alarm.Watch            // nil: the store cannot be watched
	pages    map[string]http.Handler // of departments, by the prefix of their path
	operator http.Handler
	desk     *dashboard.Pages // nil without the role operate
	metrics  *metrics
	started  time.Time

	neighbours neighbours

	drain    sync.Once
	draining chan struct{}
}

// New checks the configuration and returns all its problems joined. It opens
// nothing and starts nothing.
func New(cfg Config) (*Keeper, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	k := &Keeper{cfg: cfg, metrics: newMetrics(cfg.Store), started: cfg.Now(), draining: make(chan struct{})}
	if err := k.watch(); err != nil {
		return nil, err
	}
	cfg = k.cfg // with the handlers that tell of alarms
	k.neighbours.keeper, _ = cfg.Store.(hook.NodeKeeper)
	k.pausing = newPausing(cfg.Store)
	k.pool = worker.New(worker.Config{
		Queue: k.queue(), Recorder: k.recorder(), Hastener: k.hastener(), Routes: cfg.Handlers, Logger: cfg.Logger, Node: cfg.Node,
		Lease: cfg.Lease, Limit: cfg.Limit, Grace: cfg.Grace, Slots: cfg.Slots, Attempts: cfg.Attempts,
		MaxBytes:    bytesEach(len(cfg.Handlers)),
		BackoffBase: cfg.BackoffBase, BackoffMax: cfg.BackoffMax, MaxWaiting: cfg.MaxWaiting,
		Meter:   worker.Meter{Attempt: k.metrics.attempt, Abandoned: k.metrics.abandoned, Breaker: k.metrics.breaker},
		Tracing: cfg.Tracing,
	})
	k.door = ingest.New(ingest.Config{
		Sources: cfg.Sources, Recorder: k.pool, Rejector: cfg.Store, Handlers: k.handlers, Now: cfg.Now,
		Logger: cfg.Logger, Budget: ingest.NewBudget(cfg.MaxBytesInFlight), Meter: k.metrics.delivery,
		Tracing: cfg.Tracing,
	})
	k.sweeper = &worker.Sweeper{
		Keeping: cfg.Store, Every: 5 * time.Second, Ledger: 15 * time.Minute, Logger: cfg.Logger,
		Rules:   hook.SweepRules{Keep: cfg.Retention},
		Balance: k.balanced,
	}
	k.takeIn(cfg.Departments)
	k.metrics.takeIn(cfg.Departments)
	k.operator = k.operatorRoutes()
	if !cfg.has(RoleReceive) {
		k.door.Drain() // it answers 503: a load balancer has sent this to the wrong node
		k.pages = nil
	}
	return k, nil
}

// takeIn gives what departments bring along its place; their routes are among
// the handlers already.
func (k *Keeper) takeIn(all []hook.Department) {
	turns, _ := k.cfg.Store.(hook.TurnKeeper) // a store without is one process's own
	grace := k.cfg.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	k.duties = &worker.Duties{Turns: turns, Logger: k.cfg.Logger, Grace: grace}
	k.pages = map[string]http.Handler{}
	for _, d := range all {
		k.duties.All = append(k.duties.All, d.Duties...)
		maps.Copy(k.pages, d.Pages)
	}
	if k.alarms != nil {
		k.duties.All = append(k.duties.All, k.alarms.Duty())
	}
}

// bytesEach is how large the bodies may be that one of n handlers has in memory
// at a time: all together a sixteenth of what the process may use, within reason.
func bytesEach(n int) int64 {
	return min(max(MemoryLimit()/16/int64(max(n, 1)), 1<<20), 64<<20)
}

const defaultGrace = 3 * time.Second

// Record records an event that this program has read from its sender's API
// (trust sender_api) or writes itself (trust internal), with the jobs of all
// routes that want it, and wakes the workers. It is durable when the error is
// nil; a repeat under the same key is a duplicate. Events of any other trust are
// refused: they come in by the door, verified.
func (k *Keeper) Record(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
	if id.Trust != hook.TrustSenderAPI && id.Trust != hook.TrustInternal {
		return hook.Receipt{}, fmt.Errorf("record %s %.80q: trust %q comes in by the door only", d.Source, id.Key, id.Trust)
	}
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = k.cfg.Now()
	}
	return k.pool.Record(ctx, d, id, k.handlers(d.Source, id.Type, id.Trust))
}

// handlers lists the routes of all nodes that want an event, as they are stored
// with it. Our own come first: they may be newer than what the store knows.
func (k *Keeper) handlers(source, eventType string, trust hook.Trust) []string {
	var names []string
	for _, routes := range [][]hook.Route{k.cfg.Handlers, k.neighbours.others()} {
		for i := range routes {
			if r := &routes[i]; r.Wants(source, eventType, trust) && !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

// ServeHTTP is the public side: POST /hooks/{source}, GET /healthz, GET /readyz,
// and the pages of departments below their prefixes. Mount it on your own mux at "/hooks/" or serve it alone.
func (k *Keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		health(w, r, nil)
	case "/readyz":
		health(w, r, k.Ready(r.Context()))
	default:
		if page := k.pageAt(r.URL.Path); page != nil {
			page.ServeHTTP(w, r)
			return
		}
		k.door.ServeHTTP(w, r)
	}
}

// pageAt gives the department's page whose prefix the path has.
func (k *Keeper) pageAt(path string) http.Handler {
	if len(k.pages) == 0 || len(path) < 2 {
		return nil
	}
	end := strings.IndexByte(path[1:], '/')
	if end < 0 {
		return nil
	}
	return k.pages[path[:end+2]]
}

// errDraining is why a node that shuts down is not ready.
var errDraining = errors.New("shutting down")

// Ready returns nil when new deliveries would be recorded, and otherwise says
// why not.
func (k *Keeper) Ready(ctx context.Context) error {
	select {
	case <-k.draining:
		return errDraining
	default:
		return k.cfg.Store.Ready(ctx)
	}
}

func health(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Fprintln(w, "ok")
}

// Operator is the operators' side: /dashboard/, /metrics and /api/v1/. Serve it on a listener
// of its own, never beside the public one.
func (k *Keeper) Operator() http.Handler { return k.operator }

func (k *Keeper) operatorRoutes() http.Handler {
	infos := make([]dashboard.SourceInfo, len(k.cfg.Sources))
	for i, s := range k.cfg.Sources {
		infos[i] = dashboard.Describe(s)
	}
	kept, _ := k.cfg.Store.(hook.TokenKeeper) // a store that keeps none leaves the configured ones
	gate := dashboard.NewGate(dashboard.GateConfig{Tokens: k.cfg.Tokens, Keeper: kept, Logger: k.cfg.Logger})
	var previews hook.Planner // of the store and our own handlers
	if p := worker.NewPreviews(k.cfg.Store, k.cfg.Handlers); p != nil {
		previews = p
	}
	var second *dashboard.Approvals
	if keeper, ok := k.cfg.Store.(hook.ApprovalKeeper); ok && k.cfg.SecondPerson {
		second = dashboard.NewApprovals(keeper, k.operations(), k.cfg.Logger)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", gate.Guard(k.metrics.handler(), k.cfg.OpenMetrics))
	if !k.cfg.has(RoleOperate) {
		return mux
	}
	mux.Handle("/api/v1/", dashboard.API(dashboard.APIConfig{Ledger: k.cfg.Store, Sources: infos, Gate: gate,
		Logger: k.cfg.Logger, Draining: k.draining, Alarms: k.alarmBook(), Retention: k.cfg.Retention, Operations: k.operations(), Previews: previews,
		Approvals: second}))
	k.desk = dashboard.NewPages(dashboard.PagesConfig{Ledger: k.cfg.Store, Sources: infos, Routes: k.cfg.Handlers, Gate: gate,
		Logger: k.cfg.Logger, Draining: k.draining, Alarms: k.alarmBook(), Retention: k.cfg.Retention, Operations: k.operations(), Again: k.door.Again, Previews: previews,
		Approvals: second, Outages: k.pool.Outages})
	mux.Handle("/dashboard/", k.desk)
	mux.Handle("GET /{$}", http.RedirectHandler("dashboard/", http.StatusSeeOther))
	return mux
}

// LoginLink makes a link, relative to the operators' side, that logs a browser in
// once, within ten minutes, as the first of Config.Tokens. It is empty where that
// is not possible: without such a token or without the role operate.
func (k *Keeper) LoginLink() string {
	if k.desk == nil {
		return ""
	}
	ticket, ok := k.desk.Ticket()
	if !ok {
		return ""
	}
	return "/dashboard/login?ticket=" + ticket
}

func (k *Keeper) operations() []hook.Operation {
	var all []hook.Operation
	for _, d := range k.cfg.Departments {
		all = append(all, d.Operations...)
	}
	return all
}

// Run writes the routes and works the queue until ctx ends, then returns when
// all it started has ended; a node without the role work only keeps in touch with
// the others. A stop while it starts is no error. Call it once.
func (k *Keeper) Run(ctx context.Context) error {
	works := k.cfg.has(RoleWork)
	switch err := k.enter(ctx, works); {
	case err != nil && ctx.Err() != nil:
		return nil // stopped before it had begun
	case err != nil:
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { k.beats(ctx) })
	if !works {
		all.Wait()
		return nil
	}
	if k.pausing != nil {
		all.Go(func() { k.pausing.run(ctx) })
	}
	all.Go(func() { k.pool.Run(ctx) })
	all.Go(func() { k.sweeper.Run(ctx) })
	all.Go(func() { k.duties.Run(ctx) })
	all.Go(func() { k.bulkReplays(ctx) })
	all.Go(func() { k.indexes(ctx) })
	all.Go(func() { k.erasures(ctx) })
	all.Wait()
	return nil
}

// enter makes the node known, and what it works.
func (k *Keeper) enter(ctx context.Context, works bool) error {
	err := persist(ctx, func() error { return k.neighbours.beat(ctx, k.me()) })
	if err != nil {
		return fmt.Errorf("say that this node is there: %w", err)
	}
	if !works {
		return nil
	}
	if err := persist(ctx, func() error { return k.cfg.Store.SetRoutes(ctx, k.cfg.Handlers) }); err != nil {
		return fmt.Errorf("write routes: %w", err)
	}
	return nil
}

// Drain makes Ready fail and answers new deliveries 503; those in flight go on.
// A repeat does nothing.
func (k *Keeper) Drain() {
	k.drain.Do(func() {
		close(k.draining)
		k.door.Drain()
	})
}

var sourceName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return host + "-" + strings.ToLower(rand.Text()[:6])
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
