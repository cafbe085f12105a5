package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ErrTooSlow is inside the error of an effect that has used up its budget; the
// engine rolls it back.
var ErrTooSlow = errors.New("effect too slow")

// Effects runs effects one after the other in the transaction of an engine, each
// within a budget of its own.
type Effects struct {
	Budget time.Duration
	// Through opens the transaction to an effect, behind a gate.
	Through func(*Gate) hook.Tx
	// Cut reports an error by which the database tells that a statement was
	// interrupted; nil if it says so by the error of the context.
	Cut func(error) bool
	// Begin and End stand round each effect that runs to its end without an
	// error; nil for nothing.
	Begin, End func() error
}

// Run runs the effects in a goroutine of their own, so that one that sleeps and
// heeds nothing can be left behind: then nothing of them touches the transaction
// any more. It ends with the first that fails, with its error, and the engine rolls
// back.
func (e Effects) Run(ctx context.Context, effects ...hook.Effect) error {
	if len(effects) == 0 {
		return nil
	}
	r := &running{Effects: e}
	done := make(chan error, 1)
	go func() { done <- r.all(ctx, effects) }()
	wake := time.NewTimer(e.Budget)
	defer wake.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-wake.C:
			left, err := r.look()
			if err != nil {
				return err
			}
			wake.Reset(left)
		}
	}
}

// running is what the goroutine of the effects and the one that waits for them
// share.
type running struct {
	Effects

	mu    sync.Mutex
	gate  *Gate // of the effect that runs; nil between two
	until time.Time
	left  bool // the effects are left behind
}

var errLeft = errors.New("the effects were left behind")

func (r *running) all(ctx context.Context, effects []hook.Effect) error {
	for _, effect := range effects {
		if err := r.around(r.Begin); err != nil {
			return fmt.Errorf("begin an effect: %w", err)
		}
		if err := r.one(ctx, effect); err != nil {
			return err
		}
		if err := r.around(r.End); err != nil {
			return fmt.Errorf("the effect ended its transaction: %w", err)
		}
	}
	return nil
}

func (r *running) around(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

// one runs an effect and closes its gate.
func (r *running) one(ctx context.Context, effect hook.Effect) error {
	until := time.Now().Add(r.Budget)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	g := NewGate(ctx)
	r.mu.Lock()
	r.gate, r.until = g, until
	r.mu.Unlock()

	err := call(ctx, r.Through(g), effect)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left {
		return errLeft // nobody is listening
	}
	r.gate = nil
	late := ctx.Err() != nil
	cancel()
	return r.judge(g.Close(), err, late)
}

// look leaves the effects behind if the one that runs is over its budget, and
// otherwise says when to look again.
func (r *running) look() (left time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate == nil {
		return r.Budget, nil
	}
	if left := time.Until(r.until); left > 0 {
		return left, nil
	}
	r.left = true
	return 0, r.judge(r.gate.Close(), context.DeadlineExceeded, true)
}

// judge gives the error of an effect: that a statement was refused counts before
// all else.
func (r *running) judge(refused, err error, late bool) error {
	if refused != nil {
		return refused
	}
	if late && (errors.Is(err, context.DeadlineExceeded) || r.Cut != nil && r.Cut(err)) {
		return fmt.Errorf("%w: over %s", ErrTooSlow, r.Budget)
	}
	return err
}

// call turns a panic into an error: an effect runs on behalf of all.
func call(ctx context.Context, tx hook.Tx, effect hook.Effect) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("effect panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return effect(ctx, tx)
}
