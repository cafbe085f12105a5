package postgres_test

import (
	"os"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// budget lets an effect that ends be as slow as a busy machine makes it, and one that
// hangs be cut within the suite's patience.
const budget = 2 * time.Second

func open(t testing.TB, url string, opt postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	hooktest.ExerciseStore(t, func(t *testing.T, clock *hooktest.Clock) hook.Store {
		s, err := postgres.Open(t.Context(), pgtest.Database(t), postgres.Options{Now: clock.Now, EffectBudget: budget, MaxConns: 8, Search: hooktest.Search()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
