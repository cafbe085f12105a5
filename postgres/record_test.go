package postgres_test

import (
	"maps"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// What is new, and what repeats it to the byte, the database counts as it records it;
// what differs is looked at first. The totals are the same as if each had come alone.
func TestABatchIsCountedAsItsDeliveries(t *testing.T) {
	// key, type, body, and how it came: from the sender, read from its API, quarantined
	before := [][4]string{{"old", "t", "a"}, {"old2", "t", "a"}, {"old3", "t", "a"}}
	batch := [][4]string{
		{"new", "t", "a"}, {"new", "t", "a"}, {"new", "t", "a"},
		{"torn", "t", "a"}, {"torn", "t", "b"},
		{"read", "t", "a", "api"}, {"read", "t", "a", "api"},
		{"kept", "t", "a", "quarantine"},
		{"typed", "t", "a"}, {"typed", "u", "a"},
		{"old", "t", "a"}, {"old", "t", "a"},
		{"old2", "t", "b"}, {"old2", "t", "a"},
		{"old3", "t", "a", "api"}, {"old3", "t", "a"},
	}
	want := map[string]int{"t recorded": 3 + 4, "t duplicate": 2 + 2 + 1 + 1, "u duplicate": 1, "t conflict": 2, "t quarantined": 1}
	for name, together := range map[string]bool{"together": true, "each alone": false} {
		t.Run(name, func(t *testing.T) {
			address := pgtest.Database(t)
			s := open(t, address, postgres.Options{})
			recordLines(t, s, before, true)
			recordLines(t, s, batch, together)
			got := map[string]int{}
			rows, err := dial(t, address).Query(t.Context(), `SELECT type || ' ' || outcome, sum(n) FROM hookkeeper.counters GROUP BY type, outcome`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var line string
				var n int
				if err := rows.Scan(&line, &n); err != nil {
					t.Fatal(err)
				}
				got[line] = n
			}
			if err := rows.Err(); err != nil || !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v (%v)", got, want, err)
			}
		})
	}
}

// recordLines records lines as in TestABatchIsCountedAsItsDeliveries.
func recordLines(t *testing.T, s *postgres.Store, lines [][4]string, together bool) {
	t.Helper()
	var deliveries []hook.Delivery
	var ids []hook.Identity
	for _, l := range lines {
		id := hook.Identity{Key: l[0], Type: l[1], Trust: hook.TrustSignature}
		switch l[3] {
		case "api":
			id.Trust = hook.TrustSenderAPI
		case "quarantine":
			id.Quarantine = hook.QuarantineSameBody
		}
		deliveries = append(deliveries, hook.Delivery{Source: "shop", Body: []byte(l[2]), ReceivedAt: time.Now()})
		ids = append(ids, id)
	}
	step := 1
	if together {
		step = len(ids)
	}
	for i := 0; i < len(ids); i += step {
		if _, err := s.RecordTogether(t.Context(), deliveries[i:i+step], ids[i:i+step]); err != nil {
			t.Fatal(err)
		}
	}
}
