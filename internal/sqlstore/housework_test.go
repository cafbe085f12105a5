package sqlstore_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// Housework leaves two thirds of the time to deliveries, and comes to its end.
func TestHouseworkRests(t *testing.T) {
	for _, c := range []struct{ step, rest time.Duration }{
		{10 * time.Millisecond, 20 * time.Millisecond},
		{3 * time.Second, 200 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, steps, total := time.Now(), 0, 0
			work := sqlstore.Housework{Total: &total, Step: func(context.Context, sqlstore.Tx) (int, bool, error) {
				<-time.After(c.step) // of the bubble's clock
				steps++
				return 7, steps < 5, nil
			}}
			if err := work.Do(t.Context(), inNone); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d != 5*c.step+4*c.rest || total != 35 {
				t.Errorf("five steps of %s: %s, %d done; want %s between two, 35", c.step, d, total, c.rest)
			}
		})
	}
}

// A stop does not wait for the rest.
func TestHouseworkEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		work := sqlstore.Housework{Total: new(int), Step: func(context.Context, sqlstore.Tx) (int, bool, error) {
			<-time.After(time.Second)
			steps++
			cancel()
			return 1, true, nil
		}}
		began := time.Now()
		if err := work.Do(ctx, inNone); err != nil || steps != 1 || time.Since(began) != time.Second {
			t.Errorf("%d steps in %s, %v; want one in a second", steps, time.Since(began), err)
		}
	})
}

// inNone runs a step without a transaction.
func inNone(ctx context.Context, f func(context.Context, sqlstore.Tx) error) error {
	return f(ctx, nil)
}
