package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
)

// INSERT OR ROLLBACK ends the transaction behind everybody's back; an effect
// that does so, and does not even say so, takes no neighbour with it, alone or
// in a shared commit.
func TestHiddenRollbackHurtsOnlyItself(t *testing.T) {
	for _, batch := range []bool{true, false} {
		t.Run(fmt.Sprint("batch ", batch), func(t *testing.T) {
			clock := hooktest.NewClock()
			s := open(t, clock)
			defer s.Close()
			exec := func(sql string) hook.Effect {
				return func(ctx context.Context, tx hook.Tx) error { _, err := tx.ExecContext(ctx, sql); return err }
			}
			if err := s.Apply(t.Context(), exec(`CREATE TABLE fx (k TEXT UNIQUE); INSERT INTO fx VALUES ('there')`)); err != nil {
				t.Fatal(err)
			}
			const n, bad = 20, 5
			for i := range n {
				if _, err := s.Record(t.Context(), hook.Delivery{Source: "shop", Body: []byte("x"), ReceivedAt: clock.Now()},
					hook.Identity{Key: fmt.Sprint(i), Trust: hook.TrustSignature}, []string{"h"}); err != nil {
					t.Fatal(err)
				}
			}
			jobs, err := s.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: time.Minute, Max: n, MaxAttempts: 9})
			if err != nil || len(jobs) != n {
				t.Fatalf("claimed %d, %v", len(jobs), err)
			}
			var all sync.WaitGroup
			for i, j := range jobs {
				j.Batch = batch
				effect := exec(fmt.Sprintf(`INSERT INTO fx VALUES ('%d')`, i))
				if i == bad {
					effect = func(ctx context.Context, tx hook.Tx) error {
						_, _ = tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO fx VALUES ('there')`)
						return nil
					}
				}
				all.Go(func() {
					if err := s.Finish(context.Background(), j, effect); (err != nil) != (i == bad) {
						t.Errorf("job %d: %v", i, err)
					}
				})
			}
			all.Wait()
			var rows int
			if err := s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
				return tx.QueryRowContext(ctx, `SELECT count(*) FROM fx`).Scan(&rows)
			}); err != nil || rows != n {
				t.Errorf("rows: got %d, %v; want %d", rows, err, n)
			}
			hooktest.CheckLedger(t, s)
		})
	}
}
