package hooktest

import (
	"context"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ExerciseStore shows that a store keeps the promises of the roles in package
// hook. open returns a fresh, empty store that reads the time from clock; the
// suite closes it. An engine passes it unchanged or is not one of ours.
func ExerciseStore(t *testing.T, open func(t *testing.T, clock *Clock) hook.Store) {
	suites := []map[string]func(*bench){recording(), hints(), working(), lines(), lending(), hastening(), effects(), ledger(), feeds(),
		tokens(), plans(), neighbours(), departments(), desks(), bodySearches(), previews(), approvals(), custody()}
	for _, suite := range suites {
		for name, f := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setUp(t, open)
				f(b)
				CheckLedger(t, b.store)
			})
		}
	}
}

func setUp(t *testing.T, open func(*testing.T, *Clock) hook.Store) *bench {
	clock := NewClock()
	b := &bench{T: t, store: open(t, clock), clock: clock}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	err := b.store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE fx (k TEXT)`)
		return err
	})
	if err != nil {
		t.Fatalf("create fx: %v", err)
	}
	routes := []hook.Route{{Name: "h"}, {Name: "g", Types: "other.*"}}
	if err := b.store.SetRoutes(t.Context(), routes); err != nil {
		t.Fatalf("set routes: %v", err)
	}
	return b
}
