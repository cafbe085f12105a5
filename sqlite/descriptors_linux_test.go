package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/sqlite"
)

// A reader that is opened when it is needed needs descriptors then, and a crowd
// of connections may have taken all: so all are open from the start.
func TestReadersAreOpenFromTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const writer, readers = 1, 4
	for _, name := range []string{path, path + "-wal"} {
		if n := openOf(t, name); n != writer+readers {
			t.Errorf("%s is open %d times, want %d", filepath.Base(name), n, writer+readers)
		}
	}
}

// openOf counts how often this process has a file open.
func openOf(t *testing.T, path string) (n int) {
	t.Helper()
	const mine = "/proc/self/fd"
	all, err := os.ReadDir(mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		// The folder's own descriptor is gone by now.
		if to, err := os.Readlink(filepath.Join(mine, one.Name())); err == nil && strings.TrimSuffix(to, " (deleted)") == path {
			n++
		}
	}
	return n
}
