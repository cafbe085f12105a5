package toss_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// scenario plays something that goes right only if a rule is kept, and says what
// went wrong.
type scenario struct {
	mutant string
	play   func(w *world) []string
	hangs  bool // an answer of Toss never comes
}

// config waits for an answer that never comes no longer than a busy machine takes for
// one that does.
func (s scenario) config(c *toss.Config) {
	c.HintGap = time.Millisecond
	if s.hangs {
		c.ConfirmTimeout, c.RedirectWait = time.Second, 3*time.Second
	}
}

func scenarios() []scenario {
	return []scenario{
		{"seat_after_money", playSeatLost, false},
		{"no_purchase_group", playSecondCapture, false},
		{"cancel_on_timeout", playLostAnswer, true},
		{"confirm_blind_retry", playLostAnswer, true},
		{"refund_key_per_try", playLostRefund, true},
		{"amount_from_redirect", playCheapRedirect, false},
		{"trust_body", playForgedHint, false},
	}
}

// TestKnownMistakesAreSeen plays each scenario twice: as it is nothing goes
// wrong, and with the known mistake switched on something does.
func TestKnownMistakesAreSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	t.Parallel()
	for _, s := range scenarios() {
		t.Run(s.mutant, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, e engine) {
				if wrong := s.play(newWorld(t, e, setup{config: s.config})); len(wrong) > 0 {
					t.Errorf("without the mistake: %s", strings.Join(wrong, "; "))
				}
				w := newWorld(t, e, setup{config: s.config, mutants: []string{s.mutant}})
				if s.mutant == "no_purchase_group" {
					w.drop("orders_one_winner")
				}
				if wrong := s.play(w); len(wrong) == 0 {
					t.Error("the mistake was not seen")
				}
			})
		})
	}
}

func (w *world) drop(index string) {
	w.Helper()
	err := w.nodes[0].store.Apply(w.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `DROP INDEX `+index)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wrong(ok bool, format string, args ...any) []string {
	if ok {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

func playSeatLost(w *world) []string {
	w.product("one", 15000, 1, false)
	slow, quick := w.visit("one"), w.visit("one")
	slow.prepare()
	_, back := slow.authorize("")
	w.offset.Add(int64(11 * time.Minute))
	quick.prepare()
	_, quickBack := quick.authorize("")
	quick.land(quickBack)
	slow.land(back)
	w.settle()
	_, captures := w.calls("confirm")
	return w.wrong(captures == 1, "%d payments were confirmed for one seat", captures)
}

func playSecondCapture(w *world) []string {
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	b.prepare()
	first, _ := b.authorize("")
	b.again(2, "request")
	b.prepare()
	_, back := b.authorize("")
	b.land(back)
	w.settle()
	if _, err := w.sim.Capture(first); err != nil {
		w.Fatal(err)
	}
	w.settle()
	paid := 0
	for _, o := range w.orders("meetup") {
		if o.State == toss.StatePaid {
			paid++
		}
	}
	return w.wrong(paid == 1, "%d orders of one purchase are paid", paid)
}

func playLostAnswer(w *world) []string {
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	b.prepare()
	if err := w.sim.Fault("confirm", tosstest.Fault{Action: "timeoutAfterCommit"}); err != nil {
		w.Fatal(err)
	}
	_, back := b.authorize("")
	b.land(back)
	w.idle()
	w.sim.ReleaseHung()
	w.settle()
	cancels, _ := w.calls("cancel")
	confirms, _ := w.calls("confirm")
	wrong := w.wrong(cancels == 0, "%d cancels on a guess", cancels)
	wrong = append(wrong, w.wrong(confirms == 1, "%d confirms for one that had gone through", confirms)...)
	state := w.orderInfo(b.order).State
	return append(wrong, w.wrong(state == toss.StatePaid, "the order is %s", state)...)
}

func playLostRefund(w *world) []string {
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	key := b.buy()
	w.settle()
	// Neither the answer nor the delivery tells us.
	for target, action := range map[string]string{"cancel": "timeoutAfterCommit", "webhook": "drop"} {
		if err := w.sim.Fault(target, tosstest.Fault{Action: action}); err != nil {
			w.Fatal(err)
		}
	}
	w.op("POST", "orders/"+b.order+"/refund", map[string]any{"key": "k", "reason": "r", "amount": 5000}, nil)
	w.sim.ReleaseHung()
	w.later(2 * time.Hour)
	w.settle()
	p, _ := w.sim.Payment(key)
	return w.wrong(p.BalanceAmount == 10000, "of 15000, less 5000, Toss keeps %d", p.BalanceAmount)
}

func playCheapRedirect(w *world) []string {
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	b.prepare()
	b.amount = 100
	_, back := b.authorize("") // for 100, and the redirect says 100
	b.land(back)
	w.settle()
	confirms, _ := w.calls("confirm")
	return w.wrong(confirms == 0, "%d confirms of 100 for 15000", confirms)
}

func playForgedHint(w *world) []string {
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	key := b.buy()
	w.settle()
	if err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: tosstest.StatusCanceled}); err != nil {
		w.Fatal(err)
	}
	w.settle()
	state := w.orderInfo(b.order).State
	return w.wrong(state == toss.StatePaid, "the paid order is %s", state)
}

// TestIndexesAreTheLastGuard writes past all our code: the database itself
// refuses a second winner and a second registration of a buyer.
func TestIndexesAreTheLastGuard(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{idle: true})
		w.product("meetup", 15000, 5, true)
		b := w.visit("meetup")
		second, err := w.desk().NewOrder(t.Context(), b.cid, "second", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{"confirming", "paid", "awaiting_deposit"} {
			err := w.nodes[0].store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
				if _, err := tx.ExecContext(ctx, `UPDATE orders SET state = 'paid' WHERE id = $1`, b.order); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, `UPDATE orders SET state = $2 WHERE id = $1`, second, state)
				return err
			})
			if err == nil {
				t.Errorf("a second order became %s beside a paid one", state)
			}
		}
		add := func(order, checkout string) error {
			return w.nodes[0].store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO registrations (order_id, checkout, product, buyer, sole_buyer, state, created_at)
					VALUES ($1, $2, 'meetup', 'u', 'u', 'pending', $3)`, order, checkout, time.Now())
				return err
			})
		}
		if err := add("a", "x"); err != nil {
			t.Fatal(err)
		}
		if add("b", "x") == nil {
			t.Error("a purchase has two registrations")
		}
		if add("c", "y") == nil {
			t.Error("a buyer has two registrations")
		}
	})
}
