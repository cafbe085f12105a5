package postgres

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var (
	_ hook.HoldKeeper    = (*Store)(nil)
	_ hook.ErasureKeeper = (*Store)(nil)
)

// pruneDue gives the steps of retention that have something to do. A reader looks:
// where nothing is due no transaction that writes is begun.
func (s *Store) pruneDue(ctx context.Context, rules hook.SweepRules) (steps []sqlstore.PruneStep, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		steps, err = s.core.PruneSteps(ctx, tx, rules, s.rejections.Recount)
		return err
	})
	return steps, err
}

// AddHold implements hook.HoldKeeper.
func (s *Store) AddHold(ctx context.Context, o hook.HoldOrder) (id int64, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		id, err = s.core.AddHold(ctx, tx, o)
		return err
	})
	return id, err
}

// ReleaseHold implements hook.HoldKeeper.
func (s *Store) ReleaseHold(ctx context.Context, id int64, actor, reason string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.ReleaseHold(ctx, tx, id, actor, reason)
	})
}

// Holds implements hook.HoldKeeper.
func (s *Store) Holds(ctx context.Context, event string, limit int) (all []*hook.Hold, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		all, err = s.core.Holds(ctx, tx, event, limit)
		return err
	})
	return all, err
}

// AddErasure implements hook.ErasureKeeper.
func (s *Store) AddErasure(ctx context.Context, o hook.ErasureOrder) (id int64, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		id, err = s.core.AddErasure(ctx, tx, o)
		return err
	})
	return id, err
}

// CancelErasure implements hook.ErasureKeeper.
func (s *Store) CancelErasure(ctx context.Context, id int64, actor string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.CancelErasure(ctx, tx, id, actor)
	})
}

// Erasures implements hook.ErasureKeeper.
func (s *Store) Erasures(ctx context.Context, limit int) (all []*hook.Erasure, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		all, err = s.core.Erasures(ctx, tx, limit)
		return err
	})
	return all, err
}

// Erasure implements hook.ErasureKeeper.
func (s *Store) Erasure(ctx context.Context, id int64) (e *hook.Erasure, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		e, err = s.core.Erasure(ctx, tx, id)
		return err
	})
	return e, err
}

// StepErasure implements hook.ErasureKeeper. Nothing is locked while bodies are read.
func (s *Store) StepErasure(ctx context.Context, departments hook.Eraser) (busy bool, err error) {
	var step *sqlstore.ErasureStep
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		due, err := s.core.ErasureDue(ctx, tx)
		if err != nil || !due {
			return err
		}
		step, err = s.core.LookErasure(ctx, tx)
		return err
	})
	if err != nil || step == nil {
		return false, err
	}
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.StepErasure(ctx, tx, step, func() (rows int, err error) {
			if err := tx.flush(ctx); err != nil {
				return 0, err
			}
			err = s.runEffects(ctx, tx.conn, nil, func(ctx context.Context, tx hook.Tx) error {
				rows, err = departments(ctx, tx, step.Source, step.Customer)
				return err
			})
			return rows, err
		})
	})
	return err == nil, err
}
