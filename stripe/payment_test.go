package stripe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// purchase is a payment of 20000 that is refunded by 4900 twice, of which the
// second refund fails, and then disputed.
func (b *bench) purchase(n int) (bodies [][]byte, payment string) {
	pi, ch, cus := fmt.Sprintf("pi_%d", n), fmt.Sprintf("ch_%d", n), fmt.Sprintf("cus_p%d", n)
	put := func(o stripetest.Object) { b.sim.Put(o) }
	emit := func(kind, id string) {
		b.sim.Advance(time.Second)
		bodies = append(bodies, b.sim.Emit(kind, id))
	}
	put(stripetest.Object{"id": cus, "object": "customer", "email": "p@example.com", "metadata": map[string]any{"user_id": fmt.Sprintf("usr_%d", n)}})
	emit("customer.created", cus)
	put(stripetest.Object{"id": pi, "object": "payment_intent", "amount": 20000, "amount_received": 20000, "currency": "krw", "customer": cus, "status": "succeeded"})
	emit("payment_intent.succeeded", pi)
	put(stripetest.Object{"id": ch, "object": "charge", "amount": 20000, "amount_captured": 20000, "amount_refunded": 0, "currency": "krw", "customer": cus,
		"payment_intent": pi, "status": "succeeded"})
	refund := func(k int) string {
		id := fmt.Sprintf("re_%d_%d", n, k)
		put(stripetest.Object{"id": id, "object": "refund", "amount": 4900, "currency": "krw", "charge": ch, "payment_intent": pi, "status": "succeeded"})
		emit("refund.created", id)
		b.sim.Advance(time.Second)
		bodies = append(bodies, b.sim.Change("charge.refunded", ch, stripetest.Object{"amount_refunded": 4900 * k}))
		return id
	}
	refund(1)
	second := refund(2)
	b.sim.Advance(time.Second)
	bodies = append(bodies, b.sim.Change("refund.failed", second, stripetest.Object{"status": "failed"}))
	du := fmt.Sprintf("du_%d", n)
	put(stripetest.Object{"id": du, "object": "dispute", "amount": 20000, "currency": "krw", "charge": ch, "payment_intent": pi, "status": "needs_response"})
	emit("charge.dispute.created", du)
	return bodies, pi
}

// TestEveryOrderOfAPaymentGivesTheSameRow: the payment is the fold of its parts;
// all orders of eight events would be 40320, so some are taken.
func TestEveryOrderOfAPaymentGivesTheSameRow(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		orders := permutations(8)
		n := 0
		var sequences [][][]byte
		for i := 0; i < len(orders); i += 1999 {
			bodies, _ := b.purchase(n)
			var sequence [][]byte
			for _, at := range orders[i] {
				sequence = append(sequence, bodies[at])
			}
			sequences = append(sequences, sequence)
			n++
		}
		b.deliverAll(sequences)
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		for _, got := range b.rows(`SELECT amount, currency, status, captured, refunded, disputed, dispute_status, payment_intent FROM payments`) {
			want := "20000|krw|succeeded|20000|4900|20000|needs_response"
			if got[:min(len(want), len(got))] != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := b.one(`SELECT count(*), count(DISTINCT user_id) FROM payments`); got != fmt.Sprintf("%d|%d", n, n) {
			t.Errorf("payments and their users: got %s, want %d of each", got, n)
		}
		got := b.rows(`SELECT kind, count(*) FROM notifications GROUP BY kind ORDER BY kind`)
		want := []string{fmt.Sprintf("payment.disputed|%d", n), fmt.Sprintf("payment.refund_failed|%d", n),
			fmt.Sprintf("payment.refunded|%d", 2*n), fmt.Sprintf("payment.succeeded|%d", n)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("one notice per fact, a refund's two events being one, -want +got:\n%s", diff)
		}
	})
}

// TestAPaymentOfAGuest: the checkout session alone knows the user; without any
// nobody is told and nothing waits.
func TestAPaymentOfAGuest(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		b.deliver(sample(t, "dahlia/payment_intent.succeeded"))
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT count(*) FROM notifications`); got != "0" {
			t.Errorf("got %s notices, want none: nobody knows who paid", got)
		}
		for _, name := range []string{"dahlia/checkout.session.completed.unpaid_async", "dahlia/checkout.session.async_payment_succeeded",
			"dahlia/charge.refunded", "dahlia/refund.created", "dahlia/charge.dispute.created"} {
			b.deliver(sample(t, name))
		}
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT user_id, captured, refunded, disputed, dispute_status FROM payments`); got != "usr_1001|20000|4900|20000|needs_response" {
			t.Errorf("got %s", got)
		}
		got := b.rows(`SELECT kind, user_id, title FROM notifications ORDER BY kind`)
		want := []string{"payment.disputed|usr_1001|결제에 이의가 제기되었습니다", "payment.pending|usr_1001|결제를 확인하고 있습니다",
			"payment.refunded|usr_1001|환불되었습니다", "payment.succeeded|usr_1001|결제가 완료되었습니다"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestAnInvoicesIntentTellsNothing: the invoice does.
func TestAnInvoicesIntentTellsNothing(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(func(c *stripe.Config) { c.Language = "en" })
		b.work(2)
		b.deliver(sample(t, "dahlia/payment_intent.payment_failed"))
		b.deliver(sample(t, "acacia/payment_intent.payment_failed"))
		b.deliver(sample(t, "dahlia/invoice.payment_failed"))
		b.deliver(sample(t, "acacia/invoice.payment_failed"))
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		got := b.rows(`SELECT title, body FROM notifications`)
		want := []string{"A payment failed|Your payment of 9,900 KRW failed. Please check how you pay. Next attempt: 2026-05-04"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestPaymentsAreAskedFor: with an API key the present objects count, in whatever
// order the events come and although the first refund's was never delivered.
func TestPaymentsAreAskedFor(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.work(2)
		var sequences [][][]byte
		for n, order := range permutations(3) {
			bodies, _ := b.purchase(n)
			b.sim.Put(b.refundedOnce(n))                      // since the second refund failed
			late := [][]byte{bodies[1], bodies[5], bodies[6]} // intent, charge.refunded, refund.failed
			sequences = append(sequences, [][]byte{late[order[0]], late[order[1]], late[order[2]]})
		}
		b.deliverAll(sequences)
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		for _, got := range b.rows(`SELECT captured, refunded FROM payments`) {
			if got != "20000|4900" {
				t.Errorf("got %s, want 20000 and 4900", got)
			}
		}
	})
}

// refundedOnce is the charge of purchase n after its second refund has failed.
func (b *bench) refundedOnce(n int) stripetest.Object {
	return stripetest.Object{"id": fmt.Sprintf("ch_%d", n), "object": "charge", "amount": 20000, "amount_captured": 20000,
		"amount_refunded": 4900, "currency": "krw", "customer": fmt.Sprintf("cus_p%d", n), "payment_intent": fmt.Sprintf("pi_%d", n), "status": "succeeded"}
}
