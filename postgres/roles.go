package postgres

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var (
	_ hook.TurnKeeper  = (*Store)(nil)
	_ hook.TokenKeeper = (*Store)(nil)
	_ hook.Planner     = (*Store)(nil)
	_ hook.Feeder      = (*Store)(nil)
	_ hook.NodeKeeper  = (*Store)(nil)
)

// Turn implements hook.TurnKeeper.
func (s *Store) Turn(ctx context.Context, name string, every time.Duration) (mine bool, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		mine, err = s.core.Turn(ctx, tx, name, every)
		return err
	})
	return mine, err
}

// AddToken implements hook.TokenKeeper.
func (s *Store) AddToken(ctx context.Context, t hook.NewToken, actor string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.AddToken(ctx, tx, t, actor) })
}

// RevokeToken implements hook.TokenKeeper.
func (s *Store) RevokeToken(ctx context.Context, name, actor string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.RevokeToken(ctx, tx, name, actor) })
}

// Tokens implements hook.TokenKeeper.
func (s *Store) Tokens(ctx context.Context) (all []hook.TokenInfo, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		all, err = s.core.Tokens(ctx, tx)
		return err
	})
	return all, err
}

// TokenRole implements hook.TokenKeeper.
func (s *Store) TokenRole(ctx context.Context, hash hook.TokenHash) (name string, role hook.Role, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		name, role, err = s.core.TokenRole(ctx, tx, hash)
		return err
	})
	return name, role, err
}

// Beat implements hook.NodeKeeper.
func (s *Store) Beat(ctx context.Context, n hook.NodeInfo) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.Beat(ctx, tx, n) })
}

// Nodes implements hook.NodeKeeper.
func (s *Store) Nodes(ctx context.Context) (nodes []hook.NodeInfo, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		nodes, err = s.core.Nodes(ctx, tx)
		return err
	})
	return nodes, err
}

// Routes implements hook.NodeKeeper.
func (s *Store) Routes(ctx context.Context) (routes []hook.Route, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		routes, err = s.core.Routes(ctx, tx)
		return err
	})
	return routes, err
}

// Feed implements hook.Feeder. Only a new name, or a long stretch that the filter
// leaves out, costs a write.
func (s *Store) Feed(ctx context.Context, name string, f hook.Filter, limit int) ([]*hook.EventDetail, error) {
	fed, err := s.feed(ctx, name, f, limit)
	if err == nil && fed.Begin {
		err = s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.BeginCursor(ctx, tx, name, fed) })
		if err == nil {
			fed, err = s.feed(ctx, name, f, limit)
		}
	}
	if err == nil && !fed.Begin && fed.Seq > 0 {
		err = s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.MoveCursor(ctx, tx, name, fed) })
	}
	return fed.Events, err
}

// feed reads the edge first and the events after it, in a snapshot of their own:
// see sqlstore.Core.Edge.
func (s *Store) feed(ctx context.Context, name string, f hook.Filter, limit int) (fed sqlstore.Fed, err error) {
	var edge int64
	err = s.reading(ctx, transaction{readOnly: true, bare: true}, func(ctx context.Context, tx *unit) error {
		edge, err = s.core.Edge(ctx, tx)
		return err
	})
	if err != nil {
		return fed, err
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		fed, err = s.core.FeedMany(ctx, tx, name, f, limit, edge)
		return err
	})
	return fed, err
}

// Advance implements hook.Feeder.
func (s *Store) Advance(ctx context.Context, name, id string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.Advance(ctx, tx, name, id) })
}
