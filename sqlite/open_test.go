package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func record(s hook.Recorder, key string) (hook.Receipt, error) {
	return s.Record(context.Background(), hook.Delivery{Source: "shop", Body: []byte(key), ReceivedAt: time.Now()},
		hook.Identity{Key: key, Trust: hook.TrustSignature}, nil)
}

func TestOneProcessPerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	first, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(path, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second open: got %v, want in use by this process", err)
	}
	opened := make(chan error, 1)
	go func() { // the next process waits for the file at a restart
		s, err := sqlite.Open(path, sqlite.Options{LockWait: 10 * time.Second})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	if _, err := record(first, "a"); err != nil {
		t.Errorf("record while another waits: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("open after the first let go: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if _, err := record(first, "b"); err == nil {
		t.Error("recorded after Close")
	}
}

func TestDurabilitySettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v; want only its owner", info.Mode(), err)
	}
	for pragma, want := range map[string]int{"synchronous": 2, "journal_mode": -1} {
		err := s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			var got string
			// An effect may not use PRAGMA, but may read it as a table.
			if err := tx.QueryRowContext(ctx, `SELECT * FROM pragma_`+pragma).Scan(&got); err != nil {
				return err
			}
			if want >= 0 && got != strconv.Itoa(want) || want < 0 && got != "wal" {
				t.Errorf("%s is %s on the writing connection", pragma, got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestNewerSchemaIsRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA user_version = 999`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := sqlite.Open(path, sqlite.Options{}); !errors.Is(err, sqlstore.ErrNewerSchema) {
		t.Errorf("open: got %v, want the newer schema refused", err)
	}
	if got, err := sqlite.SchemaOf(t.Context(), path); err != nil || got.Version != 999 {
		t.Errorf("after the refusal: %+v, %v", got, err)
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none", "hook.db"): "does not exist",
		dir:                                   dir,
		text:                                  "not a database",
	} {
		_, err := sqlite.Open(path, sqlite.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open %s: got %v, want one line with %q", path, err, want)
		}
	}
	if _, err := sqlite.OpenReadOnly(filepath.Join(dir, "absent.db")); err == nil {
		t.Error("opened a file that does not exist for reading")
	}
}

// Odd characters in a path are part of the path, not of the driver's options.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a?b.db", "a#b.db", "a%20b.db", "a b.db", "a&_pragma=synchronous(0).db", "주문.db"} {
		path := filepath.Join(t.TempDir(), name)
		s, err := sqlite.Open(path, sqlite.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: the database is elsewhere", name)
		}
	}
}

func TestReadingBesideAServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := record(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := sqlite.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if d, err := reader.Event(t.Context(), r.EventID); err != nil || string(d.Body) != "a" {
		t.Errorf("read beside a server: %v", err)
	}
	if _, err := reader.Replay(t.Context(), r.EventID, hook.Replay{Reason: "x"}); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("replay on a reader: %v", err)
	}
}

// What was answered nil is there after the process is gone without a word; the
// file is opened again while the first handle is still open, as after a crash.
func TestNothingIsForgottenAtReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	const n = 50
	var ids []string
	for round := range 3 {
		s, err := sqlite.Open(path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			r, err := record(s, fmt.Sprint(round, "-", i))
			if err != nil || r.Duplicate {
				t.Fatalf("record: %+v, %v", r, err)
			}
			ids = append(ids, r.EventID)
		}
		if r, err := record(s, "0-0"); err != nil || !r.Duplicate {
			t.Errorf("round %d: the first key again: %+v, %v", round, r, err)
		}
		hooktest.CheckLedger(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("id %s was given twice", id)
		}
		seen[id] = true
	}
}

// One delivery that cannot be written refuses nobody else of its batch.
func TestPoisonedBatchIsHalved(t *testing.T) {
	if testing.Short() {
		t.Skip("too large for the race detector; it runs without")
	}
	s := open(t, hooktest.NewClock())
	defer s.Close()
	huge := make([]byte, 1100<<20) // over SQLite's limit for one value
	start := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		<-start
		_, err := s.Record(context.Background(), hook.Delivery{Source: "shop", Body: huge, ReceivedAt: time.Now()},
			hook.Identity{Key: "huge", Trust: hook.TrustSignature}, nil)
		if err == nil {
			t.Error("a value over SQLite's limit was recorded")
		}
	})
	for i := range 50 {
		all.Go(func() {
			<-start
			if _, err := record(s, fmt.Sprint(i)); err != nil {
				t.Errorf("a neighbour was refused: %v", err)
			}
		})
	}
	close(start)
	all.Wait()
	if page, _, err := s.Events(t.Context(), hook.Filter{Limit: 100}); err != nil || len(page) != 50 {
		t.Errorf("events: got %d, %v; want 50", len(page), err)
	}
}

// modernc.org/libc must stay at the version that modernc.org/sqlite was tested
// with: they are compiled C, and fit each other.
func TestLibcIsTheOneSQLiteWasTestedWith(t *testing.T) {
	for module, want := range map[string]string{"modernc.org/sqlite": sqlite.DriverVersion, "modernc.org/libc": sqlite.LibcVersion} {
		got, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %s (%v), want %s", module, got, err, want)
		}
	}
}
