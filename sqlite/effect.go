package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// ErrTooSlow is inside the error of an effect that has used up its budget; it
// was rolled back.
var ErrTooSlow = errors.New("effect too slow")

type insideKey struct{ s *Store }

// inside reports whether ctx belongs to an effect that s is running: its caller
// holds the writer, and waiting for the writer would never end.
func inside(ctx context.Context, s *Store) bool { return ctx.Value(insideKey{s}) != nil }

// runEffect runs one effect inside tx, in a goroutine of its own so that one
// that sleeps and heeds nothing cannot hold the writer. After an error the
// caller must roll back: an interrupted statement may already have ended the
// transaction, which the failing RELEASE reveals before anything else runs:
// later statements would commit by themselves.
func (s *Store) runEffect(u *unit, effect hook.Effect) error {
	ctx := context.Background()
	if _, err := u.ExecContext(ctx, `SAVEPOINT effect`); err != nil {
		return fmt.Errorf("begin an effect: %w", err)
	}
	if err := s.boundedEffect(u, effect); err != nil {
		return err
	}
	if _, err := u.ExecContext(ctx, `RELEASE effect`); err != nil {
		return fmt.Errorf("the effect ended its transaction: %w", err)
	}
	return nil
}

func (s *Store) boundedEffect(u *unit, effect hook.Effect) error {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), insideKey{s}, true), s.opt.EffectBudget)
	defer cancel()
	g := &guard{tx: u.Tx, writes: s.effects, ctx: ctx}
	result := make(chan error, 1)
	go func() { result <- call(ctx, g, effect) }()
	var err error
	select {
	case err = <-result:
	case <-ctx.Done():
		err = fmt.Errorf("%w: over %s", ErrTooSlow, s.opt.EffectBudget)
	}
	cancel()
	if refused := g.close(); refused != nil {
		return refused
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			return fmt.Errorf("%w: over %s", ErrTooSlow, s.opt.EffectBudget)
		}
		return err
	}
	return nil
}

// call turns a panic into an error: an effect runs on behalf of all.
func call(ctx context.Context, g *guard, effect hook.Effect) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("effect panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return effect(ctx, g)
}

// guard is the transaction as an effect sees it.
type guard struct {
	tx     *sql.Tx
	writes *statements // prepared on the connection of tx
	ctx    context.Context

	mu      sync.RWMutex // held for reading by running statements
	closed  bool
	refused error
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

// close waits for the statement that is running, which g.ctx has interrupted,
// and lets no other one begin.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.refused
}

func (g *guard) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	ctx, err := g.check(ctx, query)
	if err != nil {
		return nil, err
	}
	st, err := g.writes.get(ctx, query)
	if err != nil {
		return g.tx.ExecContext(ctx, query, args...) // it will say what is wrong
	}
	return st.ExecContext(ctx, args...)
}

func (g *guard) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	ctx, err := g.check(ctx, query)
	if err != nil {
		return nil, err
	}
	return g.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext cannot return an error of its own: a refused statement is
// replaced by one that fails, and the effect fails in any case.
func (g *guard) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	g.mu.RLock()
	defer g.mu.RUnlock()
	checked, err := g.check(ctx, query)
	if err != nil {
		dead, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return g.tx.QueryRowContext(dead, `SELECT 1`)
	}
	return g.tx.QueryRowContext(checked, query, args...)
}
