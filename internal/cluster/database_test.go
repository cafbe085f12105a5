package cluster_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
)

// number asks one server for one number.
func number(t *testing.T, address, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) // nothing hangs on how it ends
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADatabaseOfOurOwn(t *testing.T) {
	server := started(t).URL("postgres")
	t.Run("IsNewAndGoneAfterwards", func(t *testing.T) { newAndGone(t, server) })
	t.Run("NeedsTheRight", func(t *testing.T) { needsTheRight(t, server) })
}

// It is empty, and gone afterwards, even from under those who still use it; the
// one that was named has nothing new in it.
func newAndGone(t *testing.T, server string) {
	d, err := cluster.Own(t.Context(), server, "bench")
	if err != nil {
		t.Fatal(err)
	}
	const tables = `SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`
	user, err := pgx.Connect(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close(context.Background()) // it is cut off below
	if n := number(t, d.URL(), tables); n != 0 {
		t.Errorf("%d tables in a new database", n)
	}
	u, err := url.Parse(d.URL())
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if !strings.HasPrefix(name, "hookkeeper_bench_") {
		t.Errorf("the name is %s: its purpose is not in it", name)
	}
	exists := `SELECT count(*) FROM pg_database WHERE datname = '` + name + `'`
	if n := number(t, server, exists); n != 1 {
		t.Fatalf("%d databases of the name %s", n, name)
	}
	for range 2 { // a repeat does nothing
		if err := d.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, server, exists); n != 0 {
		t.Error("the database is still there")
	}
	if n := number(t, server, tables); n != 0 {
		t.Errorf("%d tables in the database that was named", n)
	}
}

// Who may not make databases is told what to do, without the password.
func needsTheRight(t *testing.T, server string) {
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `CREATE ROLE bench_nobody LOGIN PASSWORD 'pw_of_nobody'`); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("bench_nobody", "pw_of_nobody")
	_, err = cluster.Own(t.Context(), u.String(), "bench")
	if err == nil || !strings.Contains(err.Error(), "CREATEDB") || strings.Contains(err.Error(), "pw_of") {
		t.Errorf("without the right: %v", err)
	}
}

func TestAnAddressThatCannotBeReadIsRefused(t *testing.T) {
	for _, url := range []string{"", "sqlite:a.db", "host=localhost password=pw", "postgres://%zz:pw@h/d"} {
		if _, err := cluster.Own(t.Context(), url, "bench"); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
