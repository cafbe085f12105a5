package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// serve is the measured server: the same doors, the same keeper, and a store
// that either keeps everything or answers at once. It takes orders on stdin and
// ends when there is nobody to give them.
func (cmd *benchCmd) serve(ctx context.Context, a *app) (err error) {
	store, closeStore, err := cmd.store(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	memory := hookkeeper.MemoryLimit()
	hookkeeper.BoundHeap(memory)
	keeper, err := hookkeeper.New(hookkeeper.Config{
		Store: store, Sources: []hook.Source{source.Stripe("stripe", benchSecret)}, Handlers: cmd.routes(),
		Logger: slog.New(slog.DiscardHandler), OpenMetrics: true, Node: cmd.Node, MaxBytesInFlight: memory / 8,
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
			answer := "drained"
			if err := drainStore(ctx, store); err != nil {
				answer = err.Error()
			}
			fmt.Fprintln(a.stdout, printable(answer))
		}
	}()
	fmt.Fprintln(a.stdout, doors.public.Addr())
	s := &server{keeper: keeper, doors: doors, log: slog.New(slog.DiscardHandler), connections: maxConnections}
	return s.serve(ctx, func(context.Context) {})
}

func (cmd *benchCmd) store(ctx context.Context, a *app) (hook.Store, func() error, error) {
	if cmd.Child == benchLimit {
		return answersAtOnce{}, func() error { return nil }, nil
	}
	database, _ := a.env("HOOKKEEPER_DATABASE")
	s, err := engineOf(database).open(ctx, storeOptions{wait: lockWait})
	if err != nil {
		return nil, nil, err
	}
	if cmd.Idle {
		return onlyReceives{s}, s.Close, nil
	}
	return s, s.Close, nil
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

// drainStore waits until no job is open. Jobs that are dead will never go away.
func drainStore(ctx context.Context, store hook.Store) error {
	poll := time.NewTicker(100 * time.Millisecond) // counting reads every open job
	defer poll.Stop()
	for {
		n, err := store.Counts(ctx)
		if err != nil || len(n.Jobs) == 0 {
			return err
		}
		for handler, jobs := range n.Jobs {
			if dead := jobs[hook.StateDead]; dead > 0 {
				return fmt.Errorf("%d jobs of %s are dead", dead, handler)
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answersAtOnce is the limit: everything but the keeping.
type answersAtOnce struct{ hook.Store }

func (answersAtOnce) Record(context.Context, hook.Delivery, hook.Identity, []string) (hook.Receipt, error) {
	return hook.Receipt{EventID: "ev_none"}, nil
}

func (answersAtOnce) Reject(hook.Delivery, hook.Reason, string) {}

func (answersAtOnce) Claim(context.Context, hook.Ask) ([]*hook.Job, error) { return nil, nil }

func (answersAtOnce) SetRoutes(context.Context, []hook.Route) error { return nil }

func (answersAtOnce) Sweep(context.Context, hook.SweepRules) (hook.SweepReport, error) {
	return hook.SweepReport{}, nil
}

func (answersAtOnce) Ready(context.Context) error { return nil }

func (answersAtOnce) Counts(context.Context) (hook.Counts, error) { return hook.Counts{}, nil }
