package stripe_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

func encrypted(t *testing.T, clock *hooktest.Clock) hook.Store {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{Now: clock.Now,
		Tables: []hook.Tables{stripe.Tables()}, EncryptionKeys: [][]byte{hooktest.EncryptionKey(1)}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestSealedEmails: no row shows one, a channel is told it, and which of two of the
// same second counts does not depend on the order in which they came.
func TestSealedEmails(t *testing.T) {
	t.Parallel()
	onEngine(t, encrypted, func(b *bench) {
		mail := &outbox{}
		b.open(func(c *stripe.Config) { c.Channels = []stripe.Channel{{Name: "mail", Sender: mail}} })
		b.work(1)
		for n, order := range []string{"01", "10", "01", "10"} {
			customer := fmt.Sprintf("cus_%d", n)
			var bodies [2][]byte
			for i, address := range []string{"a.kim@example.com", "b.kim@example.com"} {
				b.sim.Put(stripetest.Object{"id": customer, "object": "customer", "email": address})
				bodies[i] = b.sim.Emit("customer.updated", customer)
			}
			for _, i := range order {
				b.deliver(bodies[i-'0'])
				b.settlePatiently()
			}
			life, _, _ := b.life(n)
			for _, body := range life {
				b.deliver(body)
			}
		}
		b.settlePatiently()
		if got := b.one(`SELECT count(*) FROM customers WHERE email LIKE 'hk1:1:%'`); got != "4" {
			t.Errorf("%s of 4 e-mails are sealed", got)
		}
		users, emails := map[string]bool{}, map[string]bool{}
		for _, n := range mail.sent {
			users[n.UserID], emails[n.Email] = true, true
		}
		if len(users) != 4 || len(emails) != 1 || emails[""] {
			t.Errorf("the channel was told %v of %d users, want one e-mail whatever the order", emails, len(users))
		}
	})
}
