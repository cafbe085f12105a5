package postgres

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// snapshot runs f in one reading transaction, in which everything is as it was at
// its first statement.
func (s *Store) snapshot(ctx context.Context, f func(ctx context.Context, tx *unit) error) error {
	return s.reading(ctx, transaction{snapshot: true, limit: workLimit}, f)
}

// Counts implements hook.Ledger.
func (s *Store) Counts(ctx context.Context) (n hook.Counts, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		n, err = s.core.Counts(ctx, tx)
		return err
	})
	return n, err
}

// Events implements hook.Ledger.
func (s *Store) Events(ctx context.Context, f hook.Filter) (page []*hook.EventInfo, next string, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		page, next, err = s.core.Events(ctx, tx, f)
		return err
	})
	return page, next, err
}

// Event implements hook.Ledger.
func (s *Store) Event(ctx context.Context, id string) (d *hook.EventDetail, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		d, err = s.core.Event(ctx, tx, id)
		return err
	})
	return d, err
}

// historyLimit bounds an export: it holds one snapshot all along, and until it
// ends the server cannot clean up behind it.
const historyLimit = 30 * time.Minute

// History implements hook.Ledger.
func (s *Store) History(ctx context.Context, write func(hook.HistoryLine) error) error {
	ctx, cancel := context.WithTimeout(ctx, historyLimit)
	defer cancel()
	return s.transact(ctx, s.read, transaction{snapshot: true, limit: historyLimit}, func(ctx context.Context, tx *unit) error {
		return s.core.History(ctx, tx, write)
	})
}

// Rejections implements hook.Ledger: those of this node that are not yet on disk
// first.
func (s *Store) Rejections(ctx context.Context, source string, limit int) ([]*hook.Rejection, error) {
	notes := s.rejections.Waiting(source)
	if len(notes) >= limit {
		return notes[:limit], nil
	}
	err := s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		kept, err := s.core.Rejections(ctx, tx, source, limit-len(notes))
		notes = append(notes, kept...)
		return err
	})
	return notes, err
}

// Replay implements hook.Ledger.
func (s *Store) Replay(ctx context.Context, id string, r hook.Replay) (jobs int, err error) {
	if err := s.refreshRoutes(ctx); err != nil {
		return 0, err
	}
	err = s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
		jobs, err = s.core.Replay(ctx, tx, id, r)
		return err
	})
	return jobs, err
}

// PlanReplay implements hook.Planner.
func (s *Store) PlanReplay(ctx context.Context, id string, r hook.Replay) (plan []hook.PlannedJob, err error) {
	if err := s.refreshRoutes(ctx); err != nil {
		return nil, err
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		plan, err = s.core.PlanReplay(ctx, tx, id, r)
		return err
	})
	return plan, err
}

// refreshRoutes reads what other nodes work, so that a replay knows who wants an
// event.
func (s *Store) refreshRoutes(ctx context.Context) error {
	routes, err := s.Routes(ctx)
	if err == nil {
		s.core.UseRoutes(routes)
	}
	return err
}

// Discard implements hook.Ledger.
func (s *Store) Discard(ctx context.Context, id, handler, actor, reason string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.Discard(ctx, tx, id, handler, actor, reason)
	})
}

// View implements hook.Viewer.
func (s *Store) View(ctx context.Context, read func(ctx context.Context, tx hook.Tx) error) error {
	return s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		g := sqlstore.NewGate(ctx)
		defer g.Close() // what was refused has failed in the reader's own hands
		return read(hook.WithSealer(ctx, s.core.Sealer()), &guard{gate: g, tx: tx.conn})
	})
}
