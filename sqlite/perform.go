package sqlite

import (
	"context"
	"errors"
	"runtime"

	"github.com/hookkeeper/hookkeeper/hook"
)

// perform does the work of the queue that waits: effects in a transaction of their
// own each, then all shared operations in one. The disk is waited for once, at the
// end or when a delivery is recorded in between, and only then anybody is answered.
func (s *Store) perform(first *op) {
	if first.shared {
		// Handlers that were claimed together end together: let those that are about
		// to hand in their ends do so before this commit, not before the next.
		runtime.Gosched()
	}
	shared, alone := s.gather(first)
	for i, o := range alone {
		if last := i == len(alone)-1 && len(shared) == 0; last {
			o.done <- s.transact(o.run)
		} else {
			s.performAhead(o)
		}
		select { // a waiting reception batch goes before the next effect
		case p := <-s.records:
			s.recordBatch(p)
		default:
		}
	}
	if len(shared) > 0 {
		s.performShared(shared)
	}
	s.settle()
}

// gather takes what waits already behind first.
func (s *Store) gather(first *op) (shared, alone []*op) {
	for o := first; ; {
		if o.shared {
			shared = append(shared, o)
		} else {
			alone = append(alone, o)
		}
		if len(shared) == maxShared || len(alone) == maxAlone {
			return shared, alone
		}
		select {
		case o = <-s.ops:
		default:
			return shared, alone
		}
	}
}

func (s *Store) performShared(ops []*op) {
	results := make([]error, len(ops))
	err := s.transact(func(ctx context.Context, tx *unit) error { return s.runShared(ctx, tx, ops, results) })
	if err == nil || len(ops) == 1 || systemic(err) {
		for i, o := range ops {
			if err != nil {
				results[i] = err
			}
			o.done <- results[i]
		}
		return
	}
	for _, o := range ops {
		o.done <- s.transact(o.run)
	}
}

// runShared ends jobs first: their ends let others be claimed.
func (s *Store) runShared(ctx context.Context, tx *unit, ops []*op, results []error) error {
	var all []*finishing
	var at []int
	for i, o := range ops {
		if o.finish != nil {
			all, at = append(all, o.finish), append(at, i)
		}
	}
	errs, err := s.finishAll(ctx, tx, all)
	if err != nil {
		return err
	}
	for i, e := range errs {
		results[at[i]] = e
	}
	for i, o := range ops {
		if o.finish != nil {
			continue
		}
		results[i] = o.run(ctx, tx)
		if results[i] != nil && !harmless(results[i]) {
			return results[i]
		}
	}
	return nil
}

// harmless errors come from operations that have written nothing.
func harmless(err error) bool {
	return errors.Is(err, hook.ErrLeaseLost) || errors.Is(err, hook.ErrRefused) || errors.Is(err, hook.ErrNotFound)
}
