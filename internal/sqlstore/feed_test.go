package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// A feed that waits reads from its cursor on, whatever it filters by, and sorts
// nothing.
func TestAFeedReadsFromItsCursorOn(t *testing.T) {
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
	defer db.Close()
	for _, f := range []hook.Filter{{}, {Source: "stripe"}, {Type: "invoice.*,charge.*"}, {Source: "stripe", Type: "invoice.*"}} {
		statement := sqlstore.FeedStatement(f)
		plan := explain(t, db, statement)
		if !strings.Contains(plan, "SEARCH k USING INTEGER PRIMARY KEY (rowid>?)") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v: %s", f, plan)
		}
	}
}
