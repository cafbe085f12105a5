package toss_test

import (
	"context"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

// An erasure blanks what names a buyer, of finished orders only, and no money.
func TestErasureBlanksTheBuyer(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("one", 15000, 5, false)
		done := w.visit("one")
		w.visit("one") // whose order stays open
		done.buy()
		w.settle()
		w.state(done.order, toss.StatePaid)
		run := func(f func(ctx context.Context, tx hook.Tx) error) {
			t.Helper()
			if err := w.nodes[0].store.Apply(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		run(func(ctx context.Context, tx hook.Tx) error {
			for _, statement := range []string{
				`UPDATE checkouts SET buyer = 'canary', customer_key = 'ck_canary', return_url = 'https://shop.example/canary'`,
				`UPDATE registrations SET buyer = 'canary', sole_buyer = 'canary'`,
				`UPDATE orders SET account = 'canary'`,
			} {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
		count := func(query string) (n int) {
			t.Helper()
			run(func(ctx context.Context, tx hook.Tx) error { return tx.QueryRowContext(ctx, query).Scan(&n) })
			return n
		}
		erase := func(source, customer string) (rows int) {
			t.Helper()
			run(func(ctx context.Context, tx hook.Tx) (err error) {
				rows, err = w.desk().Department().Erase(ctx, tx, source, customer)
				return err
			})
			return rows
		}
		before := w.orderInfo(done.order)
		if n := erase("stripe", "ck_canary") + erase("toss", "ck_other"); n != 0 {
			t.Errorf("%d rows of others were blanked", n)
		}
		if n := erase("toss", "ck_canary"); n < 3 {
			t.Errorf("%d rows were blanked, want the purchase, the seat and the order", n)
		}
		if n := count(`SELECT count(*) FROM checkouts WHERE buyer = 'canary'`); n != 1 {
			t.Errorf("%d purchases name the buyer, want the open one", n)
		}
		if n := count(`SELECT count(*) FROM registrations WHERE buyer <> '' OR sole_buyer IS NOT NULL`); n != 0 {
			t.Errorf("%d registrations name the buyer", n)
		}
		after := w.orderInfo(done.order)
		if after.State != toss.StatePaid || after.Captured != before.Captured || after.Amount != before.Amount {
			t.Errorf("the order: %+v, it was %+v", after.OrderInfo, before.OrderInfo)
		}
		if n := erase("toss", "ck_canary"); n != 0 {
			t.Errorf("a repeat blanked %d rows", n)
		}
	})
}
