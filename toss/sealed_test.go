package toss_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// TestOldRowsOfTheCheckoutAreSealed: a buyer who has a seat from before encryption
// was on has it afterwards, and nobody reads who that is.
func TestOldRowsOfTheCheckoutAreSealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	open := func(keys ...[]byte) *sqlite.Store {
		s, err := sqlite.Open(path, sqlite.Options{Tables: []hook.Tables{toss.Tables()}, EncryptionKeys: keys})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	do := func(s *sqlite.Store, effect hook.Effect) {
		t.Helper()
		if err := s.Apply(t.Context(), effect); err != nil {
			t.Fatal(err)
		}
	}
	s := open()
	do(s, plainRows)
	if step, err := toss.SealColumns(t.Context(), s, ""); err != nil || step.Sealed != 0 {
		t.Errorf("without encryption: sealed %d, %v", step.Sealed, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(hooktest.EncryptionKey(1))
	seat := func(when string) {
		t.Helper()
		do(s, func(ctx context.Context, tx hook.Tx) error {
			if has, err := toss.HasSeat(ctx, tx, "p", "kim"); err != nil || !has {
				t.Errorf("%s the buyer has a seat: %t, %v", when, has, err)
			}
			if has, err := toss.HasSeat(ctx, tx, "p", "lee"); err != nil || has {
				t.Errorf("%s another one has: %t, %v", when, has, err)
			}
			return nil
		})
	}
	seat("before it is sealed")
	for _, want := range []int{2, 0} {
		if sealed := sealColumns(t, s); sealed != want {
			t.Errorf("sealed %d texts, want %d", sealed, want)
		}
	}
	seat("when it is sealed")
	do(s, func(ctx context.Context, tx hook.Tx) error {
		var all string
		err := tx.QueryRowContext(ctx, `SELECT group_concat(buyer || coalesce(sole_buyer, '')) || (SELECT receiver FROM refunds)
			FROM registrations WHERE order_id = 'o1'`).Scan(&all)
		if err != nil || strings.Contains(all, "kim") {
			t.Errorf("the rows show %q, %v", all, err)
		}
		return nil
	})
}

// TestTheCheckoutWorksEncrypted: one buyer has one seat, a deposit's secret and
// account do what they do, and no row says who it is.
func TestTheCheckoutWorksEncrypted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onSQLite(hooktest.EncryptionKey(1)), setup{})
	w.product("meetup", 15000, 10, true)
	begin := func() *buyer {
		var made struct{ Checkout string }
		if status := w.op("POST", "checkouts", map[string]any{"product": "meetup", "buyer": "kim@example.com"}, &made); status != 200 {
			t.Fatalf("checkouts: %d", status)
		}
		return w.follow(made.Checkout)
	}
	b := begin()
	b.buy()
	w.settle()
	w.state(b.order, toss.StatePaid)
	if code := begin().prepare(); code != "ALREADY_APPLIED" {
		t.Errorf("the same buyer again: %q", code)
	}
	if o := w.orderInfo(b.order); o.Buyer != "kim@example.com" {
		t.Errorf("the order names the buyer %q", o.Buyer)
	}
	_, key := w.account("meetup")
	before := len(w.sim.Calls())
	err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: "DONE", Secret: "ps_forged"})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	if asked := len(w.sim.Calls()) - before; asked != 0 {
		t.Errorf("a wrong secret of a deposit cost %d questions", asked)
	}
	if err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: "DONE"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if len(w.sim.Calls()) == before {
		t.Error("the true secret of a deposit brought no question")
	}
	err = w.nodes[0].store.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		var rows, sealed int
		err := tx.QueryRowContext(ctx, `SELECT count(*), sum(x LIKE 'hk1:%' OR x LIKE 'hki:%') FROM (SELECT buyer AS x FROM checkouts
			UNION ALL SELECT buyer FROM registrations UNION ALL SELECT sole_buyer FROM registrations
			UNION ALL SELECT secret FROM orders UNION ALL SELECT account FROM orders) all_texts WHERE x <> ''`).Scan(&rows, &sealed)
		if rows < 6 || sealed != rows {
			t.Errorf("%d of %d texts are sealed", sealed, rows)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// plainRows are a seat and a refund from before encryption was on.
func plainRows(ctx context.Context, tx hook.Tx) error {
	for _, statement := range []string{
		`INSERT INTO registrations (order_id, checkout, product, buyer, sole_buyer, state, created_at) VALUES ('o1', 'c1', 'p', 'kim', 'kim', 'registered', 1)`,
		`INSERT INTO refunds (id, order_id, purpose, amount, reason, receiver, state, actor, created_at, next_at)
			VALUES ('r1', 'o1', 'x', 1, '', '{"accountNumber":"kim"}', 'open', '', 1, 1)`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// sealColumns seals all old texts and gives how many there were.
func sealColumns(t *testing.T, s hook.Applier) (sealed int) {
	t.Helper()
	for cursor := ""; ; {
		step, err := toss.SealColumns(t.Context(), s, cursor)
		if err != nil {
			t.Fatal(err)
		}
		sealed += step.Sealed
		if cursor = step.Next; cursor == "" {
			return sealed
		}
	}
}
