package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// serve is the measured server: the same doors, the same keeper, and a store
// that either keeps everything or answers at once. It takes orders on stdin.
func (cmd *benchCmd) serve(ctx context.Context, a *app) (err error) {
	store, closeStore, err := cmd.store()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	keeper, err := hookkeeper.New(hookkeeper.Config{
		Store: store, Sources: []hook.Source{source.Stripe("stripe", benchSecret)}, Handlers: cmd.routes(),
		Logger: slog.New(slog.DiscardHandler), OpenMetrics: true,
	})
	if err != nil {
		return err
	}
	doors := &listeners{}
	if doors.public, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if doors.operator, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		for in := bufio.NewScanner(a.stdin); in.Scan(); {
			if cmd.report(ctx, a, store, in.Text() == "drain") != nil {
				return
			}
		}
	}()
	fmt.Fprintln(a.stdout, doors.public.Addr())
	s := &server{keeper: keeper, doors: doors, log: slog.New(slog.DiscardHandler), connections: maxConnections}
	return s.serve(ctx, func(context.Context) {})
}

func (cmd *benchCmd) store() (hook.Store, func() error, error) {
	if cmd.Child == "none" {
		return answersAtOnce{}, func() error { return nil }, nil
	}
	s, err := sqlite.Open(benchDatabase(cmd.Dir), sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	err = s.Apply(context.Background(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE bench_effects (event TEXT, handler TEXT)`)
		return err
	})
	if cmd.Idle {
		return onlyReceives{s}, s.Close, err
	}
	return s, s.Close, err
}

// onlyReceives queues jobs and lends none.
type onlyReceives struct{ hook.Store }

func (onlyReceives) Claim(context.Context, hook.Ask) ([]*hook.Job, error) { return nil, nil }

// routes have an effect of one row each.
func (cmd *benchCmd) routes() []hook.Route {
	effect := func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
		handler := hook.JobOf(ctx).Handler
		return func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO bench_effects (event, handler) VALUES ($1, $2)`, e.ID, handler)
			return err
		}, nil
	}
	var routes []hook.Route
	for i := range cmd.Handlers {
		routes = append(routes, hook.Route{Name: fmt.Sprintf("bench%d", i), Batch: !cmd.Single, Handler: hook.HandlerFunc(effect)})
	}
	return routes
}

// report writes what was received and the largest memory so far; after a drain
// if asked.
func (cmd *benchCmd) report(ctx context.Context, a *app, store hook.Store, drain bool) error {
	poll := time.NewTicker(100 * time.Millisecond) // counting reads every open job
	defer poll.Stop()
	for drain && cmd.Child != "none" {
		n, err := store.Counts(ctx)
		if err != nil {
			return err
		}
		if len(n.Jobs) == 0 {
			break
		}
		<-poll.C
	}
	var r benchReport
	if cmd.Child != "none" {
		if err := countDeliveries(ctx, store, &r.Deliveries); err != nil {
			return err
		}
	}
	r.PeakKiB = peakKiB("/proc/self/status")
	return json.NewEncoder(a.stdout).Encode(r)
}

// peakKiB reads the largest resident size of this process. Not getrusage: what
// that reports begins with the size of the process that started this one.
func peakKiB(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n
		}
	}
	return 0
}

// countDeliveries adds up what is on disk, not what memory remembers.
func countDeliveries(ctx context.Context, store hook.Store, n *int) error {
	return store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT coalesce(sum(deliveries), 0) FROM event_keys`).Scan(n)
	})
}

// answersAtOnce is the limit: everything but the keeping.
type answersAtOnce struct{ hook.Store }

func (answersAtOnce) Record(context.Context, hook.Delivery, hook.Identity, []string) (hook.Receipt, error) {
	return hook.Receipt{EventID: "ev_none"}, nil
}

func (answersAtOnce) Claim(context.Context, hook.Ask) ([]*hook.Job, error) { return nil, nil }

func (answersAtOnce) SetRoutes(context.Context, []hook.Route) error { return nil }

func (answersAtOnce) Sweep(context.Context, hook.SweepRules) (hook.SweepReport, error) {
	return hook.SweepReport{}, nil
}

func (answersAtOnce) Ready(context.Context) error { return nil }

func (answersAtOnce) Counts(context.Context) (hook.Counts, error) { return hook.Counts{}, nil }
