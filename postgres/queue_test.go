package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// A line is held for longer than a transaction waits for it, as by commits on a disk
// that is slow. The end of an attempt is written all the same: if it were not, the
// job would stand still until its lease is over.
func TestTheEndOfAnAttemptWaitsForItsLine(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{})
	mustRecord(t, s, "a", "subject", "h")
	jobs := claim(t, s, 1, time.Minute)
	if len(jobs) != 1 {
		t.Fatalf("claimed %d", len(jobs))
	}
	conn := dial(t, url)
	var line string
	if err := conn.QueryRow(t.Context(), `SELECT line FROM hookkeeper.jobs`).Scan(&line); err != nil {
		t.Fatal(err)
	}
	key := sqlstore.LockKeys(line)[0]
	execute(t, conn, `SELECT pg_advisory_lock($1)`, key)
	ended := make(chan error, 1)
	go func() { ended <- s.Retry(t.Context(), jobs[0], 0, hook.Cause{Text: "again"}) }()
	waiting := map[time.Time]bool{}
	until(t, "a second transaction that waits for the line", func() bool {
		var since time.Time
		err := conn.QueryRow(t.Context(), `SELECT a.xact_start FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database()`).Scan(&since)
		if err == nil {
			waiting[since] = true
		}
		select {
		case err := <-ended:
			t.Fatalf("the end was given up: %v", err)
		default:
		}
		return len(waiting) > 1
	})
	execute(t, conn, `SELECT pg_advisory_unlock($1)`, key)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if jobs := claim(t, s, 1, time.Minute); len(jobs) != 1 || jobs[0].Attempt != 2 {
		t.Errorf("claimed %v, want the second attempt", jobs)
	}
}

// Who enters a line has its lock, and whoever has the row of its head may wait for that
// lock. So entering waits for no row: not even where PostgreSQL waits in spite of SKIP
// LOCKED, for which the lock on the table stands here.
func TestEnteringALineWaitsForNobody(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{})
	mustRecord(t, s, "a", "subject", "h")
	conn, other := dial(t, url), dial(t, url)
	execute(t, conn, `SET search_path = hookkeeper`)
	giveWay := func() (gave bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := conn.QueryRow(ctx, `SELECT give_way(id) FROM jobs`).Scan(&gave); err != nil {
			t.Fatal(err)
		}
		return gave
	}
	execute(t, other, `BEGIN`)
	execute(t, other, `LOCK TABLE hookkeeper.jobs IN SHARE MODE`)
	if giveWay() {
		t.Error("a head that could not be had gave way")
	}
	execute(t, other, `COMMIT`)
	if !giveWay() {
		t.Error("a free head did not give way")
	}
	if giveWay() {
		t.Error("what is no head gave way")
	}
	execute(t, other, `UPDATE hookkeeper.jobs SET place = 0`)
	if jobs := claim(t, s, 1, time.Minute); len(jobs) != 1 {
		t.Fatalf("claimed %d jobs", len(jobs))
	}
	if giveWay() {
		t.Error("a head that runs gave way")
	}
}
