package sqlstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// Every search goes by an index, walks through no table, and sorts nothing but
// what jobs have led to.
func TestSearchesGoByAnIndex(t *testing.T) {
	db := empty(t)
	walks := regexp.MustCompile(`SCAN (k|e|j|events|event_keys|jobs|counters)\b`)
	for index, statements := range sqlstore.SearchStatements() {
		for _, statement := range statements {
			plan := explain(t, db, statement)
			first := regexp.MustCompile(`(SEARCH|SCAN) (k|e) `).FindString(plan)
			if !strings.Contains(plan, index) {
				t.Errorf("%s is not used: %s: %s", index, plan, statement)
			}
			if found := walks.FindString(strings.ReplaceAll(plan, "SCAN counters USING COVERING INDEX", "")); found != "" &&
				!strings.Contains(index, "INTEGER") &&
				!regexp.MustCompile(found+` USING (COVERING )?INDEX (jobs_ended|event_keys_(quarantine|unwanted))`).MatchString(plan) {
				t.Errorf("%s: %s in %s", index, found, plan)
			}
			if first != "" && strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") && index != "jobs_ended" && index != "event_keys_key" && statement != sqlstore.RunsSQL {
				t.Errorf("%s: sorts: %s: %s", index, plan, statement)
			}
		}
	}
}

// seeded writes so many events straight into the tables: one in a thousand is of
// a rare source, type and subject.
func seeded(t *testing.T, n int) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{EffectBudget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for _, statement := range []string{
		`INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			SELECT i, CASE WHEN i % 1000 = 7 THEN 'rare' ELSE 'shop' END, 'live', 'key' || i, i * 1000000, x'', 'signature', 0, '', 1, 1 FROM n`,
		`INSERT INTO events (seq, type, subject, size, headers)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			SELECT i, CASE WHEN i % 1000 = 11 THEN 'rare.type' ELSE 'common.type' || (i % 20) END,
				CASE WHEN i % 1000 = 13 THEN 'rare' WHEN i % 7 = 0 THEN 'often' ELSE 's' || i END, 1, x'00' FROM n`,
	} {
		err := store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, statement, n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// TestSubjectsAreFoundAcrossRuns: a subject's events lie in several runs of the
// index, and pages go on where the one before has ended.
func TestSubjectsAreFoundAcrossRuns(t *testing.T) {
	const n = 30_000 // almost four runs
	store := seeded(t, n)
	for subject, of := range map[string]func(i int) bool{
		"rare":   func(i int) bool { return i%1000 == 13 },
		"often":  func(i int) bool { return i%7 == 0 && i%1000 != 13 },
		"s8192":  func(i int) bool { return i == 8192 },
		"s29999": func(i int) bool { return i == 29999 },
		"nobody": func(int) bool { return false },
	} {
		want := []string{}
		for i := n; i > 0; i-- {
			if of(i) {
				want = append(want, fmt.Sprint("key", i))
			}
		}
		got := []string{}
		f := hook.Filter{Subject: subject, Limit: 7}
		if len(want) > 1000 {
			f.Limit = 900
		}
		for {
			page, next, err := store.Events(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.Key)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: found %d events, want %d", subject, len(got), len(want))
		}
	}
	for want, f := range map[string]hook.Filter{"30 rare": {Source: "rare"}, "30 types": {Type: "rare.*"}, "30 exact": {Type: "rare.type", Source: "shop"},
		"1 key": {Key: "key777"}} {
		page, _, err := store.Events(t.Context(), f)
		if err != nil || fmt.Sprint(len(page)) != strings.Fields(want)[0] {
			t.Errorf("%s: %d events, %v", want, len(page), err)
		}
	}
}
