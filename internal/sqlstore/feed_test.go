package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// A feed that waits reads from its cursor on, whatever it filters by, and sorts
// nothing.
func TestAFeedReadsFromItsCursorOn(t *testing.T) {
	db := empty(t)
	for _, f := range []hook.Filter{{}, {Source: "stripe"}, {Type: "invoice.*,charge.*"}, {Source: "stripe", Type: "invoice.*"}} {
		statement := sqlstore.FeedStatement(f)
		plan := explain(t, db, statement)
		if !strings.Contains(plan, "SEARCH k USING INTEGER PRIMARY KEY (rowid>?)") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v: %s", f, plan)
		}
	}
}
