package sqlstore_test

import (
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// A batch that is written again begins anew: what the rolled back transaction had
// answered and lent does not exist.
func TestEntriesOfARetryHaveNoAnswers(t *testing.T) {
	e := &sqlstore.Entry{Receipt: hook.Receipt{EventID: "ev_1"}, Lent: []*hook.Job{{ID: 1}}}
	for _, again := range sqlstore.Entries([]*sqlstore.Incoming{sqlstore.NewIncoming(e)}) {
		if again.Receipt != (hook.Receipt{}) || again.Lent != nil {
			t.Errorf("tried again with %+v and %d lent jobs", again.Receipt, len(again.Lent))
		}
	}
}
