package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/jackc/pgx/v5"
)

// No list of events walks through the log, however rare what it asks for: counted
// by the server, over what sessions have read that are gone.
func TestSearchesReadOnlyWhatTheyShow(t *testing.T) {
	const events = 60_000 // without statistics the server may look at a third of them, never at all
	url := pgtest.Database(t)
	open(t, url, postgres.Options{MaxConns: 6}).Close()
	conn := dial(t, url)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	first := sqlstore.SeqAt(today.UnixMicro())
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
		SELECT %d + i, CASE WHEN i %% 6000 = 7 THEN 'rare' ELSE 'shop' || i %% 3 END, 'live', 'key' || i, %d + i::bigint, '', 'signature', 0,
			CASE WHEN i %% 6000 = 9 THEN 'unreadable' ELSE '' END, 1, CASE WHEN i %% 6000 IN (9, 10) THEN 0 ELSE 1 END FROM generate_series(1, %d) i`,
		first, today.UnixMicro(), events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.events (seq, type, subject, size, headers)
		SELECT %d + i, CASE WHEN i %% 6000 = 11 THEN 'rare.type' ELSE 'common.type' || i %% 20 END,
			CASE WHEN i %% 6000 = 13 THEN 'rare' WHEN i %% 3 = 0 THEN '' ELSE 's' || i %% 5000 END, 1, '\x00' FROM generate_series(1, %d) i`, first, events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at)
		SELECT %d + i, 'h', 1, 1, i, 1, 1, 'n', i, 1 FROM generate_series(1, %d) i`, first, events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.audit (no, at, seq, generation, attempt, actor, action, handler, was, reason)
		SELECT i, 1, 1, 1, 1, '', '', '', '', '' FROM generate_series(1, %d) i`, events))
	for i, when := range []string{"with plans of empty tables", "with plans of full ones"} {
		most := []int64{25_000, 9_000}[i]
		if i == 1 {
			execute(t, conn, `ANALYZE`)
		}
		for name, c := range map[string]struct {
			f    hook.Filter
			want int
		}{
			"subject":            {hook.Filter{Subject: "rare"}, 10},
			"subject of nobody":  {hook.Filter{Subject: "nobody"}, 0},
			"key":                {hook.Filter{Key: "key777"}, 1},
			"key of nobody":      {hook.Filter{Key: "key0"}, 0},
			"source":             {hook.Filter{Source: "rare"}, 10},
			"source of nobody":   {hook.Filter{Source: "nobody"}, 0},
			"type":               {hook.Filter{Type: "rare.type"}, 10},
			"types":              {hook.Filter{Type: "rare.*,nothing"}, 10},
			"common types":       {hook.Filter{Type: "common.*"}, 50},
			"type, source":       {hook.Filter{Type: "rare.type", Source: "shop2"}, 10},
			"rare source, types": {hook.Filter{Type: "*.type7", Source: "rare"}, 10},
			"quarantined":        {hook.Filter{State: hook.StateQuarantined}, 10},
			"no_handler":         {hook.Filter{State: hook.StateNoHandler, Source: "shop1"}, 10},
			"dead":               {hook.Filter{State: hook.StateDead}, 0},
			"all":                {hook.Filter{}, 50},
		} {
			before := rowsRead(t, conn)
			store := open(t, url, postgres.Options{MaxConns: 6})
			c.f.Limit = 50
			page, _, err := store.Events(t.Context(), c.f)
			if err != nil || len(page) != c.want {
				t.Errorf("%s %s: %d events, %v, want %d", name, when, len(page), err, c.want)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if n := rowsRead(t, conn) - before; n > most {
				t.Errorf("%s %s: %d rows were read", name, when, n)
			}
		}
		for name, look := range deskLooks() {
			before := rowsRead(t, conn)
			store := open(t, url, postgres.Options{MaxConns: 6})
			if err := errors.Join(look(t.Context(), store), store.Close()); err != nil {
				t.Errorf("%s %s: %v", name, when, err)
			}
			if n := rowsRead(t, conn) - before; n > 25_000 {
				t.Errorf("%s %s: %d rows were read", name, when, n)
			}
		}
	}
}

// deskLooks are what else operators look at: bounded, whatever there is.
func deskLooks() map[string]func(context.Context, *postgres.Store) error {
	return map[string]func(context.Context, *postgres.Store) error{
		"jobs": func(ctx context.Context, s *postgres.Store) error {
			_, _, err := s.Jobs(ctx, hook.JobFilter{})
			return err
		},
		"dead":    func(ctx context.Context, s *postgres.Store) error { _, err := s.Causes(ctx); return err },
		"traffic": func(ctx context.Context, s *postgres.Store) error { _, err := s.Traffic(ctx, time.Now()); return err },
		"audit":   func(ctx context.Context, s *postgres.Store) error { _, _, err := s.Audit(ctx, "", 50); return err },
		"signs": func(ctx context.Context, s *postgres.Store) error {
			_, err := s.Signs(ctx, time.Now(), time.Now())
			return err
		},
		"refused": func(ctx context.Context, s *postgres.Store) error { _, err := s.Rejections(ctx, "", 50); return err },
	}
}

// rowsRead is how many rows and entries of indexes of the log were ever read, once
// all other sessions are gone: a session tells the server at its end.
func rowsRead(t *testing.T, conn *pgx.Conn) (n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for others := 1; others > 0; {
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'`).Scan(&others)
		if err != nil {
			t.Fatalf("wait for the other sessions: %v", err)
		}
	}
	err := conn.QueryRow(ctx, `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'hookkeeper' AND relname ~ '^(event|attempts|audit)')
		+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'hookkeeper' AND relname ~ '^(event|attempts|audit)')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
