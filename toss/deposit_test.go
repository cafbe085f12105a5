package toss_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// account brings a buyer to a virtual account that waits for its deposit.
func (w *world) account(product string) (b *buyer, key string) {
	w.Helper()
	b = w.visit(product)
	if code := b.prepare(); code != "" {
		w.Fatal(code)
	}
	key, back := b.authorize("VIRTUAL_ACCOUNT")
	if _, page := b.land(back); !strings.Contains(page, "입금을 기다리고 있어요.") || !strings.Contains(page, "입금 계좌") {
		w.Fatalf("receipt: %s", page)
	}
	w.settle()
	w.state(b.order, toss.StateAwaitingDeposit)
	return b, key
}

func (w *world) must(_ tosstest.Payment, err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func TestDepositIsPaidAndMayBeTakenBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, key := w.account("meetup")
		if code := w.visit("meetup").prepare(); code != "SOLD_OUT" {
			t.Errorf("the seat that waits for its deposit: %q", code)
		}
		if status, code := b.again(2, "load"); status != 409 || code != "AWAITING_DEPOSIT" {
			t.Errorf("another order: %d %s", status, code)
		}
		w.must(w.sim.Deposit(key))
		w.settle()
		w.state(b.order, toss.StatePaid)
		w.check("meetup")
		w.must(w.sim.RevertDeposit(key))
		w.settle()
		o := w.orderInfo(b.order)
		if o.State != toss.StateAwaitingDeposit || o.Captured != 0 {
			t.Errorf("after the bank took it back: %+v", o.OrderInfo)
		}
		w.check("meetup")
		w.must(w.sim.Deposit(key))
		w.settle()
		w.state(b.order, toss.StatePaid)
		if paid, _ := w.check("meetup"); paid != 1 {
			t.Errorf("%d paid", paid)
		}
	})
}

func TestWrongDepositSecretCostsNoQuestion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, key := w.account("meetup")
		before := len(w.sim.Calls())
		for range 5 {
			err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: "DONE", Secret: "ps_forged"})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.settle()
		if asked := len(w.sim.Calls()) - before; asked != 0 {
			t.Errorf("%d questions", asked)
		}
		if o := w.orderInfo(b.order); o.State != toss.StateAwaitingDeposit {
			t.Errorf("order: %s", o.State)
		}
		// With the true secret the body is still not believed.
		if err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: "DONE"}); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if o := w.orderInfo(b.order); o.State != toss.StateAwaitingDeposit {
			t.Errorf("order: %s", o.State)
		}
		if len(w.sim.Calls()) == before {
			t.Error("the true secret brought no question")
		}
	})
}

func TestOverdueDepositLetsTheSeatGo(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, _ := w.account("meetup")
		w.later(30 * 24 * time.Hour)
		if err := w.desk().Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.state(b.order, toss.StateExpired)
		w.visit("meetup").buy()
		w.check("meetup")
	})
}

func TestPayAnotherWay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, key := w.account("meetup")
		first := b.order
		if status, code := b.again(2, "other_method"); status != 201 {
			t.Fatalf("another way: %d %s", status, code)
		}
		if p, _ := w.sim.Payment(key); p.Status != tosstest.StatusCanceled {
			t.Errorf("the account at Toss: %s", p.Status)
		}
		if o := w.orderInfo(first); o.State != toss.StateSuperseded || o.Reason != "other_method" || o.Captured != 0 || o.Refunded != 0 {
			t.Errorf("the first order: %+v", o.OrderInfo)
		}
		if code := w.visit("meetup").prepare(); code != "SOLD_OUT" {
			t.Errorf("the seat did not stay with the purchase: %q", code)
		}
		b.buy()
		w.settle()
		if paid, _ := w.check("meetup"); paid != 1 {
			t.Errorf("%d paid", paid)
		}
	})
}

func TestPayAnotherWayAfterTheDepositCame(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, key := w.account("meetup")
		if err := w.sim.Fault("webhook", tosstest.Fault{Action: "drop"}, tosstest.Fault{Action: "drop"}); err != nil {
			t.Fatal(err)
		}
		w.must(w.sim.Deposit(key)) // and nobody has told us
		status, code := b.again(2, "other_method")
		if status != 409 || code != "CHECKOUT_PAID" {
			t.Errorf("another way: %d %s", status, code)
		}
		w.settle()
		if o := w.orderInfo(b.order); o.State != toss.StatePaid || o.Refunded != 0 || o.Attention != "" {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		if cancels, _ := w.calls("cancel"); cancels != 0 {
			t.Errorf("%d cancels of money that had come", cancels)
		}
		// The bank takes it back, and the buyer pays another way after all.
		w.must(w.sim.RevertDeposit(key))
		w.settle()
		if status, code := b.again(3, "other_method"); status != 201 {
			t.Errorf("another way at last: %d %s", status, code)
		}
		w.check("meetup")
	})
}

func TestDepositRefundNeedsAnAccount(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, key := w.account("meetup")
		w.must(w.sim.Deposit(key))
		w.settle()
		refund := func(body map[string]any) toss.OrderDetail {
			var o toss.OrderDetail
			if status := w.op("POST", "orders/"+b.order+"/refund", body, &o); status != 200 {
				t.Fatalf("refund: %d", status)
			}
			return o
		}
		o := refund(map[string]any{"key": "a", "reason": "asked"})
		if o.Attention != "refund_refused" || o.State != toss.StatePaid || o.Refunds[0].State != "refused" {
			t.Errorf("without an account: %+v", o)
		}
		o = refund(map[string]any{"key": "b", "reason": "asked",
			"receiver": map[string]any{"bank": "20", "accountNumber": "1002123456789", "holderName": "김토스"}})
		if o.State != toss.StateRefunded || o.Refunded != 15000 || o.Attention != "" {
			t.Errorf("with an account: %+v", o)
		}
		w.check("meetup")
	})
}

func TestSweeperEndsWhatNobodyFinished(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 3, false)
		issued, prepared, away := w.visit("meetup"), w.visit("meetup"), w.visit("meetup")
		prepared.prepare()
		away.prepare()
		away.authorize("") // and never comes back
		var made struct{ Checkout string }
		w.op("POST", "checkouts", map[string]any{"product": "meetup", "buyer": "robot"}, &made) // never opened
		w.later(41 * time.Minute)
		for range 2 {
			if err := w.desk().Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.later(time.Minute)
		}
		for _, b := range []*buyer{issued, prepared, away} {
			if o := w.orderInfo(b.order); o.State != toss.StateExpired {
				t.Errorf("order: %+v", o.OrderInfo)
			}
		}
		if n := len(w.orders("meetup")); n != 3 {
			t.Errorf("%d orders are left, of three that were opened", n)
		}
		p, err := w.desk().Product(t.Context(), "meetup")
		if err != nil || p.Taken != 0 {
			t.Errorf("taken: %+v %v", p, err)
		}
		if confirms, _ := w.calls("confirm"); confirms != 0 {
			t.Errorf("%d confirms of payments whose page was lost", confirms)
		}
		issued.w.follow(issued.cid).buy() // the page opened again has a new order
		w.check("meetup")
	})
}

func TestConfirmingOrderWithoutAJobIsCarriedOn(t *testing.T) {
	t.Parallel()
	for _, captured := range []bool{true, false} {
		onEach(t, func(t *testing.T, e engine) {
			w := newWorld(t, e, setup{idle: true, config: func(c *toss.Config) { c.RedirectWait = time.Millisecond }})
			w.product("meetup", 15000, 1, false)
			b := w.visit("meetup")
			b.prepare()
			key, _ := b.authorize("")
			// The node died after its claim, before or after confirm was sent.
			w.change(`UPDATE orders SET state = 'confirming', sent = TRUE, payment_key = $2, confirm_key = id, confirm_no = 1,
				confirm_until = $3 WHERE id = $1`, b.order, key, time.Now().Add(10*time.Minute))
			w.change(`INSERT INTO registrations (order_id, checkout, product, buyer, state, created_at)
				VALUES ($1, $2, 'meetup', '', 'pending', $3)`, b.order, b.cid, time.Now())
			w.change(`DELETE FROM holds WHERE checkout = $1`, b.cid)
			if captured {
				w.must(w.sim.Capture(key))
			}
			w.offset.Add(int64(30 * time.Second))
			if err := w.desk().Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := w.orderInfo(b.order); o.State != toss.StatePaid {
				t.Errorf("captured %v: %+v", captured, o.OrderInfo)
			}
			confirms, _ := w.calls("confirm")
			if want := map[bool]int{true: 0, false: 1}[captured]; confirms != want {
				t.Errorf("captured %v: %d confirms", captured, confirms)
			}
			w.check("meetup")
		})
	}
}

func TestConfirmThatCameTooLateFails(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		b.prepare()
		_, back := b.authorize("")
		w.later(12 * time.Minute) // Toss has let it go
		_, page := b.land(back)
		if strings.Contains(page, `data-hk-result="paid"`) {
			t.Error("paid, although Toss let the payment go")
		}
		w.settle()
		if confirms, captures := w.calls("confirm"); captures != 0 {
			t.Errorf("%d confirms, %d captures", confirms, captures)
		}
		w.later(time.Hour)
		w.finish()
		if o := w.orderInfo(b.order); o.State != toss.StateExpired {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		w.check("meetup")
	})
}

func TestRefusedCardReleasesTheSeat(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		b.prepare()
		if err := w.sim.Fault("confirm", tosstest.Fault{Action: "REJECT_CARD_PAYMENT"}); err != nil {
			t.Fatal(err)
		}
		_, back := b.authorize("")
		_, page := b.land(back)
		if !strings.Contains(page, "결제하지 않았어요. 청구되지 않았어요.") {
			t.Errorf("receipt: %s", page)
		}
		if o := w.orderInfo(b.order); o.State != toss.StateConfirmFailed || o.Reason != "REJECT_CARD_PAYMENT" {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		if status, code := b.again(2, "manual"); status != 201 {
			t.Fatalf("another order: %d %s", status, code)
		}
		b.buy()
		if paid, _ := w.check("meetup"); paid != 1 {
			t.Errorf("%d paid", paid)
		}
	})
}

func TestRefusedKeysAreToldAndHealed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{config: func(c *toss.Config) { c.RedirectWait = 500 * time.Millisecond }})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		b.prepare()
		if err := w.sim.Fault("confirm", tosstest.Fault{Action: "UNAUTHORIZED_KEY"}); err != nil {
			t.Fatal(err)
		}
		_, back := b.authorize("")
		b.land(back)
		w.until("the order needs a person", func() bool { return w.orderInfo(b.order).Attention == "keys_refused" })
		o := w.orderInfo(b.order)
		if o.State != toss.StateConfirming {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		if code := w.visit("meetup").prepare(); code != "SOLD_OUT" {
			t.Errorf("its seat was let go: %q", code)
		}
		var after toss.OrderDetail
		if status := w.op("POST", "orders/"+b.order+"/ask", map[string]any{}, &after); status != 200 || after.State != toss.StatePaid || after.Attention != "" {
			t.Errorf("asked again with good keys: %d %+v", status, after.OrderInfo)
		}
		w.check("meetup")
	})
}

func TestReconcileFindsWhatNobodyTold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 2, false)
		deposit, depositKey := w.account("meetup")
		paid := w.visit("meetup")
		paidKey := paid.buy()
		w.settle()
		w.sim.SendTo("http://127.0.0.1:1/") // deliveries get lost from now on
		w.must(w.sim.Deposit(depositKey))
		w.must(w.sim.Refund(paidKey, 0, "by hand"))
		w.later(10 * time.Minute)
		r, err := w.desk().Reconcile(t.Context())
		if err != nil || r.Changed != 2 || r.Failed != 0 {
			t.Errorf("report: %+v %v", r, err)
		}
		w.state(deposit.order, toss.StatePaid)
		w.state(paid.order, toss.StateRefunded)
		if r, err = w.desk().Reconcile(t.Context()); err != nil || r.Asked != 0 || len(r.Problems) != 0 {
			t.Errorf("again: %+v %v", r, err)
		}
		w.later(10 * time.Minute)
		if err := w.sim.Fault("get", tosstest.Fault{Action: "500"}); err != nil {
			t.Fatal(err)
		}
		if r, err = w.desk().Reconcile(t.Context()); err != nil || r.Asked != 1 || r.Failed != 1 || len(r.Problems) != 1 {
			t.Errorf("without an answer: %+v %v", r, err)
		}
	})
}
