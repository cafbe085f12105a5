package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// ErrTooSlow is inside the error of an effect that has used up its budget; it
// was rolled back.
var ErrTooSlow = errors.New("effect too slow")

type insideKey struct{ s *Store }

// inside reports whether ctx belongs to an effect that s is running: on the other
// engine its caller would wait for itself, so it is refused on both.
func inside(ctx context.Context, s *Store) bool { return ctx.Value(insideKey{s}) != nil }

// runEffect runs one effect inside tx, in a goroutine of its own so that one that
// sleeps and heeds nothing is left behind. After an error the caller rolls back.
func (s *Store) runEffect(ctx context.Context, tx *unit, effect hook.Effect) error {
	return s.bounded(ctx, &guard{tx: tx.conn}, effect)
}

func (s *Store) bounded(ctx context.Context, g *guard, effect hook.Effect) error {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, insideKey{s}, true), s.opt.EffectBudget)
	defer cancel()
	g.ctx = ctx
	result := make(chan error, 1)
	go func() { result <- call(ctx, g, effect) }()
	var err error
	select {
	case err = <-result:
	case <-ctx.Done():
		err = context.DeadlineExceeded
	}
	late := ctx.Err() != nil
	cancel()
	if refused := g.close(); refused != nil {
		return refused
	}
	if late && (errors.Is(err, context.DeadlineExceeded) || codeOf(err) == codeCanceled) {
		return fmt.Errorf("%w: over %s", ErrTooSlow, s.opt.EffectBudget)
	}
	return err
}

// call turns a panic into an error.
func call(ctx context.Context, g *guard, effect hook.Effect) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("effect panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return effect(ctx, g)
}

// guard is the transaction as an effect sees it. Statements that would end it are
// refused; whatever else it tries, one call is one statement here, and what ends
// a transaction by another name (a procedure, a block) the server refuses inside
// one.
type guard struct {
	tx  *sql.Conn
	ctx context.Context

	mu      sync.Mutex // held by the statement that is running
	closed  bool
	refused error
	queued  *pgx.Batch // of an effect that shares its transaction; nil otherwise
}

var errEffectOver = errors.New("the effect is over: its transaction must not be kept")

// check lets a statement pass. Its context also ends with the effect, whatever
// context the effect passes.
func (g *guard) check(ctx context.Context, query string) (context.Context, error) {
	if g.closed {
		return nil, errEffectOver
	}
	if word := sqlstore.TransactionWord(query); word != "" {
		g.refused = fmt.Errorf("effect refused: %s would touch the transaction that ends the job", word)
		return nil, g.refused
	}
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(g.ctx, func() { cancel(context.Cause(g.ctx)) })
	return ctx, nil
}

// close waits for the statement that is running, which g.ctx has cut, and lets no
// other one begin.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.refused
}

func (g *guard) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, err := g.check(ctx, query)
	if err != nil {
		return nil, err
	}
	if g.queued != nil && ctx.Err() == nil {
		r := &laterResult{g: g, statement: g.queued.Queue(query, args...)}
		r.statement.Exec(r.set)
		return r, nil
	}
	return g.tx.ExecContext(ctx, query, args...)
}

func (g *guard) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, err := g.check(ctx, query)
	if err == nil {
		err = g.flush(ctx)
	}
	if err != nil {
		return nil, err
	}
	return g.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext cannot return an error of its own: a refused statement is
// replaced by one that fails, and the effect fails in any case.
func (g *guard) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	g.mu.Lock()
	defer g.mu.Unlock()
	checked, err := g.check(ctx, query)
	if err == nil {
		err = g.flush(checked)
	}
	if err != nil {
		dead, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return g.tx.QueryRowContext(dead, `SELECT 1`)
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
