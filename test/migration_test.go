//go:build hktest

package test

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
)

// A node is killed in the middle of a step of the migration: the schema is that
// before the step, and the nodes that start next, two at once where that may be,
// finish it and serve.
func TestKilledInTheMiddleOfAMigration(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "hk.db")
		// What SQLite has not committed nobody outside can see, so this one ends by itself.
		first := launch(t, options{database: path, env: map[string]string{"HK_FAILPOINT": "mid-migration:exit"}})
		select {
		case <-first.ended:
		case <-time.After(20 * time.Second):
			t.Fatal("it runs through its migration")
		}
		if code := first.cmd.ProcessState.ExitCode(); code != 99 {
			t.Fatalf("it ended with %d, not in its migration: %s", code, first.log.tail())
		}
		servesOnce(t, start(t, options{database: path}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Empty(t)
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		first := launch(t, options{url: url, env: map[string]string{"HK_FAILPOINT": "mid-migration:sleep=10m"}})
		eventually(t, 20*time.Second, "the first step has made its tables", func() bool {
			first.mustLive(t)
			var locked int
			err := db.QueryRowContext(context.Background(), `SELECT count(*) FROM pg_locks WHERE granted AND locktype = 'relation'
				AND mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&locked)
			return err == nil && locked > 10
		})
		first.kill(t)
		second, third := launch(t, options{url: url}), launch(t, options{url: url})
		for _, s := range []*server{second, third} {
			t.Cleanup(func() { s.stop(t) })
			s.awaitReady(t)
		}
		servesOnce(t, second, third)
	})
}

// servesOnce sends an event to each server: one row, worked once.
func servesOnce(t *testing.T, all ...*server) {
	t.Helper()
	id := ""
	for _, s := range all {
		a := s.send(stripe(stripeEvent("evt_after_migration", "pi_after_migration", "")))
		if a.err != nil || a.code != http.StatusOK {
			t.Fatalf("answered %v", a)
		}
		if id != "" && a.Event != id {
			t.Errorf("the event is %s at one node and %s at another", id, a.Event)
		}
		id = a.Event
	}
	if e := all[0].reaches(t, id, "done"); len(e.Jobs) == 0 {
		t.Errorf("event %s has no job", id)
	}
	if n := len(all[0].events(t)); n != 1 {
		t.Errorf("%d events are listed, want one", n)
	}
}
