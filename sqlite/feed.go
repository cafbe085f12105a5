package sqlite

import (
	"context"
	"database/sql"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var _ hook.Feeder = (*Store)(nil)

// Feed implements hook.Feeder. Only a new name, or a long stretch that the
// filter leaves out, costs a write.
func (s *Store) Feed(ctx context.Context, name string, f hook.Filter, limit int) ([]*hook.EventDetail, error) {
	fed, err := s.feed(ctx, name, f, limit)
	if err == nil && fed.Begin {
		err = s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
			return s.core.BeginCursor(ctx, tx, name, fed)
		})
		if err == nil {
			fed, err = s.feed(ctx, name, f, limit)
		}
	}
	if err == nil && !fed.Begin && fed.Seq > 0 {
		err = s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
			return s.core.MoveCursor(ctx, tx, name, fed)
		})
	}
	return fed.Events, err
}

func (s *Store) feed(ctx context.Context, name string, f hook.Filter, limit int) (fed sqlstore.Fed, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		fed, err = s.core.Feed(ctx, tx, name, f, limit)
		return err
	})
	return fed, err
}

// Advance implements hook.Feeder.
func (s *Store) Advance(ctx context.Context, name, id string) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error {
		return s.core.Advance(ctx, tx, name, id)
	})
}
