package postgres_test

import (
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// A sweep that looks at many events, because a route is new and jobs have grown old,
// reads each of them once, although the statistics are from when there were few.
func TestASweepReadsEachEventOnce(t *testing.T) {
	url := pgtest.Database(t)
	clock := hooktest.NewClock()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = s.Close()
		}
	}()
	if err := s.SetRoutes(t.Context(), []hook.Route{{Name: "h"}}); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, url)
	execute(t, conn, `SET search_path TO hookkeeper, public`)
	for _, table := range []string{"event_keys", "jobs"} {
		execute(t, conn, `ALTER TABLE `+table+` SET (autovacuum_enabled = false)`)
	}
	const few, many = 4000, 24000
	fill := func(from, to int) {
		t.Helper()
		now := clock.Now().UnixMicro()
		execute(t, conn, `INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
			SELECT $1::bigint + 1000000 + i, 'shop', '', 'k' || i, $1, '', 'signature', 0, '', 1, 1 FROM generate_series($2::int, $3::int) i`, now, from, to)
		execute(t, conn, `INSERT INTO events (seq, type, subject, size, headers)
			SELECT $1::bigint + 1000000 + i, 'thing.happened', '', 1, '' FROM generate_series($2::int, $3::int) i`, now, from, to)
		execute(t, conn, `INSERT INTO jobs (seq, handler, generation, line, place, made_no, made_at, hour, next_at, state)
			SELECT $1::bigint + 1000000 + i, 'h', 1, '', 0, i, $1, $1 / 3600000000, $1, 'ready' FROM generate_series($2::int, $3::int) i`, now, from, to)
	}
	fill(1, few)
	execute(t, conn, `ANALYZE`)
	fill(few+1, many)
	read := func() (n int) {
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_user_tables
			WHERE schemaname = 'hookkeeper' AND (relname IN ('event_keys', 'jobs') OR relname LIKE 'events%')`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	execute(t, conn, `SELECT pg_stat_force_next_flush()`)
	before := read()
	clock.Advance(2 * time.Minute)
	report, err := s.Sweep(t.Context(), hook.SweepRules{})
	if err != nil || report.Filled != 0 || report.Aged != many {
		t.Fatalf("swept %+v, %v; want nothing filled, all %d aged", report, err, many)
	}
	if err := s.Close(); err != nil { // its sessions tell what they have read when they end
		t.Fatal(err)
	}
	closed = true
	until(t, "the statistics of the sweep", func() bool { return read() >= before+many })
	until(t, "the end of its sessions", func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'`).Scan(&n)
		return err == nil && n == 0
	})
	if n := read() - before; n > 5*many {
		t.Errorf("%d rows were read for %d events, want at most five for each", n, many)
	}
}
