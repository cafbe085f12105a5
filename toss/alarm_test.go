package toss_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

// TestConditionsFindWhatMustNotLast, on both engines, and by an index where the
// engine tells.
func TestConditionsFindWhatMustNotLast(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{idle: true})
		now := time.Now().UTC().Truncate(time.Microsecond)
		for i, o := range []struct {
			id                 string
			state              toss.OrderState
			captured, refunded int64
			attention          string
		}{
			{"fine", toss.StatePaid, 100, 0, ""}, {"back", toss.StateRefunded, 100, 100, ""}, {"new", toss.StateIssued, 0, 0, ""},
			{"late", toss.StateCompensating, 100, 0, ""}, {"stuck", toss.StateRefundFailed, 100, 40, "refund_refused"},
			{"odd", toss.StatePaid, 100, 0, "mismatch"},
		} {
			w.change(`INSERT INTO orders (id, checkout, product, attempt, request_key, amount, currency, state, captured, refunded, attention,
				created_at, updated_at, expires_at) VALUES ($1, $1, 'p', 1, $1, 100, 'KRW', $2, $3, $4, $5, $6, $6, $6)`,
				o.id, string(o.state), o.captured, o.refunded, o.attention, now.Add(time.Duration(i)*time.Second))
		}
		for id, attempts := range map[string]int{"first": 1, "third": 3} {
			w.change(`INSERT INTO refunds (id, order_id, purpose, reason, state, actor, created_at, next_at, attempts)
				VALUES ($1, $1, 'x', 'x', 'open', '', $2, $2, $3)`, id, now, attempts)
		}
		want := map[string]string{"paid_without_seat": "[late stuck]", "refund_failing": "[stuck third]", "order_attention": "[odd]"}
		for _, c := range w.nodes[0].desk.Department().Alarms {
			var names []string
			err := w.nodes[0].store.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
				var name string
				var since hook.Timestamp
				if err := rowsOf(ctx, tx, c.Query, []any{&name, &since}, func() { names = append(names, name) }); err != nil {
					return err
				}
				if e.name != "sqlite" {
					return nil
				}
				var id, parent, unused int
				var plan string
				return rowsOf(ctx, tx, "EXPLAIN QUERY PLAN "+c.Query, []any{&id, &parent, &unused, &plan}, func() {
					if regexp.MustCompile(`^SCAN (o|r|orders|refunds)$`).MatchString(plan) {
						t.Errorf("%s: %s", c.Rule, plan)
					}
				})
			})
			slices.Sort(names)
			if err != nil || fmt.Sprint(names) != want[c.Rule] {
				t.Errorf("%s: found %v, %v, want %s", c.Rule, names, err, want[c.Rule])
			}
			delete(want, c.Rule)
		}
		if len(want) > 0 {
			t.Errorf("no condition %v", want)
		}
	})
}

func rowsOf(ctx context.Context, tx hook.Tx, query string, into []any, each func()) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		each()
	}
	return rows.Err()
}
