package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func open(t *testing.T, clock *hooktest.Clock) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{Now: clock.Now, Search: hooktest.Search()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	hooktest.ExerciseStore(t, func(t *testing.T, clock *hooktest.Clock) hook.Store { return open(t, clock) })
}
