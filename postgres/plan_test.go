package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

// What runs for every delivery and every job reads no table from end to end,
// neither with plans that were made while all were empty nor with those of full
// ones. The tables are those of a session that has kept its plans.
func TestHotPathsUseIndexes(t *testing.T) {
	conn := dial(t, pgtest.Database(t))
	hotPaths(t, conn, "while empty", 1)
	execute(t, conn, `INSERT INTO hookkeeper.jobs (seq, handler, generation, line, place, made_no, made_at, hour, next_at, state, backlog)
		SELECT i, CASE WHEN i % 2 = 0 THEN 'h' ELSE 'g' END, 1, 'many/' || i % 100, CASE WHEN i < 100 THEN 0 ELSE 1 END, i, 1, 1,
			8000000000000000000, 'ready', i % 3 % 2 FROM generate_series(1, 20000) i ON CONFLICT DO NOTHING`)
	execute(t, conn, `INSERT INTO hookkeeper.attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at)
		SELECT i, 'h', 1, 1, i, 1, 1, 'n', i, 1 FROM generate_series(1, 20000) i`)
	execute(t, conn, `INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
		SELECT i, 'shop', '', 'old' || i, 1, '', 'signature', 0, '', 1, 1 FROM generate_series(1, 20000) i`)
	hotPaths(t, conn, "with plans of empty tables", 2)
	execute(t, conn, `ANALYZE`)
	hotPaths(t, conn, "with plans of full tables", 3)
}

// hotPaths records ten events and works them, and looks how that was done.
func hotPaths(t *testing.T, conn *pgx.Conn, when string, round int) {
	t.Helper()
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) // the next round finds nothing of this one
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(ctx, statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run(`SET LOCAL search_path TO hookkeeper, public`)
	// The server adds what it has not yet handed on of the rounds before.
	before, fetchedBefore := scans(t, tx), fetches(t, tx)
	n := fmt.Sprint(round)
	run(`SELECT record_batch(86400000000 + $1::bigint, ARRAY[1::bigint], s, s, k, b, s, e, o, o, o, s, l, o, o, b, b, i, s, l, w, s)
		FROM (SELECT array_agg('x'::text) s, array_agg(''::text) e, array_agg($2 || i::text) k, array_agg('y'::bytea) b,
			array_agg(1::bigint) o, array_agg(i::bigint) i, array_agg('line' || i % 3) l,
			array_agg(CASE i WHEN 2 THEN 600000000::bigint ELSE 0 END) w FROM generate_series(1, 10) i) a`, round, n)
	run(`CREATE TEMPORARY TABLE picked ON COMMIT DROP AS SELECT * FROM find_jobs(86500000000, 'x', 100, true)`)
	run(`CREATE TEMPORARY TABLE lent ON COMMIT DROP AS SELECT id, seq, handler, generation, attempt
		FROM lend_jobs(86500000000, 86600000000, 'n', (SELECT array_agg(id) FROM picked))
		UNION ALL SELECT id, seq, handler, generation, attempt FROM jobs WHERE handler = 'x' AND state = 'running'`) // lent as it was recorded
	run(`SELECT end_job(86500000000, 1, 1, l.id, l.seq, l.handler, l.generation, l.attempt, j.line, 1) FROM lent l JOIN jobs j ON j.id = l.id
		ORDER BY l.seq LIMIT 1`)
	run(`DELETE FROM lent WHERE id = (SELECT l.id FROM lent l ORDER BY l.seq LIMIT 1)`)
	run(`SELECT * FROM lock_jobs((SELECT array_agg(id) FROM lent), (SELECT array_agg(attempt::bigint) FROM lent))`)
	run(`SELECT end_jobs(3, 1, ARRAY[1::bigint], array_agg(l.id), array_agg(l.seq), array_agg(l.handler), array_agg(l.generation::bigint),
		array_agg(l.attempt::bigint), array_agg(j.line), array_agg(1::bigint)) FROM lent l JOIN jobs j ON j.id = l.id`)
	var ended, promoted int
	if err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM attempts WHERE handler = 'x' AND outcome = 'done'),
		(SELECT count(*) FROM jobs WHERE handler = 'x' AND place = 0)`).Scan(&ended, &promoted); err != nil || ended != 3 || promoted != 3 {
		t.Fatalf("%s: %d ended, %d promoted, %v; want the heads of three lines", when, ended, promoted, err)
	}
	if fetched := fetches(t, tx) - fetchedBefore; fetched > 300 {
		t.Errorf("%s: %d rows were read by indexes to record ten events and end three jobs", when, fetched)
	}
	for table, n := range scans(t, tx) {
		own := map[string]int{"attempts_default": 1, "jobs": 3}[table] // by this test
		if n -= before[table]; n > own {
			t.Errorf("%s: %s was read from end to end %d times", when, table, n-own)
		}
	}
}

// Among many that run, each job whose attempt ends is found
// by its id: left to itself the planner reads all that run for each of them.
func TestEndsReadTheirOwnRowsOnly(t *testing.T) {
	conn := dial(t, pgtest.Database(t))
	execute(t, conn, `SET search_path TO hookkeeper, public`)
	for _, when := range []string{"with plans of empty tables", "with plans of full tables"} {
		ctx := context.Background()
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, `SELECT record_batch(86400000000, ARRAY[1::bigint], s, s, k, b, s, e, o, o, o, s, k, o, o, b, b, i, s, k, o, s)
			FROM (SELECT array_agg('x'::text) s, array_agg(''::text) e, array_agg('k' || i) k, array_agg('y'::bytea) b,
				array_agg(1::bigint) o, array_agg(i::bigint) i FROM generate_series(1, 400) i) a`); err != nil {
			t.Fatal(err)
		}
		if when != "with plans of empty tables" {
			if _, err := tx.Exec(ctx, `ANALYZE jobs`); err != nil {
				t.Fatal(err)
			}
		}
		var ids, tries []int64
		if err := tx.QueryRow(ctx, `SELECT array_agg(id), array_agg(attempt::bigint) FROM (SELECT * FROM jobs WHERE state = 'running' LIMIT 200) j`).Scan(&ids, &tries); err != nil {
			t.Fatal(err)
		}
		before, was := fetches(t, tx), scans(t, tx)["jobs"]
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM lock_jobs($1, $2)`, ids, tries).Scan(&n); err != nil || n != 200 {
			t.Fatalf("%s: locked %d, %v; want 200", when, n, err)
		}
		if fetched := fetches(t, tx) - before; fetched > 2*200 || scans(t, tx)["jobs"] > was {
			t.Errorf("%s: %d rows were read to lock 200 jobs, jobs was read from end to end %d times", when, fetched, scans(t, tx)["jobs"]-was)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// fetches is how many rows this session has found by indexes.
func fetches(t *testing.T, tx pgx.Tx) (n int) {
	t.Helper()
	err := tx.QueryRow(context.Background(), `SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_xact_user_tables
		WHERE schemaname = 'hookkeeper'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scans is how often this session has read tables from end to end.
func scans(t *testing.T, tx pgx.Tx) map[string]int {
	t.Helper()
	rows, err := tx.Query(context.Background(), `SELECT relname, seq_scan FROM pg_stat_xact_user_tables
		WHERE schemaname = 'hookkeeper' AND seq_scan > 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var table string
		var n int
		if err := rows.Scan(&table, &n); err != nil {
			t.Fatal(err)
		}
		all[table] = n
	}
	return all
}
