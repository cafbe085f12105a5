package bench_test

import (
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A database for measuring is new, empty and gone afterwards, even from under
// those who still use it; the one that was named has nothing new in it.
func TestScratch(t *testing.T) {
	server := pgtest.Empty(t)
	s, err := bench.NewScratch(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, s.URL)
	if n := number(t, db, `SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`); n != 0 {
		t.Errorf("%d tables in a new database", n)
	}
	exists := `SELECT count(*) FROM pg_database WHERE datname = '` + nameOf(t, s.URL) + `'`
	if n := number(t, open(t, server), exists); n != 1 {
		t.Fatalf("%d databases of the name of %s", n, s.URL)
	}
	for range 2 { // a repeat does nothing
		if err := s.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, open(t, server), exists); n != 0 {
		t.Error("the database is still there")
	}
	if n := number(t, open(t, server), `SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`); n != 0 {
		t.Errorf("%d tables in the database that was named", n)
	}
}

// Who may not make databases is told what to do, without the password.
func TestScratchNeedsTheRight(t *testing.T) {
	server := pgtest.Empty(t)
	db := open(t, server)
	if _, err := db.ExecContext(t.Context(), `CREATE ROLE bench_nobody LOGIN PASSWORD 'pw_of_nobody'`); err != nil {
		t.Skip("this server lets us make no role: ", err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(`DROP ROLE bench_nobody`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("bench_nobody", "pw_of_nobody")
	_, err = bench.NewScratch(t.Context(), u.String())
	if err == nil || !strings.Contains(err.Error(), "CREATEDB") || strings.Contains(err.Error(), "pw_of") {
		t.Errorf("without the right: %v", err)
	}
}

// A seeded database is one that the engine opens, as with a file.
func TestSeedPostgres(t *testing.T) {
	address := pgtest.Database(t)
	store, err := postgres.Open(t.Context(), address, postgres.Options{}) // makes the partitions of today
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	const n = 3000
	if err := bench.SeedPostgres(t.Context(), address, n, func(int) {}); err != nil {
		t.Fatal(err)
	}
	db := open(t, address)
	if in := number(t, db, `SELECT count(*) FROM hookkeeper.bodies_default`); in != 0 {
		t.Errorf("%d bodies are in no partition of their time", in)
	}
	if store, err = postgres.Open(t.Context(), address, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	checkSeeded(t, store, n)
}

func nameOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
