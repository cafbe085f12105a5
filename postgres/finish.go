package postgres

import (
	"context"
	"runtime"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// Bounds of shared ends: while one batch is being committed the other is built.
const (
	finishers = 2
	maxShared = 256
)

// finishing is one job on its way out, with its effect.
type finishing struct {
	ctx    context.Context
	job    *hook.Job
	effect hook.Effect
	done   chan error // buffered
}

// Finish implements hook.Queue. Effects of Batch routes share a commit; every
// other one has a transaction of its own. If the process dies before the commit
// neither effect nor end exist, and the lease lapses; after it both exist.
func (s *Store) Finish(ctx context.Context, job *hook.Job, effect hook.Effect) error {
	if inside(ctx, s) {
		return hook.ErrInsideEffect
	}
	if err := fault.Point("before-finish"); err != nil {
		return err
	}
	if fault.Mutant("effect_outside_tx") && effect != nil {
		if err := s.Apply(ctx, effect); err != nil {
			return err
		}
		effect = nil
	}
	f := &finishing{ctx: ctx, job: job, effect: effect, done: make(chan error, 1)}
	if effect != nil && !job.Batch {
		return s.finishAlone(f)
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return errClosed
	}
	select {
	case s.finishes <- f:
		s.mu.RUnlock()
	case <-ctx.Done():
		s.mu.RUnlock()
		return ctx.Err()
	}
	return <-f.done
}

// finishLoop ends jobs that share a commit.
func (s *Store) finishLoop() {
	for {
		select {
		case f := <-s.finishes:
			s.finishShared(f)
		case <-s.stop:
			for {
				select {
				case f := <-s.finishes:
					s.finishShared(f)
					continue
				default:
				}
				return
			}
		}
	}
}

func (s *Store) finishShared(first *finishing) {
	batch := []*finishing{first}
	runtime.Gosched() // those claimed together end together: let them hand in
gather:
	for len(batch) < maxShared {
		select {
		case f := <-s.finishes:
			batch = append(batch, f)
		default:
			break gather
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*s.opt.EffectBudget)
	defer cancel()
	errs, err := s.finishTogether(ctx, batch)
	switch {
	case err == nil:
		for i, f := range batch {
			f.done <- errs[i]
		}
	case len(batch) == 1 && batch[0].effect == nil || systemic(err):
		for _, f := range batch {
			f.done <- err
		}
	default:
		for _, f := range batch {
			f.done <- s.finishAlone(f)
		}
	}
}

// finishTogether ends jobs in one transaction. Those that another attempt owns get
// ErrLeaseLost and write nothing; any other error is for all of them.
func (s *Store) finishTogether(ctx context.Context, batch []*finishing) (errs []error, err error) {
	jobs := make([]*hook.Job, len(batch))
	for i, f := range batch {
		jobs[i] = f.job
	}
	errs = make([]error, len(batch))
	err = s.transact(ctx, s.work, s.effects(jobs), func(ctx context.Context, tx *unit) error {
		ends, err := s.core.Fenced(jobs, tx.answer)
		if err != nil {
			return err
		}
		var effects []hook.Effect
		for i, f := range batch {
			switch {
			case ends[f.job] == nil:
				errs[i] = hook.ErrLeaseLost
			case f.effect != nil:
				effects = append(effects, f.effect)
			}
		}
		if err := s.runEffects(ctx, tx.conn, &tx.last, effects...); err != nil {
			return err
		}
		return s.core.Done(ctx, tx, ends)
	})
	return errs, err
}

// effects is a transaction that effects of these jobs run in; it begins with their
// fence.
func (s *Store) effects(jobs []*hook.Job) transaction {
	t := transaction{lockWait: s.opt.EffectBudget, limit: s.opt.EffectBudget}
	if len(jobs) > 0 {
		t.first = sqlstore.Fence(jobs)
	}
	return t
}

// finishAlone ends one job in a transaction of its own, and tries once more what
// the server rolled back for the sake of others.
func (s *Store) finishAlone(f *finishing) error {
	err := s.finishOnce(f)
	if err != nil && again(err) {
		err = s.finishOnce(f)
	}
	return err
}

func (s *Store) finishOnce(f *finishing) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), 2*s.opt.EffectBudget)
	defer cancel()
	jobs := []*hook.Job{f.job}
	return s.transact(ctx, s.work, s.effects(jobs), func(ctx context.Context, tx *unit) error {
		ends, err := s.core.Fenced(jobs, tx.answer)
		if err != nil {
			return err
		}
		if len(ends) == 0 {
			return hook.ErrLeaseLost
		}
		if f.effect != nil {
			if err := s.runEffects(ctx, tx.conn, nil, f.effect); err != nil {
				return err
			}
		}
		return s.core.Done(ctx, tx, ends)
	})
}

// Apply implements hook.Applier. What the server rolls back for the sake of other
// transactions is run again, up to five times.
func (s *Store) Apply(ctx context.Context, effect hook.Effect) error {
	if inside(ctx, s) {
		return hook.ErrInsideEffect
	}
	if err := hook.Outward(ctx, "write to the database before its effect"); err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		err := s.applyOnce(ctx, effect)
		if err == nil || !again(err) || tries == 5 || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) applyOnce(ctx context.Context, effect hook.Effect) error {
	if s.isClosed() {
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.opt.EffectBudget)
	defer cancel()
	return s.transact(ctx, s.work, s.effects(nil), func(ctx context.Context, tx *unit) error {
		return s.runEffects(ctx, tx.conn, nil, effect)
	})
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}

// workLimit is how long an operation of the queue may take before its connection
// is given up: a server that answers nothing must not hold all of them for ever.
const workLimit = 10 * time.Second
