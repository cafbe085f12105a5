package toss_test

import (
	"testing"

	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// TestMetricsTellWhatHappened: a lost answer, a payment without a seat, another
// amount at Toss and an order that nobody has finished are all seen from outside.
func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("one", 15000, 1, false)
		if err := w.sim.Fault("confirm", tosstest.Fault{Action: "resetAfterCommit"}); err != nil {
			t.Fatal(err)
		}
		first := w.visit("one")
		if code := first.prepare(); code != "" {
			t.Fatal(code)
		}
		_, back := first.authorize("")
		first.land(back)
		w.state(first.order, toss.StatePaid)
		second := w.visit("one")
		key, _ := second.authorize("")
		w.must(w.sim.Capture(key))
		w.settle()
		w.state(second.order, toss.StateRefunded)
		third := w.visit("one") // stays open
		third.amount = 100
		key, _ = third.authorize("")
		w.must(w.sim.Capture(key))
		w.settle()
		for _, m := range []struct {
			name   string
			values []string
			want   float64
		}{
			{"hookkeeper_checkout_toss_calls_total", []string{"confirm", "unknown"}, 1},
			{"hookkeeper_checkout_toss_calls_total", []string{"confirm", "ok"}, 0},
			{"hookkeeper_checkout_toss_calls_total", []string{"cancel", "ok"}, 1},
			{"hookkeeper_checkout_outcomes_total", []string{"paid"}, 1},
			{"hookkeeper_checkout_outcomes_total", []string{"compensating"}, 1},
			{"hookkeeper_checkout_outcomes_total", []string{"refunded"}, 1},
			{"hookkeeper_checkout_attention", []string{"mismatch"}, 1},
			{"hookkeeper_checkout_orders", []string{"issued"}, 1},
			{"hookkeeper_checkout_orders", []string{"compensating"}, 0},
		} {
			if got := w.metric(m.name, m.values...); got != m.want {
				t.Errorf("%s%v is %g, want %g", m.name, m.values, got, m.want)
			}
		}
		if asked := w.metric("hookkeeper_checkout_toss_calls_total", "query", "ok"); asked < 3 {
			t.Errorf("%g questions, want one for each order at least", asked)
		}
	})
}
