package postgres

import (
	"context"
	"database/sql"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// ErrTooSlow is inside the error of an effect that has used up its budget; it
// was rolled back.
var ErrTooSlow = sqlstore.ErrTooSlow

type insideKey struct{ s *Store }

// inside reports whether ctx belongs to an effect that s is running: on the other
// engine its caller would wait for itself, so it is refused on both.
func inside(ctx context.Context, s *Store) bool { return ctx.Value(insideKey{s}) != nil }

// runEffects runs effects on conn, inside its transaction. What they write without
// asking for the result goes into queued, where several share it; nil sends it at
// once. After an error the caller rolls back.
func (s *Store) runEffects(ctx context.Context, conn *sql.Conn, queued *pgx.Batch, effects ...hook.Effect) error {
	return sqlstore.Effects{
		Budget:  s.opt.EffectBudget,
		Through: func(g *sqlstore.Gate) hook.Tx { return &guard{gate: g, tx: conn, queued: queued} },
		Cut:     func(err error) bool { return codeOf(err) == codeCanceled },
	}.Run(hook.WithSealer(context.WithValue(ctx, insideKey{s}, true), s.core.Sealer()), effects...)
}

// guard is the transaction as an effect sees it. Statements that would end it are
// refused; whatever else it tries, one call is one statement here, and what ends
// a transaction by another name (a procedure, a block) the server refuses inside
// one.
type guard struct {
	gate *sqlstore.Gate
	tx   *sql.Conn

	mu     sync.Mutex // held by the statement that is running: a connection has one at a time
	queued *pgx.Batch // of an effect that shares its transaction; nil otherwise
}

// enter lets a statement pass when no other one is running.
func (g *guard) enter(ctx context.Context, query string) (context.Context, func(), error) {
	ctx, leave, err := g.gate.Enter(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	g.mu.Lock()
	return ctx, func() {
		g.mu.Unlock()
		leave()
	}, nil
}

func (g *guard) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, leave, err := g.enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer leave()
	if g.queued != nil && ctx.Err() == nil {
		r := &laterResult{g: g, statement: g.queued.Queue(query, args...)}
		r.statement.Exec(r.set)
		return r, nil
	}
	return g.tx.ExecContext(ctx, query, args...)
}

func (g *guard) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, leave, err := g.enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := g.flush(ctx); err != nil {
		return nil, err
	}
	return g.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext cannot return an error of its own: a refused statement is
// replaced by one that fails, and the effect fails in any case.
func (g *guard) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	checked, leave, err := g.enter(ctx, query)
	if err != nil {
		return g.tx.QueryRowContext(sqlstore.Refusal(ctx, err), `SELECT 1`)
	}
	defer leave()
	if err := g.flush(checked); err != nil {
		return g.tx.QueryRowContext(sqlstore.Refusal(ctx, err), `SELECT 1`)
	}
	return g.tx.QueryRowContext(checked, query, args...)
}

// flush sends what waits, in one round trip. A failure shows in the end of the
// shared transaction: then each effect runs again alone.
func (g *guard) flush(ctx context.Context) error {
	if g.queued == nil || g.queued.Len() == 0 {
		return nil
	}
	return flush(ctx, g.tx, g.queued)
}

func flush(ctx context.Context, conn *sql.Conn, batch *pgx.Batch) error {
	if batch.Len() == 0 {
		return nil
	}
	all := *batch
	*batch = pgx.Batch{}
	return conn.Raw(func(dc any) error {
		return dc.(*stdlib.Conn).Conn().SendBatch(ctx, &all).Close()
	})
}
