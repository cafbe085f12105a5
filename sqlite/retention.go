package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		steps, err = s.core.PruneSteps(ctx, tx, rules, s.rejections.Recount)
		return err
	})
	return steps, err
}

// AddHold implements hook.HoldKeeper.
func (s *Store) AddHold(ctx context.Context, o hook.HoldOrder) (id int64, err error) {
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		id, err = s.core.AddHold(ctx, tx, o)
		return err
	})
	return id, err
}

// ReleaseHold implements hook.HoldKeeper.
func (s *Store) ReleaseHold(ctx context.Context, id int64, actor, reason string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.ReleaseHold(ctx, tx, id, actor, reason)
	})
}

// Holds implements hook.HoldKeeper.
func (s *Store) Holds(ctx context.Context, event string, limit int) (all []*hook.Hold, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		all, err = s.core.Holds(ctx, tx, event, limit)
		return err
	})
	return all, err
}

// AddErasure implements hook.ErasureKeeper.
func (s *Store) AddErasure(ctx context.Context, o hook.ErasureOrder) (id int64, err error) {
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		id, err = s.core.AddErasure(ctx, tx, o)
		return err
	})
	return id, err
}

// CancelErasure implements hook.ErasureKeeper.
func (s *Store) CancelErasure(ctx context.Context, id int64, actor string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.CancelErasure(ctx, tx, id, actor)
	})
}

// Erasures implements hook.ErasureKeeper.
func (s *Store) Erasures(ctx context.Context, limit int) (all []*hook.Erasure, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		all, err = s.core.Erasures(ctx, tx, limit)
		return err
	})
	return all, err
}

// Erasure implements hook.ErasureKeeper.
func (s *Store) Erasure(ctx context.Context, id int64) (e *hook.Erasure, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		e, err = s.core.Erasure(ctx, tx, id)
		return err
	})
	return e, err
}

// StepErasure implements hook.ErasureKeeper. Bodies are read beside the writer, which
// only removes what was found.
func (s *Store) StepErasure(ctx context.Context, departments hook.Eraser) (busy bool, err error) {
	var step *sqlstore.ErasureStep
	if err := s.writeNotes(ctx); err != nil {
		return false, err
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		step, err = s.core.LookErasure(ctx, tx)
		return err
	})
	if err != nil || step == nil {
		return false, err
	}
	if step.Cleaning() {
		if err := s.emptyLog(ctx); err != nil {
			return false, err
		}
	}
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.StepErasure(ctx, tx, step, func() (rows int, err error) {
			err = s.runEffects(tx, func(ctx context.Context, tx hook.Tx) error {
				rows, err = departments(ctx, tx, step.Source, step.Customer)
				return err
			})
			return rows, err
		})
	})
	return err == nil, err
}

// writeNotes writes the notes on rejections that are still in memory if an erasure is
// due: it looks at those on disk.
func (s *Store) writeNotes(ctx context.Context) error {
	due := false
	err := s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		due, err = s.core.ErasureDue(ctx, tx)
		return err
	})
	if err != nil || !due || len(s.rejections.Waiting("")) == 0 {
		return err
	}
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.rejections.Write(ctx, tx, s.core, s.rejections.Take())
	})
}

// errLogBusy: a reader stands on an old state of the file.
var errLogBusy = errors.New("the write-ahead log cannot be emptied while something reads for long: tried again")

// emptyLog writes everything in the write-ahead log to the file and cuts the log off:
// it holds pages as they were before something was erased. The writer waits for it
// as for a commit, readers do not; with one that reads for long it fails.
func (s *Store) emptyLog(ctx context.Context) error {
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `PRAGMA busy_timeout = 100`); err != nil {
		return err
	}
	var busy, pages, moved int
	err = conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if _, back := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA busy_timeout = 5000`); err == nil {
		err = back
	}
	if err != nil {
		return fmt.Errorf("empty the write-ahead log: %w", err)
	}
	if busy != 0 {
		return errLogBusy
	}
	return nil
}
