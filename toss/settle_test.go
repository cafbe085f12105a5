package toss_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// check holds a world to what must always be true of money and seats.
func (w *world) check(product string) (paid, refunded int) {
	w.Helper()
	m, err := w.desk().Money(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if m.Off != 0 {
		w.Errorf("money is off by %d: %+v", m.Off, m)
	}
	p, err := w.desk().Product(w.Context(), product)
	if err != nil {
		w.Fatal(err)
	}
	if p.Seats != nil && p.Taken > *p.Seats {
		w.Errorf("%d seats taken of %d", p.Taken, *p.Seats)
	}
	winners := map[string]int{}
	byID := map[string]toss.OrderInfo{}
	for _, o := range w.orders(product) {
		byID[o.ID] = o
		switch o.State {
		case toss.StatePaid:
			paid++
			winners[o.Checkout]++
		case toss.StateConfirming, toss.StateAwaitingDeposit:
			winners[o.Checkout]++
		case toss.StateRefunded:
			refunded++
		}
	}
	for checkout, n := range winners {
		if n > 1 {
			w.Errorf("checkout %s has %d orders that win", checkout, n)
		}
	}
	if p.Seats != nil && int64(paid) > *p.Seats {
		w.Errorf("%d paid of %d seats", paid, *p.Seats)
	}
	w.checkToss(byID)
	return paid, refunded
}

// checkToss folds what Toss has against what we say of it: every capture has a
// seat or was given back, once, whole.
func (w *world) checkToss(orders map[string]toss.OrderInfo) {
	w.Helper()
	for _, p := range w.sim.Payments() {
		o, ours := orders[p.OrderID]
		if !ours {
			continue
		}
		kept := int64(0)
		if p.ApprovedAt != nil && p.Status != tosstest.StatusWaiting {
			kept = p.BalanceAmount
		}
		switch {
		case kept > 0 && o.State != toss.StatePaid:
			w.Errorf("order %s is %s, and Toss keeps %d of its money", o.ID, o.State, kept)
		case kept == 0 && o.State == toss.StatePaid:
			w.Errorf("order %s is paid, and Toss keeps nothing", o.ID)
		case kept > 0 && p.TotalAmount != o.Amount:
			w.Errorf("order %s of %d was settled with %d", o.ID, o.Amount, p.TotalAmount)
		}
	}
}

func TestABuyerPaysOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 10, false)
		b := w.visit("meetup")
		key := b.buy()
		w.settle()
		o := w.orderInfo(b.order)
		if o.State != toss.StatePaid || o.Captured != 15000 || o.PaymentKey != key || o.Attention != "" {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		if confirms, captures := w.calls("confirm"); confirms != 1 || captures != 1 {
			t.Errorf("%d confirms, %d captures", confirms, captures)
		}
		if code := b.prepare(); code != "CHECKOUT_PAID" {
			t.Errorf("prepare again: %s", code)
		}
		if status, code := b.again(2, "load"); status != 409 || code != "CHECKOUT_PAID" {
			t.Errorf("another order: %d %s", status, code)
		}
		if paid, _ := w.check("meetup"); paid != 1 {
			t.Errorf("paid: %d", paid)
		}
	})
}

func TestEditedSuccessAddressIsRefusedBeforeConfirm(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{config: func(c *toss.Config) { c.RedirectWait = 300 * time.Millisecond }})
		w.product("dear", 15000, 0, false)
		w.product("cheap", 100, 0, false)
		dear, cheap := w.visit("dear"), w.visit("cheap")
		for _, b := range []*buyer{dear, cheap} {
			if code := b.prepare(); code != "" {
				t.Fatal(code)
			}
		}
		dearKey, back := dear.authorize("")
		cheapKey, _ := cheap.authorize("")
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		edited := func(name, value string) int {
			q := u.Query()
			q.Set(name, value)
			status, _ := dear.land(u.Path + "?" + q.Encode())
			return status
		}
		for _, amount := range []string{"100", "-1", "0", "1e3", "9007199254740993", "15000.0", "", "15000 ", "+15000", "0x3a98"} {
			if status := edited("amount", amount); status != 400 {
				t.Errorf("amount %q: %d", amount, status)
			}
		}
		for name, value := range map[string]string{"currency": "USD"} {
			if status := edited(name, value); status != 400 {
				t.Errorf("%s %q: %d", name, value, status)
			}
		}
		for _, id := range []string{cheap.order, "hk_aaaaaaaaaaaaaaaaaaaaaaaaaa", "x", ""} {
			if status := edited("orderId", id); status != 404 {
				t.Errorf("order %q: %d", id, status)
			}
		}
		for _, key := range []string{cheapKey, dearKey + "x", "tsim_unknown"} {
			if status := edited("paymentKey", key); status != 200 {
				t.Errorf("key %q: %d", key, status)
			}
		}
		w.settle()
		if confirms, _ := w.calls("confirm"); confirms != 0 {
			t.Errorf("%d confirms", confirms)
		}
		if o := w.orderInfo(dear.order); o.State != toss.StatePrepared || len(o.Notes) == 0 {
			t.Errorf("order: %+v", o)
		}
		// The genuine way is still open.
		if status, _ := dear.land(back); status != 200 {
			t.Errorf("genuine: %d", status)
		}
		w.state(dear.order, toss.StatePaid)
	})
}

func TestLostPagesOfEarlierAttempts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{nodes: 3})
		w.product("meetup", 15000, 2, false)
		b := w.visit("meetup")
		var keys, backs []string
		for gen := 1; gen <= 3; gen++ {
			if gen > 1 {
				if status, code := b.again(gen, "request"); status != 201 {
					t.Fatalf("attempt %d: %d %s", gen, status, code)
				}
			}
			if code := b.prepare(); code != "" {
				t.Fatal(code)
			}
			key, back := b.authorize("")
			keys, backs = append(keys, key), append(backs, back)
		}
		// Attempt 2 comes back, then the lost page of 1, then 3: all at once.
		var all sync.WaitGroup
		for _, i := range []int{1, 0, 2} {
			elsewhere := *b
			elsewhere.n = w.nodes[i]
			all.Go(func() { elsewhere.land(backs[i]) })
		}
		all.Wait()
		w.settle()
		if confirms, captures := w.calls("confirm"); captures != 1 || confirms != 1 {
			t.Errorf("%d confirms, %d captures", confirms, captures)
		}
		if paid, refunded := w.check("meetup"); paid != 1 || refunded != 0 {
			t.Errorf("%d paid, %d refunded", paid, refunded)
		}
		// Then Toss shows captures of the others, behind our back.
		extra := 0
		for _, key := range keys {
			if _, err := w.sim.Capture(key); err == nil {
				extra++
			}
		}
		w.settle()
		w.settle()
		if paid, refunded := w.check("meetup"); paid != 1 || refunded != extra || extra != 2 {
			t.Errorf("%d paid, %d refunded of %d more captures", paid, refunded, extra)
		}
		if _, cancels := w.calls("cancel"); cancels != extra {
			t.Errorf("%d cancels", cancels)
		}
		if _, page := b.land("/checkout/" + b.cid + "/receipt"); !strings.Contains(page, `data-hk-result="paid"`) {
			t.Error("the buyer sees another result than paid")
		}
	})
}

func TestTwentyConfirmsCaptureOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{nodes: 3})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		if code := b.prepare(); code != "" {
			t.Fatal(code)
		}
		key, back := b.authorize("")
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { b.land(back) })
			all.Go(func() {
				_ = w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: tosstest.StatusDone})
			})
		}
		all.Wait()
		w.settle()
		if _, captures := w.calls("confirm"); captures != 1 {
			t.Errorf("%d captures", captures)
		}
		if paid, _ := w.check("meetup"); paid != 1 {
			t.Errorf("%d paid", paid)
		}
	})
}

func TestLostAnswersAreAskedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	t.Parallel()
	for _, fault := range []string{"timeoutAfterCommit", "timeoutBeforeCommit", "500", "reset", "resetAfterCommit", "garbage", "429"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, e engine) {
				w := newWorld(t, e, setup{config: func(c *toss.Config) { c.ConfirmTimeout = 300 * time.Millisecond }})
				w.product("meetup", 15000, 1, false)
				b := w.visit("meetup")
				if code := b.prepare(); code != "" {
					t.Fatal(code)
				}
				if err := w.sim.Fault("confirm", tosstest.Fault{Action: fault}); err != nil {
					t.Fatal(err)
				}
				_, back := b.authorize("")
				b.land(back)
				w.state(b.order, toss.StatePaid)
				w.sim.ReleaseHung()
				w.settle()
				if _, captures := w.calls("confirm"); captures != 1 {
					t.Errorf("%d captures", captures)
				}
				if cancels, _ := w.calls("cancel"); cancels != 0 {
					t.Errorf("%d cancels on a guess", cancels)
				}
				blindRetries(t, w.sim.Calls())
				w.check("meetup")
			})
		})
	}
}

// blindRetries fails on a confirm that follows another one of its payment
// without a question in between.
func blindRetries(t *testing.T, calls []tosstest.Call) {
	t.Helper()
	asked := true
	for _, c := range calls {
		switch c.API {
		case "get":
			asked = true
		case "confirm":
			if !asked {
				t.Error("confirm was sent again without asking first")
			}
			asked = false
		}
	}
}

func TestForgedHintsChangeNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		const gap = 500 * time.Millisecond
		w := newWorld(t, e, setup{config: func(c *toss.Config) { c.HintGap = gap }})
		w.product("meetup", 15000, 5, false)
		open, paid := w.visit("meetup"), w.visit("meetup")
		paidKey := paid.buy()
		if code := open.prepare(); code != "" {
			t.Fatal(code)
		}
		openKey, back := open.authorize("")
		w.settle()
		before, began := len(w.sim.Calls()), time.Now()
		for _, key := range []string{openKey, paidKey} {
			for _, status := range []string{"DONE", "CANCELED", "EXPIRED", "ABORTED", "PARTIAL_CANCELED", "WAITING_FOR_DEPOSIT"} {
				for range 3 {
					if err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: status}); err != nil {
						t.Fatal(err)
					}
				}
				err := w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: status, Secret: "ps_guess"})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		w.settle()
		if o := w.orderInfo(open.order); o.State != toss.StatePrepared || o.Captured != 0 {
			t.Errorf("open order: %+v", o.OrderInfo)
		}
		if o := w.orderInfo(paid.order); o.State != toss.StatePaid || o.Captured != 15000 || o.Refunded != 0 {
			t.Errorf("paid order: %+v", o.OrderInfo)
		}
		// Two orders, and a question about each once in a gap, however many lie.
		most := 2 * (int(time.Since(began)/gap) + 2)
		if asked := len(w.sim.Calls()) - before; asked > min(most, 47) {
			t.Errorf("%d questions for 48 forgeries within %s, want at most %d", asked, time.Since(began), most)
		} else if asked == 0 {
			t.Error("no question: the forgeries never arrived")
		}
		if status, page := open.land(back); status != 200 || !strings.Contains(page, `data-hk-result="paid"`) {
			t.Errorf("the genuine payment afterwards: %d", status)
		}
		w.check("meetup")
	})
}

func TestAnotherAmountAtTossIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 5, false)
		b := w.visit("meetup")
		b.amount = 100 // what the page was made to ask for
		key, _ := b.authorize("")
		if _, err := w.sim.Capture(key); err != nil {
			t.Fatal(err)
		}
		w.settle()
		o := w.orderInfo(b.order)
		if o.State == toss.StatePaid || o.Attention != "mismatch" || o.Captured != 100 {
			t.Fatalf("order: %+v", o.OrderInfo)
		}
		m, err := w.desk().Money(t.Context())
		if err != nil || m.Open != 100 || m.OpenOrders != 1 || m.Off != 0 || m.Attention != 1 {
			t.Errorf("money: %+v %v", m, err)
		}
		if cancels, _ := w.calls("cancel"); cancels != 0 {
			t.Errorf("%d cancels by itself", cancels)
		}
		// A person decides to give it back.
		var after toss.OrderDetail
		body := map[string]any{"key": "one", "reason": "wrong amount"}
		if status := w.op("POST", "orders/"+b.order+"/refund", body, &after); status != 200 {
			t.Fatalf("refund: %d", status)
		}
		if after.State != toss.StateRefunded || after.Refunded != 100 || after.Attention != "" {
			t.Errorf("after: %+v", after.OrderInfo)
		}
		if m, err = w.desk().Money(t.Context()); err != nil || m.Open != 0 || m.Off != 0 || m.Refunded != 100 {
			t.Errorf("money: %+v %v", m, err)
		}
	})
}

func TestEveryCaptureHasASeatOrARefund(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{nodes: 3, config: func(c *toss.Config) { c.HintGap = time.Millisecond }})
		w.product("one", 15000, 1, false)
		var keys []string
		for i := range 50 {
			b, err := w.tryVisit("one", i)
			if err != nil {
				t.Fatal(err)
			}
			key, _ := b.authorize("")
			keys = append(keys, key)
		}
		var all sync.WaitGroup
		for _, key := range keys {
			all.Go(func() {
				if _, err := w.sim.Capture(key); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		w.settle()
		w.settle()
		if paid, refunded := w.check("one"); paid != 1 || refunded != 49 {
			t.Errorf("%d paid, %d refunded", paid, refunded)
		}
		if _, cancels := w.calls("cancel"); cancels != 49 {
			t.Errorf("%d cancels", cancels)
		}
	})
}

func TestRefundTwiceIsOneCancel(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{config: func(c *toss.Config) { c.ConfirmTimeout = time.Second }})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		b.buy()
		w.settle()
		// The first cancel goes through, and its answer is lost.
		if err := w.sim.Fault("cancel", tosstest.Fault{Action: "timeoutAfterCommit"}); err != nil {
			t.Fatal(err)
		}
		body := map[string]any{"key": "double", "reason": "buyer asked", "amount": 5000}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { w.op("POST", "orders/"+b.order+"/refund", body, nil) })
		}
		all.Wait()
		w.sim.ReleaseHung()
		w.later(2 * time.Minute)
		w.settle()
		o := w.orderInfo(b.order)
		if o.Refunded != 5000 || o.State != toss.StatePaid || len(o.Refunds) != 1 || o.Refunds[0].State != "accepted" {
			t.Errorf("order: %+v", o)
		}
		if _, cancels := w.calls("cancel"); cancels != 1 {
			t.Errorf("%d cancels changed something", cancels)
		}
		if status := w.op("POST", "orders/"+b.order+"/refund", map[string]any{"key": "two", "reason": "x", "amount": 10001}, nil); status != 409 {
			t.Errorf("more than is left: %d", status)
		}
		if status := w.op("POST", "orders/"+b.order+"/refund", map[string]any{"key": "rest", "reason": "x"}, nil); status != 200 {
			t.Errorf("the rest: %d", status)
		}
		w.settle()
		p, err := w.desk().Product(t.Context(), "meetup")
		if err != nil || p.Taken != 0 {
			t.Errorf("the seat is not free: %+v %v", p, err)
		}
		if _, refunded := w.check("meetup"); refunded != 1 {
			t.Errorf("%d refunded", refunded)
		}
	})
}

func TestMoneyGivenBackAtToss(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		key := b.buy()
		for i, step := range []struct {
			amount, refunded int64
			state            toss.OrderState
		}{{4000, 4000, toss.StatePaid}, {0, 15000, toss.StateRefunded}} {
			if _, err := w.sim.Refund(key, step.amount, "by hand"); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if o := w.orderInfo(b.order); o.State != step.state || o.Refunded != step.refunded {
				t.Errorf("step %d: %+v", i, o.OrderInfo)
			}
			w.check("meetup")
		}
		if cancels, _ := w.calls("cancel"); cancels != 0 {
			t.Errorf("we sent %d cancels for what was given back already", cancels)
		}
		if next := w.visit("meetup"); next.prepare() != "" {
			t.Error("the seat was not let go")
		}
	})
}

func TestUnknownOrdersAreNotOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	for _, id := range []string{"hk_aaaaaaaaaaaaaaaaaaaaaaaaaa", "another-shop-1"} {
		key, _, err := w.sim.Pay(tosstest.Order{OrderID: id, OrderName: "x", Amount: tosstest.Amount{Value: 1000}, CustomerKey: "ANONYMOUS",
			SuccessURL: "http://a.example/s", FailURL: "http://a.example/f"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.sim.Capture(key); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	page, _, err := w.nodes[0].store.Events(t.Context(), hook.Filter{Source: "toss"})
	if err != nil || len(page) == 0 {
		t.Fatalf("no hints: %v", err)
	}
	for _, e := range page {
		if e.State != hook.StateDone {
			t.Errorf("event %s: %s", e.ID, e.State)
		}
	}
	if cancels, _ := w.calls("cancel"); cancels != 0 {
		t.Error(fmt.Sprint(cancels, " cancels of another shop's payments"))
	}
}

func TestDeliveriesInAnyOrderOfTheAnswer(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"beforeConfirmAnswers", "contradict", "duplicate", "drop", "truncatedBody", "missingHeaders"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onSQLite(), setup{config: func(c *toss.Config) { c.HintGap = time.Millisecond }})
			w.product("meetup", 15000, 1, false)
			b := w.visit("meetup")
			b.prepare()
			if err := w.sim.Fault("webhook", tosstest.Fault{Action: fault}); err != nil {
				t.Fatal(err)
			}
			_, back := b.authorize("")
			b.land(back)
			w.settle()
			if o := w.orderInfo(b.order); o.State != toss.StatePaid || o.Attention != "" {
				t.Errorf("order: %+v", o.OrderInfo)
			}
			if paid, _ := w.check("meetup"); paid != 1 {
				t.Errorf("%d paid", paid)
			}
		})
	}
}

// TestWhatTheBuyerWasToldStays replays the event of an order that found no seat,
// after a seat has become free: it is not charged after all.
func TestWhatTheBuyerWasToldStays(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("one", 15000, 1, false)
		slow, quick := w.visit("one"), w.visit("one")
		slow.prepare()
		_, back := slow.authorize("")
		w.offset.Add(int64(11 * time.Minute))
		key := quick.buy()
		if _, page := slow.land(back); !strings.Contains(page, "결제하지 않았어요.") {
			t.Fatalf("receipt: %s", page)
		}
		w.must(w.sim.Refund(key, 0, "by hand"))
		w.settle()
		events, _, err := w.nodes[0].store.Events(t.Context(), hook.Filter{Source: "checkout", Subject: slow.order})
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events: %v", len(events), err)
		}
		if _, err := w.nodes[0].store.Replay(t.Context(), events[0].ID, hook.Replay{Reason: "try", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if confirms, _ := w.calls("confirm"); confirms != 1 {
			t.Errorf("%d confirms", confirms)
		}
	})
}

// TestAnOlderAnswerOverwritesNothing holds an answer back until a newer one has
// been written.
func TestAnOlderAnswerOverwritesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b := w.visit("meetup")
		key := b.buy()
		w.settle()
		old, err := w.desk().Answer(t.Context(), b.order) // DONE
		if err != nil {
			t.Fatal(err)
		}
		w.must(w.sim.Refund(key, 0, "by hand"))
		w.settle()
		if err := w.nodes[0].store.Apply(t.Context(), old); err == nil {
			t.Error("the older answer was written")
		}
		if o := w.orderInfo(b.order); o.State != toss.StateRefunded || o.Attention != "" || o.Refunded != 15000 {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		w.check("meetup")
	})
}
