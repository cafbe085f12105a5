package stripe_test

import (
	"context"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
)

// An erasure blanks the address and the notices of one customer, by id or by the
// address itself, and leaves what money and access rest on.
func TestErasureBlanksTheCustomer(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(1)
		bodies, _, _ := b.life(1)
		others, _, _ := b.life(2)
		for _, body := range append(bodies, others...) {
			b.deliver(body)
		}
		b.settlePatiently()
		b.stop()
		b.apply(`UPDATE customers SET email = customer_id || '@example.com'`)
		first := b.one(`SELECT min(customer_id) FROM customers`)
		user := b.one(`SELECT user_id FROM customers WHERE customer_id = '` + first + `'`)
		money := b.one(`SELECT count(*) FROM payments`) + b.one(`SELECT count(*) FROM subscriptions`) + b.one(`SELECT count(*) FROM consequences`)
		erase := func(source, customer string) (rows int) {
			err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) (err error) {
				rows, err = b.desk.Department().Erase(ctx, tx, source, customer)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			return rows
		}
		if n := erase("another", first); n != 0 {
			b.Errorf("%d rows of another source were blanked", n)
		}
		if b.one(`SELECT count(*) FROM notifications WHERE user_id = '`+user+`' AND title <> ''`) == "0" {
			b.Fatal("nobody was told anything")
		}
		if n := erase("stripe", first); n < 2 {
			b.Errorf("%d rows were blanked, want the customer and notices", n)
		}
		if got := b.one(`SELECT count(*) FROM customers WHERE email IS NULL`); got != "1" {
			b.Errorf("%s customers have no address, want one", got)
		}
		if got := b.one(`SELECT count(*) FROM notifications WHERE user_id = '` + user + `' AND (title <> '' OR body <> '' OR data <> '{}')`); got != "0" {
			b.Errorf("%s notices still say something", got)
		}
		if b.one(`SELECT count(*) FROM notifications WHERE title <> ''`) == "0" {
			b.Error("the other user's notices are gone")
		}
		if n := erase("stripe", first); n != 0 {
			b.Errorf("a repeat blanked %d rows", n)
		}
		other := b.one(`SELECT max(customer_id) FROM customers`)
		if n := erase("stripe", other+"@example.com"); n < 2 {
			b.Errorf("by the address %d rows were blanked", n)
		}
		if after := b.one(`SELECT count(*) FROM payments`) + b.one(`SELECT count(*) FROM subscriptions`) + b.one(`SELECT count(*) FROM consequences`); after != money {
			b.Errorf("rows of money and access: %s, they were %s", after, money)
		}
	})
}
