package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.Lookout = (*Store)(nil)

// Signs implements hook.Lookout.
func (s *Store) Signs(ctx context.Context, hours, refused time.Time) (signs *hook.Signs, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		signs, err = s.core.Signs(ctx, tx, hours, refused, s.rejections.Waiting(""))
		return err
	})
	return signs, err
}
