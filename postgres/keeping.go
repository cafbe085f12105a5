package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// SetRoutes implements hook.Keeping. The routes of other nodes stay.
func (s *Store) SetRoutes(ctx context.Context, routes []hook.Route) error {
	var newest int64
	err := s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
		newest, err = s.core.NewestSeq(ctx, tx)
		return err
	})
	if err == nil {
		err = s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.SetRoutes(ctx, tx, routes, newest) })
	}
	if err == nil {
		s.core.UseRoutes(routes)
	}
	return err
}

// Sweep implements hook.Keeping, in small transactions. It may run on all nodes at
// once: what one has done the others do not find.
func (s *Store) Sweep(ctx context.Context, rules hook.SweepRules) (r hook.SweepReport, err error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	if err := s.preparePartitions(ctx); err != nil {
		s.opt.Logger.Warn("partitions not ready, tried again at the next sweep", "error", err)
	}
	if r.Pruned, err = s.dropPartitions(ctx, rules.Keep.Longest()); err != nil {
		s.opt.Logger.Warn("old bodies not dropped, tried again at the next sweep", "error", err)
	}
	steps := []sqlstore.Housework{{Total: &r.Filled, Step: s.core.FillJobs}, {Total: &r.Mended, Step: s.core.MendLines},
		{Total: &r.Aged, Step: s.core.Age}}
	due, err := s.pruneDue(ctx, rules)
	if err != nil {
		return r, fmt.Errorf("sweep: %w", err)
	}
	for _, prune := range due {
		steps = append(steps, sqlstore.Housework{Total: &r.Pruned, Step: prune})
	}
	for _, step := range append(steps, sqlstore.Housework{Total: new(int), Step: s.core.SealAudit}) {
		err := step.Do(ctx, func(ctx context.Context, f func(context.Context, sqlstore.Tx) error) error {
			return s.working(ctx, func(ctx context.Context, tx *unit) error {
				if _, err := tx.ExecContext(ctx, byIndex); err != nil {
					return err
				}
				return f(ctx, tx)
			})
		})
		if err != nil {
			return r, err
		}
	}
	if r.Mended > 0 {
		s.opt.Logger.Error("alarm: lines without a head were found and mended", "lines", r.Mended)
	}
	if !rules.Ledger || ctx.Err() != nil {
		return r, ctx.Err()
	}
	err = s.transact(ctx, s.read, transaction{snapshot: true, limit: time.Minute}, func(ctx context.Context, tx *unit) (err error) {
		r.Imbalance, err = s.core.Imbalance(ctx, tx, 48)
		r.Checked = err == nil
		return err
	})
	return r, err
}

// byIndex makes the steps of a sweep read what they are for and no more. Each asks for
// the next few rows after a number, and by the statistics of a table that is filling up
// nearly nothing comes after it: the planner then reads all of it and sorts.
const byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// refusedFor is how long a delivery that the database refused keeps the store
// from being ready.
const refusedFor = 10 * time.Second

// refusal is a delivery that could not be written for a reason that concerns all.
type refusal struct {
	at  time.Time
	err error
}

// readiness remembers the last proof that the database takes writes, so that
// probes cost at most one small commit a second.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// Ready implements hook.Keeping: it commits a small write, at most once a second.
func (s *Store) Ready(ctx context.Context) error {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if time.Since(s.ready.at) < time.Second {
		return s.ready.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.transact(ctx, s.work, transaction{}, func(ctx context.Context, tx *unit) error {
		host, _ := os.Hostname() // only keeps nodes from waiting for each other's row
		_, err := tx.ExecContext(ctx, `INSERT INTO probes (node, at) VALUES ($1, $2)
			ON CONFLICT (node) DO UPDATE SET at = excluded.at`, fmt.Sprint(host, "/", os.Getpid()), tx.Now())
		return err
	})
	switch r := s.refused.Load(); {
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the database took no write within 2 s")
	case err != nil:
		err = fmt.Errorf("the database takes no writes: %w", err)
	case r != nil && time.Since(r.at) < refusedFor && !silent(r.err):
		err = fmt.Errorf("deliveries are refused: %w", r.err)
	}
	s.ready.at, s.ready.err = time.Now(), err
	return err
}
