package sqlite

import (
	"context"
	"database/sql"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// ErrTooSlow is inside the error of an effect that has used up its budget; it
// was rolled back.
var ErrTooSlow = sqlstore.ErrTooSlow

type insideKey struct{ s *Store }

// inside reports whether ctx belongs to an effect that s is running: its caller
// holds the writer, and waiting for the writer would never end.
func inside(ctx context.Context, s *Store) bool { return ctx.Value(insideKey{s}) != nil }

// runEffects runs effects inside tx. After an error the caller must roll back: an
// interrupted statement may already have ended the transaction, which the failing
// RELEASE reveals before anything else runs: later statements would commit by
// themselves.
func (s *Store) runEffects(u *unit, effects ...hook.Effect) error {
	ctx := hook.WithSealer(context.WithValue(context.Background(), insideKey{s}, true), s.core.Sealer())
	statement := func(text string) func() error {
		return func() error {
			_, err := u.ExecContext(context.Background(), text)
			return err
		}
	}
	return sqlstore.Effects{
		Budget:  s.opt.EffectBudget,
		Through: func(g *sqlstore.Gate) hook.Tx { return &guard{gate: g, tx: u.Tx, writes: s.effects} },
		Begin:   statement(`SAVEPOINT effect`), End: statement(`RELEASE effect`),
	}.Run(ctx, effects...)
}

// guard is the transaction as an effect sees it.
type guard struct {
	gate   *sqlstore.Gate
	tx     *sql.Tx
	writes *statements // prepared on the connection of tx
}

func (g *guard) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, leave, err := g.gate.Enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer leave()
	st, err := g.writes.get(ctx, query)
	if err != nil {
		return g.tx.ExecContext(ctx, query, args...) // it will say what is wrong
	}
	return st.ExecContext(ctx, args...)
}

func (g *guard) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, leave, err := g.gate.Enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer leave()
	return g.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext cannot return an error of its own: a refused statement is
// replaced by one that fails, and the effect fails in any case.
func (g *guard) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	checked, leave, err := g.gate.Enter(ctx, query)
	if err != nil {
		return g.tx.QueryRowContext(sqlstore.Refusal(ctx, err), `SELECT 1`)
	}
	defer leave()
	return g.tx.QueryRowContext(checked, query, args...)
}
