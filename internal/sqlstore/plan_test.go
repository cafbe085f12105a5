package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// Every hot statement uses its index and reads no table from end to end: a
// partial index whose condition the statement does not repeat word for word is
// silently not used, and costs a factor of six.
func TestHotStatementsUseTheirIndex(t *testing.T) {
	db := empty(t)
	for index, statement := range sqlstore.HotStatements() {
		name := strings.TrimSuffix(strings.TrimSuffix(index, " x2"), " x3")
		plan := explain(t, db, statement)
		if name == "event_keys_key" {
			if strings.Contains(plan, "SCAN event_keys") {
				t.Errorf("%s: %s", index, plan)
			}
			continue
		}
		if !strings.Contains(plan, "INDEX "+name) && (name != "PRIMARY KEY" || !strings.Contains(plan, name)) {
			t.Errorf("%s is not used: %s", name, plan)
		}
		if regexp.MustCompile(`SCAN (jobs|j|h|attempts)\b|TEMP B-TREE`).MatchString(plan) {
			t.Errorf("%s: reads or sorts everything: %s", name, plan)
		}
	}
}

func explain(t *testing.T, db *sql.DB, statement string) string {
	t.Helper()
	n := len(regexp.MustCompile(`\$\d+`).FindAllString(statement, -1))
	args := make([]any, n+strings.Count(statement, "?"))
	for i := range args {
		args[i] = 1
	}
	numbers := map[string]bool{}
	for _, p := range regexp.MustCompile(`\$\d+`).FindAllString(statement, -1) {
		numbers[p] = true
	}
	for i := range strings.Count(statement, "?") {
		numbers[strings.Repeat("?", i+1)] = true
	}
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args[:len(numbers)]...)
	if err != nil {
		t.Fatalf("%v: %s", err, statement)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "; ")
}

func TestTransactionWord(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                    "",
		"commit":                                      "COMMIT",
		"  /* a */ -- b\n ;; RollBack to x":           "ROLLBACK",
		"INSERT INTO t VALUES ('; COMMIT')":           "",
		"INSERT INTO t VALUES ('it''s; COMMIT; x')":   "",
		"INSERT INTO \"a;b\" VALUES (1); END":         "END",
		"INSERT INTO [a;COMMIT] VALUES (1)":           "",
		"SELECT 1 -- ; COMMIT\n; PRAGMA x":            "PRAGMA",
		"SELECT 1 /* ; */ ; attach 'x' AS y":          "ATTACH",
		"SELECT CASE WHEN 1 THEN 2 END":               "",
		"UPDATE t SET begin = 1":                      "",
		"\ufeffSAVEPOINT s":                           "SAVEPOINT",
		"'unterminated; COMMIT":                       "",
		"/* unterminated COMMIT":                      "",
		"SELECT 1;\x00COMMIT":                         "COMMIT",
		"WITH x AS (SELECT 1) INSERT INTO t SELECT 1": "",
	} {
		if got := sqlstore.TransactionWord(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

// empty gives a database with our tables and nothing in them.
func empty(t *testing.T) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook.db")
	store, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
