package stripe_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// permutations gives all orders of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := 0; at <= len(shorter); at++ {
			p := append(append(append([]int{}, shorter[:at]...), n-1), shorter[at:]...)
			all = append(all, p)
		}
	}
	return all
}

// life lets a subscription be created, changed twice and ended, and its invoice
// be paid; it returns the five bodies in the order in which they happened, and
// the row that must come of them.
func (b *bench) life(n int) (bodies [][]byte, sub, want string) {
	sub, customer, invoice := fmt.Sprintf("sub_%d", n), fmt.Sprintf("cus_%d", n), fmt.Sprintf("in_%d", n)
	user, now := fmt.Sprintf("usr_%d", n), b.sim.Now()
	end := now.Add(30 * 24 * time.Hour)
	o := stripetest.Subscription(sub, customer, user, "incomplete", now, end)
	b.sim.Put(o)
	bodies = append(bodies, b.sim.Emit("customer.subscription.created", sub))
	b.sim.Advance(2 * time.Second)
	b.sim.Put(stripetest.Invoice(invoice, sub, customer, user, "paid", 9900, now))
	bodies = append(bodies, b.sim.Emit("invoice.paid", invoice))
	b.sim.Advance(time.Second)
	bodies = append(bodies, b.sim.Change("customer.subscription.updated", sub, stripetest.Object{"status": "active", "latest_invoice": invoice}))
	b.sim.Advance(time.Second)
	bodies = append(bodies, b.sim.Change("customer.subscription.updated", sub, stripetest.Object{"cancel_at_period_end": true, "cancel_at": end.Unix()}))
	b.sim.Advance(time.Second)
	ended := b.sim.Now().Unix()
	bodies = append(bodies, b.sim.Change("customer.subscription.deleted", sub, stripetest.Object{"status": "canceled", "ended_at": ended}))
	return bodies, sub, fmt.Sprintf("%s|%s|pro_monthly|canceled|%d|%d|1|%d|%s|paid|0", user, customer, end.Unix(), end.Unix(), ended, invoice)
}

const shownColumns = `user_id, customer_id, plan, status, current_period_end, cancel_at, cancel_at_period_end, ended_at,
	latest_invoice, latest_invoice_status, unsure`

// TestEveryArrivalOrderEndsInTheSameState: five events of one subscription, all
// 120 orders, with duplicates, two workers, with and without an API key.
func TestEveryArrivalOrderEndsInTheSameState(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		t.Run(map[bool]string{false: "EventsAlone", true: "WithAPIKey"}[keyed], func(t *testing.T) {
			onEngines(t, func(b *bench) {
				b.open(nil)
				if keyed {
					b.open(b.keyed)
				}
				b.work(2)
				random := rand.New(rand.NewPCG(1, 2))
				want := map[string]string{}
				var sequences [][][]byte
				orders := permutations(5)
				if testing.Short() {
					orders = orders[:12] // the race detector runs with these
				}
				for i, order := range orders {
					bodies, sub, row := b.life(i)
					want[sub] = row
					var sequence [][]byte
					for k, at := range order {
						for range 1 + random.IntN(2) {
							sequence = append(sequence, bodies[at])
						}
						if random.IntN(3) == 0 { // one that came before comes again
							sequence = append(sequence, bodies[order[random.IntN(k+1)]])
						}
					}
					sequences = append(sequences, sequence)
				}
				b.deliverAll(sequences)
				b.settle()
				b.wantNone(hook.StateDead, hook.StateWaiting)
				right := 0
				for sub, row := range want {
					if got := b.one(`SELECT `+shownColumns+` FROM subscriptions WHERE subscription_id = $1`, sub); got != row {
						b.Errorf("%s: got %s, want %s", sub, got, row)
						continue
					}
					right++
				}
				if right != len(orders) {
					b.Errorf("right are %d of %d", right, len(orders))
				}
				if got := b.one(`SELECT count(*), count(DISTINCT fact) FROM notifications`); got != fmt.Sprintf("%[1]d|%[1]d", 5*len(orders)) {
					b.Errorf("notices and their facts: got %s, want one for each of %d events", got, 5*len(orders))
				}
			})
		})
	}
}

// TestEveryOrderOfALifeThatGoesOn: what is not ended is decided by versions alone.
func TestEveryOrderOfALifeThatGoesOn(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		want := map[string]string{}
		for i, order := range permutations(4) {
			sub, end := fmt.Sprintf("sub_on%d", i), b.sim.Now().Add(time.Hour)
			b.sim.Put(stripetest.Subscription(sub, "cus_"+sub, "u", "trialing", b.sim.Now(), end))
			bodies := [][]byte{b.sim.Emit("customer.subscription.created", sub)}
			for _, status := range []string{"active", "past_due", "active"} {
				b.sim.Advance(time.Second)
				bodies = append(bodies, b.sim.Change("customer.subscription.updated", sub, stripetest.Object{"status": status}))
			}
			want[sub] = fmt.Sprintf("active|%d|0", b.sim.Now().Unix())
			for _, at := range order {
				b.deliver(bodies[at])
			}
		}
		b.settle()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		for sub, row := range want {
			if got := b.one(`SELECT status, version_at, unsure FROM subscriptions WHERE subscription_id = $1`, sub); got != row {
				b.Errorf("%s: got %s, want %s", sub, got, row)
			}
		}
	})
}

// chain lets a subscription be created and changed within one second.
func chain(b *bench, sub string, changes ...stripetest.Object) [][]byte {
	b.sim.Advance(time.Second)
	b.sim.Put(stripetest.Subscription(sub, "cus_"+sub, "u", "incomplete", b.sim.Now(), b.sim.Now().Add(time.Hour)))
	bodies := [][]byte{b.sim.Emit("customer.subscription.created", sub)}
	for _, c := range changes {
		bodies = append(bodies, b.sim.Change("customer.subscription.updated", sub, c))
	}
	return bodies
}

// TestTwoChangesOfOneSecond: equal times never decide.
func TestTwoChangesOfOneSecond(t *testing.T) {
	t.Parallel()
	changes := []stripetest.Object{{"status": "active"}, {"cancel_at_period_end": true}, {"status": "past_due"}}
	t.Run("PreviousAttributesChain", func(t *testing.T) {
		t.Parallel()
		onEngines(t, func(b *bench) {
			b.open(nil)
			b.work(2)
			for i, order := range permutations(4) {
				bodies := chain(b, fmt.Sprintf("sub_tie%d", i), changes...)
				for _, at := range order {
					b.deliver(bodies[at])
				}
			}
			b.settle()
			for _, got := range b.rows(`SELECT status, cancel_at_period_end, unsure, subscription_id FROM subscriptions`) {
				if got[:len("past_due|1|0")] != "past_due|1|0" {
					b.Errorf("got %s, want past_due, to be cancelled, sure", got)
				}
			}
			b.wantNone(hook.StateDead, hook.StateWaiting)
		})
	})
	t.Run("WithoutAChainTheRowIsUnsure", func(t *testing.T) {
		t.Parallel()
		onEngines(t, func(b *bench) {
			b.open(nil)
			b.work(2)
			// There and back again within a second: each may follow the other.
			bodies := chain(b, "sub_back", stripetest.Object{"status": "active"}, stripetest.Object{"status": "incomplete"})
			b.deliver(bodies[2])
			b.settle()
			b.deliver(bodies[1])
			b.settle()
			if got := b.one(`SELECT status, unsure FROM subscriptions`); got != "active|1" {
				b.Errorf("got %s, want the last recorded, marked unsure", got)
			}
			b.sim.Advance(time.Second)
			b.deliver(b.sim.Change("customer.subscription.updated", "sub_back", stripetest.Object{"status": "past_due"}))
			b.settle()
			if got := b.one(`SELECT status, unsure FROM subscriptions`); got != "past_due|0" {
				b.Errorf("after the next event: got %s, want it to be sure again", got)
			}
		})
	})
	t.Run("WithAPIKeyTheNewerStateStays", func(t *testing.T) {
		t.Parallel()
		onEngines(t, func(b *bench) {
			b.open(b.keyed)
			b.work(2)
			for i, order := range permutations(2) {
				bodies := chain(b, fmt.Sprintf("sub_key%d", i), stripetest.Object{"status": "active"}, stripetest.Object{"status": "incomplete"}, stripetest.Object{"status": "past_due"})
				for _, at := range order {
					b.deliver(bodies[1+at])
				}
			}
			b.settle()
			for _, got := range b.rows(`SELECT status, unsure FROM subscriptions`) {
				if got != "past_due|0" {
					b.Errorf("got %s, want what Stripe says now", got)
				}
			}
		})
	})
}

// TestTerminalStatesWin: what Stripe has ended does not come back, whatever times
// the events carry, and a paid invoice does not become unpaid.
func TestTerminalStatesWin(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		for i, order := range permutations(2) {
			sub, invoice := fmt.Sprintf("sub_end%d", i), fmt.Sprintf("in_end%d", i)
			o := stripetest.Subscription(sub, "cus_"+sub, "u", "canceled", b.sim.Now(), b.sim.Now().Add(time.Hour))
			o["latest_invoice"] = invoice
			b.sim.Put(o)
			b.sim.Put(stripetest.Invoice(invoice, sub, "cus_"+sub, "u", "paid", 1, b.sim.Now()))
			ends := [][]byte{b.sim.Emit("customer.subscription.deleted", sub), b.sim.Emit("invoice.paid", invoice)}
			b.sim.Advance(time.Second)
			later := [][]byte{b.sim.Change("customer.subscription.updated", sub, stripetest.Object{"status": "active"}),
				b.sim.Change("invoice.payment_failed", invoice, stripetest.Object{"status": "open"})}
			for _, at := range order {
				for _, body := range [][][]byte{ends, later}[at] {
					b.deliver(body)
				}
			}
		}
		b.settle()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		for _, got := range b.rows(`SELECT status, latest_invoice_status FROM subscriptions`) {
			if got != "canceled|paid" {
				t.Errorf("got %s, want canceled and paid", got)
			}
		}
	})
}
