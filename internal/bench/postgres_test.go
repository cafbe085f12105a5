package bench_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

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
