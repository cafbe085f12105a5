package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/postgres"
)

func tables() []hook.Tables {
	return []hook.Tables{{Name: "shop", Files: fstest.MapFS{
		"postgres/0001_a.sql": {Data: []byte(`CREATE TABLE shop_orders (id text PRIMARY KEY); CREATE INDEX ON shop_orders (id)`)},
		"postgres/0002_b.sql": {Data: []byte(`ALTER TABLE shop_orders ADD COLUMN paid boolean`)},
	}}}
}

func TestNodesThatStartTogetherMigrateOnce(t *testing.T) {
	url := pgtest.Empty(t)
	if was, err := postgres.SchemaOf(t.Context(), url); err != nil || was.Version != 0 {
		t.Fatalf("an empty database has schema %+v, %v", was, err)
	}
	if _, err := postgres.OpenReadOnly(t.Context(), url); err == nil || !strings.Contains(err.Error(), "migrate up") {
		t.Errorf("opened for reading without a schema: %v", err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 6, Tables: tables()})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	all.Wait()
	is, err := postgres.SchemaOf(t.Context(), url)
	if err != nil || is.Version != is.Known || is.Known != postgres.KnownSchema() {
		t.Errorf("schema %+v, %v", is, err)
	}
	conn := dial(t, url)
	var id []byte
	var steps int
	err = conn.QueryRow(t.Context(), `SELECT value, (SELECT sum(version) FROM hookkeeper.departments) FROM hookkeeper.meta
		WHERE name = 'database'`).Scan(&id, &steps)
	if err != nil || len(id) != 5 || steps != 2 {
		t.Errorf("id %x, %d steps of departments, %v", id, steps, err)
	}
}

// A step that fails leaves the schema as it was before it, and a newer one than
// this binary knows is left alone.
func TestStepsAreAllOrNothing(t *testing.T) {
	url := pgtest.Database(t)
	bad := []hook.Tables{{Name: "shop", Files: fstest.MapFS{
		"postgres/0001_a.sql": {Data: []byte(`CREATE TABLE shop_orders (id text); CREATE TABLE shop_orders (id text)`)},
	}}}
	if err := postgres.Migrate(t.Context(), url, bad); err == nil {
		t.Fatal("a step that fails passed")
	}
	if err := postgres.Migrate(t.Context(), url, tables()); err != nil {
		t.Errorf("after a failed step: %v", err)
	}
	short := tables()
	delete(short[0].Files.(fstest.MapFS), "postgres/0002_b.sql")
	if err := postgres.Migrate(t.Context(), url, short); !errors.Is(err, sqlstore.ErrNewerSchema) {
		t.Errorf("newer tables of a department: got %v", err)
	}
	execute(t, dial(t, url), `UPDATE hookkeeper.schema_version SET version = 999`)
	if _, err := postgres.Open(t.Context(), url, postgres.Options{}); !errors.Is(err, sqlstore.ErrNewerSchema) {
		t.Errorf("a newer schema: got %v", err)
	}
	if _, err := postgres.OpenReadOnly(t.Context(), url); !errors.Is(err, sqlstore.ErrNewerSchema) {
		t.Errorf("a newer schema, for reading: got %v", err)
	}
}

// Other roles cannot look into the schema, those of Supabase's web API least.
func TestOthersSeeNothing(t *testing.T) {
	server := pgtest.Cluster(t)
	conn := dial(t, server.URL("postgres"))
	for _, role := range []string{"anon", "authenticated", "service_role", "somebody"} {
		execute(t, conn, `CREATE ROLE `+role)
		execute(t, conn, `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO `+role)
		execute(t, conn, `ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO `+role)
	}
	execute(t, conn, `ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM somebody`)
	if err := postgres.Migrate(t.Context(), server.URL("postgres"), tables()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"anon", "authenticated", "service_role", "somebody"} {
		var may bool
		err := conn.QueryRow(t.Context(), `SELECT has_schema_privilege($1, 'hookkeeper', 'USAGE')`, role).Scan(&may)
		if err != nil || may {
			t.Errorf("%s may use the schema: %v, %v", role, may, err)
		}
	}
}

// Bodies that are no JSON, or JSON that jsonb cannot hold, are null for people who
// query by hand, never an error.
func TestTheViewShowsWhatJSONBCanHold(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6})
	bodies := map[string]bool{
		`{"id": "evt_1"}`: true, `[1]`: true, `null`: true, ``: false, `{`: false, "\x00": false, "{\"a\":\"\xff\"}": false,
		`{"a":"\u0000"}`: false, `{"a":"\ud800"}`: false, `{"id":1,"id":2}`: true, "\ufeff{}": false,
		strings.Repeat("[", 200_000): false, strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000): false, `1e400000`: false,
	}
	n := 0
	for body := range bodies {
		_, err := s.Record(t.Context(), hook.Delivery{Source: "shop", Body: []byte(body), ReceivedAt: time.Now()},
			hook.Identity{Key: fmt.Sprint("k", n), Type: "x", Trust: hook.TrustSignature}, []string{"h"})
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	for _, j := range claim(t, s, 3, time.Minute) {
		if err := s.Finish(t.Context(), j, nil); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := dial(t, url).Query(t.Context(), `SELECT b.body, w.payload IS NOT NULL, w.processed_at
		FROM hookkeeper.webhook_events w JOIN hookkeeper.bodies b ON b.seq = w.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen, processed := 0, 0
	for rows.Next() {
		var raw []byte
		var shown bool
		var at *time.Time
		if err := rows.Scan(&raw, &shown, &at); err != nil {
			t.Fatal(err)
		}
		body := string(raw)
		if want, known := bodies[body]; !known || shown != want {
			t.Errorf("%.40q: shown %v, want %v", body, shown, want)
		}
		seen++
		if at != nil {
			processed++
			if time.Since(*at).Abs() > time.Minute {
				t.Errorf("processed at %s", at)
			}
		}
	}
	if err := rows.Err(); err != nil || seen != len(bodies) || processed != 3 {
		t.Errorf("%d rows, %d processed, %v; want %d and 3", seen, processed, err, len(bodies))
	}
}

// Names that this database cannot hold, or no index, are kept in another spelling,
// each in its own.
func TestOddNamesAreRecorded(t *testing.T) {
	s := open(t, pgtest.Database(t), postgres.Options{MaxConns: 6})
	long := strings.Repeat("k", 5000)
	ids := map[string]string{}
	for _, name := range []string{"a\x00", "a\x01", "\xff", "\xfe", long, long + "1", strings.Repeat("é", 3000), "plain"} {
		id := hook.Identity{Key: name, Type: name, Subject: name, Trust: hook.TrustSignature}
		for i := range 2 {
			r, err := s.Record(t.Context(), hook.Delivery{Source: "shop", Body: []byte(name), ReceivedAt: time.Now()}, id, []string{"h"})
			if err != nil {
				t.Fatalf("%.20q: %v", name, err)
			}
			if r.Duplicate != (i == 1) || i == 1 && ids[name] != r.EventID {
				t.Errorf("%.20q: %+v, want the same event twice", name, r)
			}
			ids[name] = r.EventID
		}
	}
	jobs := claim(t, s, 100, time.Minute)
	if len(jobs) != len(ids) {
		t.Errorf("jobs: got %d, want %d", len(jobs), len(ids))
	}
	for _, j := range jobs {
		if err := s.Bury(t.Context(), j, hook.Cause{Text: "cause \x00\xff"}); err != nil {
			t.Error(err)
		}
	}
	hooktest.CheckLedger(t, s)
}

// Old bodies go with their partition; those of dead letters and quarantined events
// stay, and what came while no partition was ready moves into one.
func TestBodiesGoByPartition(t *testing.T) {
	clock := hooktest.NewClock()
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6, Now: clock.Now, Search: hooktest.Search()})
	count := func(table string) (n int) {
		t.Helper()
		if err := dial(t, url).QueryRow(t.Context(), `SELECT count(*) FROM hookkeeper.`+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	done := mustRecord(t, s, "done", "", "h")
	if err := s.Finish(t.Context(), claim(t, s, 1, time.Minute)[0], nil); err != nil {
		t.Fatal(err)
	}
	dead := mustRecord(t, s, "dead", "", "h")
	if err := s.Bury(t.Context(), claim(t, s, 1, time.Minute)[0], hook.Cause{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Record(t.Context(), hook.Delivery{Source: "shop", Body: []byte("q"), ReceivedAt: clock.Now()},
		hook.Identity{Key: "q", Trust: hook.TrustSignature, Quarantine: hook.QuarantineAmbiguous}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := count("bodies_default"); n != 0 {
		t.Errorf("%d bodies in the default partition, want their own", n)
	}
	index(t, s)
	if n := count("event_words"); n != 3 {
		t.Errorf("the words of %d events, want 3", n)
	}
	clock.Advance(60 * 24 * time.Hour) // nothing was made ready for that day
	mustRecord(t, s, "late", "", "h")
	if n := count("bodies_default"); n != 1 {
		t.Errorf("%d bodies in the default partition, want the late one", n)
	}
	r, err := s.Sweep(t.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: 30 * 24 * time.Hour}}})
	if err != nil || r.Pruned != 1 {
		t.Errorf("sweep: %+v, %v; want one body gone", r, err)
	}
	if n := count("event_words"); n != 2 {
		t.Errorf("the words of %d events, want those whose bodies are kept", n)
	}
	if n := count("bodies_default"); n != 2 {
		t.Errorf("%d bodies in the default partition, want those that are still needed", n)
	}
	for _, e := range []struct {
		id   string
		gone bool
	}{{done.EventID, true}, {dead.EventID, false}, {kept.EventID, false}} {
		if d, err := s.Event(t.Context(), e.id); err != nil || d.BodyGone != e.gone {
			t.Errorf("%s: gone %v, %v; want %v", d.Key, d.BodyGone, err, e.gone)
		}
	}
	if r := mustRecord(t, s, "done", "", "h"); !r.Duplicate {
		t.Errorf("a redelivery after its body has gone: %+v", r)
	}
	hooktest.CheckLedger(t, s)
}

// A database that was restored into another server goes on feeding.
func TestARestoredDatabaseIsFedOn(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6})
	ctx := context.Background()
	if _, err := s.Feed(ctx, "reader", hook.Filter{}, 0); err != nil {
		t.Fatal(err)
	}
	first := mustRecord(t, s, "a", "")
	mustRecord(t, s, "b", "")
	if err := s.Advance(ctx, "reader", first.EventID); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, url)
	execute(t, conn, `UPDATE hookkeeper.event_keys SET xid = xid + 1000000000`)
	execute(t, conn, `UPDATE hookkeeper.cursors SET xid = xid + 1000000000`)
	again := open(t, url, postgres.Options{MaxConns: 6})
	mustRecord(t, again, "c", "")
	var keys []string
	page, err := again.Feed(ctx, "reader", hook.Filter{}, 0)
	for _, e := range page {
		keys = append(keys, e.Key)
	}
	if err != nil || strings.Join(keys, " ") != "b c" {
		t.Errorf("fed %v, %v; want b c", keys, err)
	}
}
