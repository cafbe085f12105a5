package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var (
	_ hook.Desk          = (*Store)(nil)
	_ hook.Pauser        = (*Store)(nil)
	_ hook.BulkKeeper    = (*Store)(nil)
	_ hook.SessionKeeper = (*Store)(nil)
)

// Jobs implements hook.Desk.
func (s *Store) Jobs(ctx context.Context, f hook.JobFilter) (page []*hook.QueuedJob, next string, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		page, next, err = s.core.Jobs(ctx, tx, f)
		return err
	})
	return page, next, err
}

// Causes implements hook.Desk.
func (s *Store) Causes(ctx context.Context) (groups []*hook.DeadCause, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		groups, err = s.core.Causes(ctx, tx)
		return err
	})
	return groups, err
}

// Traffic implements hook.Desk.
func (s *Store) Traffic(ctx context.Context, since time.Time) (traffic *hook.Traffic, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		traffic, err = s.core.Traffic(ctx, tx, since)
		return err
	})
	return traffic, err
}

// Audit implements hook.Desk.
func (s *Store) Audit(ctx context.Context, cursor string, limit int) (page []*hook.AuditEntry, next string, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		page, next, err = s.core.Audit(ctx, tx, cursor, limit)
		return err
	})
	return page, next, err
}

// VerifyAudit implements hook.Desk.
func (s *Store) VerifyAudit(ctx context.Context) (report hook.AuditReport, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		report, err = s.core.VerifyAudit(ctx, tx)
		return err
	})
	return report, err
}

// VerifyAudit walks the chain of the audit trail; see hook.Desk.
func (r *Reader) VerifyAudit(ctx context.Context) (report hook.AuditReport, err error) {
	err = snapshot(ctx, r.db, func(ctx context.Context, tx *sql.Tx) error {
		report, err = r.core.VerifyAudit(ctx, tx)
		return err
	})
	return report, err
}

// Note implements hook.Desk.
func (s *Store) Note(ctx context.Context, n hook.AuditNote) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.Note(ctx, tx, n)
	})
}

// SetPaused implements hook.Pauser.
func (s *Store) SetPaused(ctx context.Context, handler string, paused bool, actor, reason string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.SetPaused(ctx, tx, handler, paused, actor, reason)
	})
}

// Paused implements hook.Pauser.
func (s *Store) Paused(ctx context.Context) (all []hook.Pause, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		all, err = s.core.Paused(ctx, tx)
		return err
	})
	return all, err
}

// AddSession implements hook.SessionKeeper.
func (s *Store) AddSession(ctx context.Context, session, token hook.TokenHash, until time.Time) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.AddSession(ctx, tx, session, token, until)
	})
}

// SessionToken implements hook.SessionKeeper.
func (s *Store) SessionToken(ctx context.Context, session hook.TokenHash) (token hook.TokenHash, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		token, err = s.core.SessionToken(ctx, tx, session)
		return err
	})
	return token, err
}

// EndSession implements hook.SessionKeeper.
func (s *Store) EndSession(ctx context.Context, session hook.TokenHash) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.EndSession(ctx, tx, session)
	})
}

// AddBulk implements hook.BulkKeeper.
func (s *Store) AddBulk(ctx context.Context, o hook.BulkOrder) (id int64, err error) {
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		id, err = s.core.AddBulk(ctx, tx, o)
		return err
	})
	return id, err
}

// CountBulk implements hook.BulkKeeper.
func (s *Store) CountBulk(ctx context.Context, o hook.BulkOrder) (n int64, sample []*hook.EventInfo, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, sample, err = s.core.CountBulk(ctx, tx, o)
		return err
	})
	return n, sample, err
}

// SteerBulk implements hook.BulkKeeper.
func (s *Store) SteerBulk(ctx context.Context, id int64, to hook.BulkState, actor string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.SteerBulk(ctx, tx, id, to, actor)
	})
}

// Bulks implements hook.BulkKeeper.
func (s *Store) Bulks(ctx context.Context, limit int) (all []*hook.Bulk, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		all, err = s.core.Bulks(ctx, tx, limit)
		return err
	})
	return all, err
}

// Bulk implements hook.BulkKeeper.
func (s *Store) Bulk(ctx context.Context, id int64) (b *hook.Bulk, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err = s.core.Bulk(ctx, tx, id)
		return err
	})
	return b, err
}

// StepBulk implements hook.BulkKeeper. A reader looks first: where nothing is due
// no transaction that writes is begun.
func (s *Store) StepBulk(ctx context.Context) (busy bool, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		busy, err = s.core.BulkDue(ctx, tx)
		return err
	})
	if err != nil || !busy {
		return false, err
	}
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		busy, err = s.core.StepBulk(ctx, tx)
		return err
	})
	return busy, err
}
