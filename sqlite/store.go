package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var (
	_ hook.TurnKeeper = (*Store)(nil)
	_ hook.Lender     = (*Store)(nil)
)

// Record implements hook.Recorder.
func (s *Store) Record(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string) (hook.Receipt, error) {
	receipt, _, err := s.RecordAndLend(ctx, d, id, handlers, hook.Loan{})
	return receipt, err
}

// RecordAndLend implements hook.Lender.
func (s *Store) RecordAndLend(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string, loan hook.Loan) (hook.Receipt, []*hook.Job, error) {
	if inside(ctx, s) {
		return hook.Receipt{}, nil, hook.ErrInsideEffect
	}
	if err := hook.Outward(ctx, "record an event of %s", d.Source); err != nil {
		return hook.Receipt{}, nil, err
	}
	e, err := s.core.NewEntry(d, id, handlers)
	if err != nil {
		return hook.Receipt{}, nil, err
	}
	e.Lend(loan)
	if fault.Mutant("check_then_insert") && s.mutantSeen(ctx, e) {
		return hook.Receipt{Duplicate: true}, nil, nil
	}
	p := sqlstore.NewIncoming(e)
	if err := s.enqueue(p); err != nil {
		return hook.Receipt{}, nil, err
	}
	if fault.Mutant("ack_before_commit") {
		return hook.Receipt{}, nil, nil
	}
	return p.Wait(s.opt.RecordTimeout)
}

func (s *Store) enqueue(p *sqlstore.Incoming) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.records <- p:
		return nil
	default:
		return fmt.Errorf("record: %d deliveries wait already: %w", cap(s.records), hook.ErrOverloaded)
	}
}

// mutantSeen is a known mistake for the tests: look first, insert later.
func (s *Store) mutantSeen(ctx context.Context, e *sqlstore.Entry) bool {
	var seen bool
	row := s.readers.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM event_keys
		WHERE source = $1 AND mode = $2 AND key = $3)`, e.Delivery.Source, e.Identity.Mode, e.Identity.Key)
	return row.Scan(&seen) == nil && seen
}

// Reject implements hook.Rejector.
func (s *Store) Reject(d hook.Delivery, reason hook.Reason, detail string) {
	s.rejections.Add(d, reason, detail)
}

// Claim implements hook.Queue.
func (s *Store) Claim(ctx context.Context, ask hook.Ask) ([]*hook.Job, error) {
	if ask.Max <= 0 || len(ask.Handlers) == 0 {
		return nil, nil
	}
	due, err := s.core.Due(ctx, s.hot, ask.Handlers)
	if err != nil || !due {
		return nil, err
	}
	var jobs []*hook.Job
	err = s.submit(ctx, true, func(ctx context.Context, tx *unit) (err error) {
		jobs, err = s.core.Claim(ctx, tx, ask)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if err := fault.Point("after-claim"); err != nil {
		return nil, err
	}
	if err := s.core.LoadEvents(ctx, s.hot, jobs); err != nil {
		for _, j := range jobs {
			err = errors.Join(err, s.Release(context.WithoutCancel(ctx), j))
		}
		return nil, fmt.Errorf("claim: %w", err)
	}
	return jobs, nil
}

// Extend implements hook.Queue.
func (s *Store) Extend(ctx context.Context, jobs []*hook.Job, lease time.Duration) (lost []*hook.Job, err error) {
	err = s.submit(ctx, true, func(ctx context.Context, tx *unit) (err error) {
		lost, err = s.core.Extend(ctx, tx, jobs, lease)
		return err
	})
	return lost, err
}

// Finish implements hook.Queue. Effects of Batch routes share a commit; every
// other one has a transaction of its own, and a budget.
func (s *Store) Finish(ctx context.Context, job *hook.Job, effect hook.Effect) error {
	if err := fault.Point("before-finish"); err != nil {
		return err
	}
	if fault.Mutant("effect_outside_tx") && effect != nil {
		if err := s.Apply(ctx, effect); err != nil {
			return err
		}
		effect = nil
	}
	f := &finishing{job: job, effect: effect}
	return s.hand(ctx, &op{shared: effect == nil || job.Batch, finish: f, run: func(ctx context.Context, tx *unit) error {
		errs, err := s.finishAll(ctx, tx, []*finishing{f})
		if err != nil {
			return err
		}
		return errs[0]
	}})
}

// finishing is one job on its way out, with its effect.
type finishing struct {
	job    *hook.Job
	effect hook.Effect
}

// finishAll ends jobs in one transaction. Those that another attempt owns get
// ErrLeaseLost and write nothing; any other error is for all of them.
func (s *Store) finishAll(ctx context.Context, tx *unit, all []*finishing) ([]error, error) {
	jobs := make([]*hook.Job, len(all))
	for i, f := range all {
		jobs[i] = f.job
	}
	ends, err := s.core.BeginDone(ctx, tx, jobs)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(all))
	var effects []hook.Effect
	for i, f := range all {
		switch {
		case ends[f.job] == nil:
			errs[i] = hook.ErrLeaseLost
		case f.effect != nil:
			effects = append(effects, f.effect)
		}
	}
	if err := s.runEffects(tx, effects...); err != nil {
		return nil, err
	}
	return errs, s.core.Done(ctx, tx, ends)
}

// Retry implements hook.Queue.
func (s *Store) Retry(ctx context.Context, job *hook.Job, after time.Duration, cause hook.Cause) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
		return s.core.Retry(ctx, tx, job, after, cause)
	})
}

// Bury implements hook.Queue.
func (s *Store) Bury(ctx context.Context, job *hook.Job, cause hook.Cause) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
		return s.core.Bury(ctx, tx, job, cause)
	})
}

// Release implements hook.Queue.
func (s *Store) Release(ctx context.Context, job *hook.Job) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
		return s.core.Release(ctx, tx, job)
	})
}

// Hasten implements hook.Hastener.
func (s *Store) Hasten(ctx context.Context, jobs []*hook.Job) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error { return s.core.Hasten(ctx, tx, jobs) })
}

// Apply implements hook.Applier.
func (s *Store) Apply(ctx context.Context, effect hook.Effect) error {
	if err := hook.Outward(ctx, "write to the database before its effect"); err != nil {
		return err
	}
	return s.submit(ctx, false, func(_ context.Context, tx *unit) error { return s.runEffects(tx, effect) })
}

// View implements hook.Viewer.
func (s *Store) View(ctx context.Context, read func(ctx context.Context, tx hook.Tx) error) error {
	return s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return read(hook.WithSealer(ctx, s.core.Sealer()), tx)
	})
}

// Turn implements hook.TurnKeeper.
func (s *Store) Turn(ctx context.Context, name string, every time.Duration) (mine bool, err error) {
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		mine, err = s.core.Turn(ctx, tx, name, every)
		return err
	})
	return mine, err
}

// SetRoutes implements hook.Keeping.
func (s *Store) SetRoutes(ctx context.Context, routes []hook.Route) error {
	err := s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		newest, err := s.core.NewestSeq(ctx, tx)
		if err != nil {
			return err
		}
		return s.core.SetRoutes(ctx, tx, routes, newest)
	})
	if err == nil {
		s.core.UseRoutes(routes)
	}
	return err
}

// Sweep implements hook.Keeping, in small transactions between which reception
// goes on.
func (s *Store) Sweep(ctx context.Context, rules hook.SweepRules) (hook.SweepReport, error) {
	var r hook.SweepReport
	steps := []sqlstore.Housework{{Total: &r.Filled, Step: s.core.FillJobs}, {Total: &r.Aged, Step: s.core.Age}}
	due, err := s.pruneDue(ctx, rules)
	if err != nil {
		return r, fmt.Errorf("sweep: %w", err)
	}
	for _, prune := range due {
		steps = append(steps, sqlstore.Housework{Total: &r.Pruned, Step: prune})
	}
	for _, step := range append(steps, sqlstore.Housework{Total: new(int), Step: s.core.SealAudit}) {
		err := step.Do(ctx, func(ctx context.Context, f func(context.Context, sqlstore.Tx) error) error {
			return s.submit(ctx, false, func(ctx context.Context, tx *unit) error { return f(ctx, tx) })
		})
		if err != nil {
			return r, err
		}
	}
	if !rules.Ledger || ctx.Err() != nil {
		return r, ctx.Err()
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		r.Imbalance, err = s.core.Imbalance(ctx, tx, 48)
		r.Checked = err == nil
		return err
	})
	return r, err
}
