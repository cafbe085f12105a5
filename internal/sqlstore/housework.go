package sqlstore

import (
	"context"
	"fmt"
	"time"
)

// Housework is one kind of it, done in steps that each run in a transaction.
type Housework struct {
	Total *int // what the steps have done is added to it
	Step  func(ctx context.Context, tx Tx) (n int, more bool, err error)
}

// Nobody waits for housework, and deliveries wait for its steps. So it rests after
// each step for twice as long as that took: whatever there is to do, it has a third of
// the writer at most. A step that took unusually long is followed by no longer rest
// than that.
const (
	restFactor  = 2
	longestRest = 200 * time.Millisecond
)

// Do takes steps until there is no more to do, or ctx ends. If the process dies
// between two steps, those before it stand, and the next sweep goes on.
func (h Housework) Do(ctx context.Context, transact func(ctx context.Context, f func(ctx context.Context, tx Tx) error) error) error {
	for more := true; more && ctx.Err() == nil; {
		began := time.Now()
		var n int
		err := transact(ctx, func(ctx context.Context, tx Tx) (err error) {
			n, more, err = h.Step(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		*h.Total += n
		if more {
			rest(ctx, min(restFactor*time.Since(began), longestRest))
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
