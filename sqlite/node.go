package sqlite

import (
	"context"
	"database/sql"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.NodeKeeper = (*Store)(nil)

// Beat implements hook.NodeKeeper.
func (s *Store) Beat(ctx context.Context, n hook.NodeInfo) error {
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error { return s.core.Beat(ctx, tx, n) })
}

// Nodes implements hook.NodeKeeper: the file has one at a time.
func (s *Store) Nodes(ctx context.Context) ([]hook.NodeInfo, error) {
	return s.core.Nodes(ctx, s.readers)
}

// Routes implements hook.NodeKeeper.
func (s *Store) Routes(ctx context.Context) (routes []hook.Route, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		routes, err = s.core.Routes(ctx, tx)
		return err
	})
	return routes, err
}
