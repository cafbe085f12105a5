package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var errEffectOver = errors.New("the effect is over: its transaction must not be kept")

// Gate stands between an effect and the transaction that ends its job, on every
// engine: it refuses statements that would touch the transaction, and lets none
// begin once the effect is over. It is safe for concurrent use.
type Gate struct {
	ctx context.Context // of the effect

	mu      sync.RWMutex // held for reading by running statements
	closed  bool
	refused error
}

// NewGate returns a gate that is open until Close; ctx ends the statements that
// pass it.
func NewGate(ctx context.Context) *Gate { return &Gate{ctx: ctx} }

// Enter lets a statement pass, and leave is called when it has ended. The context
// that comes back also ends with the effect, whatever the effect has passed.
func (g *Gate) Enter(ctx context.Context, query string) (statement context.Context, leave func(), err error) {
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return nil, nil, errEffectOver
	}
	if word := TransactionWord(query); word != "" {
		g.mu.RUnlock()
		return nil, nil, g.refuse(fmt.Errorf("effect refused: %s would touch the transaction that ends the job", word))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(g.ctx, func() { cancel(context.Cause(g.ctx)) })
	return ctx, g.mu.RUnlock, nil
}

func (g *Gate) refuse(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = err
	return err
}

// Close waits for the statement that is running, which the end of the effect has
// interrupted, and lets no other one begin. It returns why one was refused, if any
// was.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.refused
}

// Refusal is the context of a statement that must fail with err: a query for one
// row cannot return an error of its own.
func Refusal(ctx context.Context, err error) context.Context {
	dead, cancel := context.WithCancelCause(ctx)
	cancel(err)
	return dead
}
