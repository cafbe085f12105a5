package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// budget lets an effect that ends be as slow as a busy machine makes it, and one that
// hangs be cut within the suite's patience.
const budget = 2 * time.Second

func open(t *testing.T, clock *hooktest.Clock) *sqlite.Store {
	t.Helper()
	return openWith(t, sqlite.Options{Now: clock.Now, Search: hooktest.Search()})
}

func openWith(t *testing.T, opt sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	hooktest.ExerciseStore(t, func(t *testing.T, clock *hooktest.Clock) hook.Store {
		return openWith(t, sqlite.Options{Now: clock.Now, EffectBudget: budget, Search: hooktest.Search()})
	})
}
