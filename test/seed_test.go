//go:build hktest

package test

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

//go:embed testdata/month_sqlite.sql
var monthSQLite string

//go:embed testdata/month_postgres.sql
var monthPostgres string

// number is a size that a measurement may raise, by the environment.
func number(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < usual {
		t.Fatalf("%s=%s: want a number of at least %d", name, text, usual)
	}
	return n
}

// month is a database with n events of the past thirty days in it: three sources,
// one of them rare, some types, a subject with a hundredth of all, a few dead, waiting
// and quarantined ones. The environment variable HK_KEEP names a folder in which the
// file stays, and HK_KEEP_POSTGRES a database: then the next run finds it full.
func month(t *testing.T, postgres bool, n int) options {
	t.Helper()
	o := options{release: true, level: "info"}
	if postgres {
		if o.url = os.Getenv("HK_KEEP_POSTGRES"); o.url == "" {
			o.url = pgtest.Empty(t)
		}
	} else {
		dir := os.Getenv("HK_KEEP")
		if dir == "" {
			dir = t.TempDir()
		}
		o.database = filepath.Join(dir, "month.db")
	}
	start(t, o).stop(t) // makes the schema
	driver, place := "sqlite", "file:"+o.database
	if postgres {
		driver, place = "pgx", o.url
	}
	db, err := sql.Open(driver, place)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // for what is set on it
	if postgres {
		mustExec(t, db, `SET search_path TO hookkeeper`)
		mustExec(t, db, `SET synchronous_commit TO off`)
	} else {
		mustExec(t, db, `PRAGMA synchronous=OFF`)
		mustExec(t, db, `PRAGMA cache_size=-262144`)
	}
	var there int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM (SELECT 1 FROM event_keys LIMIT 1) AS k`).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there == 0 {
		fill(t, db, postgres, n)
	}
	return o
}

// fill seeds in parts, so that no transaction is too large.
func fill(t *testing.T, db *sql.DB, postgres bool, n int) {
	t.Helper()
	text := monthSQLite
	if postgres {
		text = monthPostgres
	}
	each, end, _ := strings.Cut(text, "-- END\n")
	const part = 50_000
	first := time.Now().Add(-30 * 24 * time.Hour).UnixMicro()
	step := (30 * 24 * time.Hour).Microseconds() / int64(n)
	if postgres {
		partitions(t, db, first)
	}
	for from := 1; from <= n; from += part {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.NewReplacer("$FROM", strconv.Itoa(from), "$TO", strconv.Itoa(min(from+part-1, n)),
			"$FIRST", strconv.FormatInt(first, 10), "$STEP", strconv.FormatInt(step, 10), "$ALL", strconv.Itoa(n))
		for s := range strings.SplitSeq(words.Replace(each), ";\n") {
			if strings.TrimSpace(s) == "" {
				continue
			}
			if _, err := tx.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%v: %s", err, s)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if from%1_000_000 == 1 && from > 1 {
			t.Logf("%d of %d events", from-1, n)
		}
	}
	for s := range strings.SplitSeq(strings.ReplaceAll(end, "$ALL", strconv.Itoa(n)), ";\n") {
		if strings.TrimSpace(s) != "" {
			mustExec(t, db, s)
		}
	}
}

// indexWords lets the index of words find every body, as the server would behind
// reception; on PostgreSQL with its entries written in one go, at the end.
func indexWords(t *testing.T, o options) {
	t.Helper()
	search := &hook.Search{Words: true}
	var store interface {
		hook.Searcher
		io.Closer
	}
	var err error
	if o.url == "" {
		store, err = sqlite.Open(o.database, sqlite.Options{Search: search})
	} else {
		store, err = postgres.Open(t.Context(), o.url, postgres.Options{Search: search})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	began, entries := time.Now(), func() {}
	for steps := 0; ; steps++ {
		busy, err := store.IndexWords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !busy {
			break
		}
		if o.url != "" && steps == 0 {
			entries = withoutEntries(t, o.url)
		}
	}
	entries()
	t.Logf("the index of words took %s", time.Since(began).Round(time.Second))
}

// withoutEntries drops the index over words and gives a function that makes it again.
func withoutEntries(t *testing.T, url string) (again func()) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // for what is set on it
	var definition string
	err = db.QueryRowContext(t.Context(), `SELECT pg_get_indexdef('hookkeeper.event_words_terms'::regclass)`).Scan(&definition)
	if err != nil {
		t.Fatal(err)
	}
	definition = strings.Replace(definition, " ON ONLY ", " ON ", 1) // of all partitions
	mustExec(t, db, `DROP INDEX hookkeeper.event_words_terms`)
	return func() {
		defer db.Close()
		mustExec(t, db, `SET maintenance_work_mem TO '1GB'`)
		mustExec(t, db, definition)
		mustExec(t, db, `VACUUM (ANALYZE) hookkeeper.event_words`)
	}
}

// partitions are those that a node would have made in time.
func partitions(t *testing.T, db *sql.DB, first int64) {
	t.Helper()
	for table, days := range map[string]int64{"bodies": 7, "event_words": 7, "events": 28, "attempts": 28} {
		for day := first / 86_400_000_000 / days * days; day <= time.Now().Unix()/86400; day += days {
			mustExec(t, db, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s_%s PARTITION OF %s FOR VALUES FROM (%d00000000000) TO (%d00000000000)`,
				table, time.Unix(day*86400, 0).UTC().Format("20060102"), table, day, day+days))
		}
	}
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Fatalf("%v: %s", err, statement)
	}
}
