package sqlite

import (
	"context"
	"database/sql"

	"github.com/hookkeeper/hookkeeper/hook"
)

var (
	_ hook.TokenKeeper = (*Store)(nil)
	_ hook.Planner     = (*Store)(nil)
	_ hook.Planner     = (*Reader)(nil)
)

// AddToken implements hook.TokenKeeper.
func (s *Store) AddToken(ctx context.Context, t hook.NewToken, actor string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error { return s.core.AddToken(ctx, tx, t, actor) })
}

// RevokeToken implements hook.TokenKeeper.
func (s *Store) RevokeToken(ctx context.Context, name, actor string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.RevokeToken(ctx, tx, name, actor)
	})
}

// Tokens implements hook.TokenKeeper.
func (s *Store) Tokens(ctx context.Context) ([]hook.TokenInfo, error) {
	return s.core.Tokens(ctx, s.readers)
}

// TokenRole implements hook.TokenKeeper.
func (s *Store) TokenRole(ctx context.Context, hash hook.TokenHash) (name string, role hook.Role, err error) {
	return s.core.TokenRole(ctx, s.readers, hash)
}

// PlanReplay implements hook.Planner.
func (s *Store) PlanReplay(ctx context.Context, id string, r hook.Replay) (plan []hook.PlannedJob, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		plan, err = s.core.PlanReplay(ctx, tx, id, r)
		return err
	})
	return plan, err
}

// PlanReplay implements hook.Planner.
func (r *Reader) PlanReplay(ctx context.Context, id string, order hook.Replay) (plan []hook.PlannedJob, err error) {
	err = snapshot(ctx, r.db, func(ctx context.Context, tx *sql.Tx) error {
		plan, err = r.core.PlanReplay(ctx, tx, id, order)
		return err
	})
	return plan, err
}

// Tokens gives all operator tokens; see hook.TokenKeeper.
func (r *Reader) Tokens(ctx context.Context) ([]hook.TokenInfo, error) {
	return r.core.Tokens(ctx, r.db)
}
