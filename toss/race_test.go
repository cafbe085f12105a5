package toss_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// crowd sends buyers at a product, all at once: each prepares, authenticates and
// comes back, some twice, some late, some have their page lost and take another
// order; Toss's deliveries arrive beside them, and some are given their money
// back. It returns when the last one has gone.
func (w *world) crowd(product string, buyers int) {
	w.Helper()
	var all sync.WaitGroup
	for i := range buyers {
		all.Go(func() {
			b, err := w.tryVisit(product, i)
			if err != nil {
				w.Error(err)
				return
			}
			w.shop(b, i)
		})
	}
	all.Wait()
}

// shop is one buyer of a crowd.
func (w *world) shop(b *buyer, i int) {
	if code := b.prepare(); code != "" {
		if code != "SOLD_OUT" && code != "ORDER_SUPERSEDED" && code != "UNAVAILABLE" { // it was swept, or the machine is busy
			w.Errorf("prepare: %s", code)
		}
		if i%10 != 0 {
			return
		}
		// One in ten has a page that pays all the same.
	}
	key, back := b.authorize("")
	if i%3 == 0 {
		// The page is lost; a second attempt with an order of its own.
		if status, _ := b.again(2, "request"); status == 201 && b.prepare() == "" {
			_, second := b.authorize("")
			b.land(second)
		}
	}
	b.land(back)
	switch i % 7 {
	case 0:
		b.land(back)
	case 1:
		_ = w.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: tosstest.StatusCanceled})
	case 2:
		_, _ = w.sim.Refund(key, 0, "by hand") // fails where nothing was captured
	}
}

func TestTenSeatsTwoHundredBuyers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{nodes: 3, config: func(c *toss.Config) { c.RedirectWait = time.Second }})
		w.product("meetup", 15000, 10, false)
		stop := make(chan struct{})
		var sweeping sync.WaitGroup
		sweeping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// Holds end in mid-payment: minutes pass for the shop each time.
				w.offset.Add(int64(2 * time.Minute))
				if err := errors.Join(w.desk().Sweep(t.Context()), w.desk().WorkRefunds(t.Context())); err != nil {
					t.Error(err)
				}
				w.breathe(30 * time.Millisecond)
			}
		})
		w.crowd("meetup", 200)
		close(stop)
		sweeping.Wait()
		w.later(2 * time.Hour)
		w.finish()
		paid, _ := w.check("meetup")
		if paid == 0 {
			t.Error("nobody has bought anything")
		}
		p, err := w.desk().Product(t.Context(), "meetup")
		if err != nil {
			t.Fatal(err)
		}
		if int64(paid) != p.Taken {
			t.Errorf("%d paid, %d taken after all holds have ended", paid, p.Taken)
		}
		if e.name == "postgres" {
			if n := pgtest.Deadlocks(t); n > 0 {
				t.Errorf("%d deadlocks in the server's log", n)
			}
		}
		_, captures := w.calls("confirm")
		t.Logf("%d captures, %d paid, %d seats taken", captures, paid, p.Taken)
	})
}

// breathe lets others run for a moment.
func (w *world) breathe(d time.Duration) {
	pause := time.NewTimer(d)
	defer pause.Stop()
	<-pause.C
}

// finish works everything until nothing is open.
func (w *world) finish() {
	w.Helper()
	for range 4 {
		w.settle()
		for _, duty := range []func(context.Context) error{w.desk().Sweep, w.desk().WorkRefunds, func(ctx context.Context) error {
			_, err := w.desk().Reconcile(ctx)
			return err
		}} {
			if err := duty(w.Context()); err != nil {
				w.Error(err)
			}
		}
		w.later(5 * time.Minute)
	}
}

func TestHoldEndsWhileTheBuyerPays(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("one", 15000, 1, false)
		slow, quick := w.visit("one"), w.visit("one")
		if code := slow.prepare(); code != "" {
			t.Fatal(code)
		}
		if code := quick.prepare(); code != "SOLD_OUT" {
			t.Fatalf("the held seat: %q", code)
		}
		_, back := slow.authorize("")
		w.offset.Add(int64(11 * time.Minute)) // the shop's clock only: the payment can still be confirmed
		quick.buy()
		status, page := slow.land(back)
		if status != 200 || !strings.Contains(page, "좌석이 마감되어 결제하지 않았어요.") {
			t.Errorf("receipt: %d %s", status, page)
		}
		if o := w.orderInfo(slow.order); o.State != toss.StateAuthorized || o.Reason != "no_seat" {
			t.Errorf("order: %+v", o.OrderInfo)
		}
		if confirms, _ := w.calls("confirm"); confirms != 1 {
			t.Errorf("%d confirms", confirms)
		}
		w.later(time.Hour)
		w.finish()
		if o := w.orderInfo(slow.order); o.State != toss.StateExpired {
			t.Errorf("in the end: %s", o.State)
		}
		w.check("one")
	})
}

func TestAFreeSeatIsTakenAgainAfterTheHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("one", 15000, 1, false)
		b := w.visit("one")
		if code := b.prepare(); code != "" {
			t.Fatal(code)
		}
		_, back := b.authorize("")
		w.offset.Add(int64(11 * time.Minute))
		if err := w.desk().Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p, err := w.desk().Product(t.Context(), "one"); err != nil || p.Taken != 0 {
			t.Fatalf("the hold did not end: %+v %v", p, err)
		}
		b.land(back)
		w.state(b.order, toss.StatePaid)
		w.check("one")
	})
}

func TestOneEachHoldsAcrossPurchases(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{nodes: 3})
		w.product("meetup", 15000, 10, true)
		var backs []string
		var buyers []*buyer
		for range 5 {
			var made struct{ Checkout, URL string }
			if status := w.op("POST", "checkouts", map[string]any{"product": "meetup", "buyer": "user-1"}, &made); status != 200 {
				t.Fatalf("checkouts: %d", status)
			}
			b := w.follow(made.Checkout)
			if code := b.prepare(); code != "" {
				t.Fatal(code)
			}
			_, back := b.authorize("")
			backs, buyers = append(backs, back), append(buyers, b)
		}
		var all sync.WaitGroup
		for i, b := range buyers {
			all.Go(func() { b.land(backs[i]) })
		}
		all.Wait()
		w.settle()
		if paid, refunded := w.check("meetup"); paid != 1 || refunded != 0 {
			t.Errorf("%d paid, %d refunded", paid, refunded)
		}
		if _, captures := w.calls("confirm"); captures != 1 {
			t.Errorf("%d captures", captures)
		}
		late := w.visit("meetup") // a guest has no name: it may
		if code := late.prepare(); code != "" {
			t.Errorf("a guest: %s", code)
		}
		var made struct{ Checkout string }
		w.op("POST", "checkouts", map[string]any{"product": "meetup", "buyer": "user-1"}, &made)
		if code := w.follow(made.Checkout).prepare(); code != "ALREADY_APPLIED" {
			t.Errorf("the same buyer: %q", code)
		}
	})
}

// brittle is a store that fails now and then before or after a change is
// committed, as a process that is killed there would.
type brittle struct {
	hook.Applier
	chance int
	failed *atomic.Int64
	mu     *sync.Mutex
	rand   *rand.Rand
}

var errKilled = errors.New("killed here")

func (b brittle) Apply(ctx context.Context, effect hook.Effect) error {
	b.mu.Lock()
	n := b.rand.IntN(b.chance)
	b.mu.Unlock()
	switch n {
	case 0:
		b.failed.Add(1)
		return errKilled
	case 1:
		b.failed.Add(1)
		return errors.Join(b.Applier.Apply(ctx, effect), errKilled)
	}
	return b.Applier.Apply(ctx, effect)
}

func TestKillsAtAnyStepLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		var failed atomic.Int64
		fail := func(a hook.Applier) hook.Applier {
			return brittle{a, 6, &failed, new(sync.Mutex), rand.New(rand.NewPCG(1, 2))}
		}
		w := newWorld(t, e, setup{nodes: 2, applier: fail, config: func(c *toss.Config) {
			c.RedirectWait, c.ConfirmTimeout = 200*time.Millisecond, 300*time.Millisecond
		}})
		for {
			p := toss.Product{ID: "meetup", Name: "m", Price: 15000, Seats: new(int64(3))}
			if _, err := w.desk().AddProduct(t.Context(), p); err == nil || !errors.Is(err, errKilled) {
				break
			}
		}
		for _, fault := range []string{"timeoutAfterCommit", "500", "reset", "timeoutBeforeCommit", "resetAfterCommit"} {
			if err := errors.Join(w.sim.Fault("confirm", tosstest.Fault{Action: fault}),
				w.sim.Fault("cancel", tosstest.Fault{Action: fault}), w.sim.Fault("get", tosstest.Fault{Action: "ok"}, tosstest.Fault{Action: "500"})); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				b, err := w.tryVisit("meetup", i)
				if err != nil {
					return // the shop was down: nothing happened
				}
				for range 3 {
					if b.prepare() == "" {
						break
					}
				}
				key, back := b.authorize("")
				b.land(back)
				b.land(back)
				if i >= 9 {
					_, _ = w.sim.Capture(key) // behind our back
				}
			})
		}
		all.Wait()
		w.sim.ReleaseHung()
		w.calm(20)
		w.check("meetup")
		if failed.Load() == 0 {
			t.Error("nothing was killed")
		}
	})
}

// calm runs the duties until they have nothing more to do, although they fail
// now and then.
func (w *world) calm(rounds int) {
	w.Helper()
	for range rounds {
		if err := w.sim.Flush(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.idle()
		_ = w.desk().Sweep(w.Context())       // fails now and then: that is the test
		_ = w.desk().WorkRefunds(w.Context()) // the same
		_, _ = w.desk().Reconcile(w.Context())
		w.later(20 * time.Minute)
	}
}

// TestCriticalLogHasWhatAPersonNeeds reads the line about a payment that found no
// seat.
func TestCriticalLogHasWhatAPersonNeeds(t *testing.T) {
	t.Parallel()
	var lines syncBuffer
	w := newWorld(t, onSQLite(), setup{config: func(c *toss.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	}})
	w.product("one", 15000, 1, false)
	w.visit("one").buy()
	late := w.visit("one")
	key, _ := late.authorize("")
	w.must(w.sim.Capture(key))
	w.settle()
	found := false
	for line := range strings.SplitSeq(lines.String(), "\n") {
		if !strings.Contains(line, "paid without a seat") {
			continue
		}
		found = true
		for _, want := range []string{`"level":"ERROR"`, late.order, late.cid, key, `"product":"one"`, `"amount":15000`, `"captured":15000`} {
			if !strings.Contains(line, want) {
				t.Errorf("the line lacks %s: %s", want, line)
			}
		}
	}
	if !found {
		t.Error("no critical line")
	}
	p, _ := w.sim.Payment(key)
	for _, secret := range []string{secretKey, p.Card.Number, p.Card.ApproveNo, "Basic "} {
		if strings.Contains(lines.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// syncBuffer is a buffer for many writers.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
