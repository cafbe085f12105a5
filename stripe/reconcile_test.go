package stripe_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// pass lets time pass for us and for Stripe.
func (b *bench) pass(d time.Duration) {
	b.clock.Advance(d)
	b.sim.Advance(d)
}

// round does what the duty does at its turn.
func (b *bench) round() {
	b.Helper()
	if err := b.desk.Department().Duties[0].Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// newest is the newest report.
func (b *bench) newest() stripe.Report {
	b.Helper()
	all, err := b.desk.Reports(b.Context())
	if err != nil || len(all) == 0 {
		b.Fatalf("reports: %d, %v", len(all), err)
	}
	return all[0]
}

// TestReconcilerClosesTheGap: thirty minutes without a delivery, then one round;
// nothing is missing, the report has the right numbers, and what Stripe delivers
// late is a duplicate without a second effect.
func TestReconcilerClosesTheGap(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	t.Parallel()
	for _, first := range []bool{false, true} {
		t.Run(map[bool]string{false: "AfterAnOutage", true: "AtTheFirstStart"}[first], func(t *testing.T) {
			onEngines(t, func(b *bench) {
				b.open(b.keyed)
				if !first {
					bodies, _, _ := b.life(0)
					for _, body := range bodies {
						b.deliver(body)
					}
					b.clock.Advance(b.sim.Now().Sub(b.clock.Now()))
					b.round()
					if r := b.newest(); r.Missed != 0 || r.Listed != 5 {
						t.Errorf("before: got %d missed of %d listed, want 0 of 5", r.Missed, r.Listed)
					}
				}
				var lost [][]byte
				want := map[string]string{}
				for i := 1; i <= 30; i++ { // one life a minute, 150 events: two pages
					bodies, sub, row := b.life(i)
					want[sub] = row
					lost = append(lost, bodies...)
					b.sim.Emit("balance.available", "cus_"+fmt.Sprint(i)) // nobody wants it, so nobody misses it
					b.sim.Advance(55 * time.Second)
				}
				b.clock.Advance(b.sim.Now().Sub(b.clock.Now()))
				b.open(b.keyed) // a new process
				b.work(2)
				b.sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 429, RetryAfter: "0"})
				b.round()
				if r := b.newest(); r.Missed != 150 || len(r.Problems) != 0 {
					t.Errorf("after: got %d missed of %d listed (%v), want 150", r.Missed, r.Listed, r.Problems)
				}
				b.settlePatiently()
				b.wantNone(hook.StateDead, hook.StateWaiting)
				for sub, row := range want {
					if got := b.one(`SELECT `+shownColumns+` FROM subscriptions WHERE subscription_id = $1`, sub); got != row {
						t.Errorf("%s: got %s, want %s", sub, got, row)
					}
				}
				notices := b.one(`SELECT count(*) FROM notifications`)
				for _, body := range lost {
					if r := b.deliver(body); !r.Duplicate || r.Conflict {
						t.Fatalf("a late delivery: got %+v, want a plain duplicate", r)
					}
				}
				b.settle()
				if got := b.one(`SELECT count(*) FROM notifications`); got != notices {
					t.Errorf("late deliveries made %s notices of %s", got, notices)
				}
				b.pass(5 * time.Minute)
				b.round()
				if r := b.newest(); r.Missed != 0 || r.Drifted != 0 {
					t.Errorf("a second round: got %d missed, %d drifted, want none", r.Missed, r.Drifted)
				}
			})
		})
	}
}

// TestCursorOverlapsByKey: two events of one second of which the second shows
// late, and one that shows a minute late: all recorded, once.
func TestCursorOverlapsByKey(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.sim.Put(stripetest.Subscription("sub_c", "cus_c", "u", "active", b.sim.Now(), b.sim.Now().Add(time.Hour)))
		b.round()
		b.sim.Emit("customer.subscription.created", "sub_c")
		b.sim.EmitLate("customer.subscription.updated", "sub_c", 10*time.Second)
		b.sim.EmitLate("customer.subscription.updated", "sub_c", 60*time.Second)
		for range 4 {
			b.pass(31 * time.Second)
			b.round()
		}
		if got := b.one(`SELECT count(*) FROM event_keys WHERE trust = 'sender_api'`); got != "3" {
			t.Errorf("recorded: got %s events, want 3", got)
		}
		asked := len(b.sim.Calls())
		b.pass(time.Minute)
		b.round()
		if n := len(b.sim.Calls()) - asked; n != 1 {
			t.Errorf("a quiet round asked %d times, want once", n)
		}
	})
}

// TestYoungEventsAreLeftToTheirDelivery: only the first round of a process takes
// what may still be on its way.
func TestYoungEventsAreLeftToTheirDelivery(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.round()
		b.sim.Put(stripetest.Subscription("sub_y", "cus_y", "u", "active", b.sim.Now(), b.sim.Now().Add(time.Hour)))
		b.pass(time.Second)
		body := b.sim.Emit("customer.subscription.created", "sub_y")
		b.round()
		if r := b.newest(); r.Missed != 0 {
			t.Errorf("got %d missed, want none: it may be on its way", r.Missed)
		}
		if r := b.deliver(body); r.Duplicate {
			t.Error("its delivery is a duplicate, want it to be the event")
		}
		b.pass(time.Minute)
		b.sim.Emit("customer.subscription.updated", "sub_y")
		b.pass(time.Minute)
		b.round()
		if r := b.newest(); r.Missed != 1 {
			t.Errorf("got %d missed, want the one that nobody delivered", r.Missed)
		}
	})
}

// TestAnInterruptedRoundGoesOn: what fails in the middle is not lost; the window
// is looked at again.
func TestAnInterruptedRoundGoesOn(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		fail := 0
		b.open(func(c *stripe.Config) {
			b.keyed(c)
			c.Record = func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
				if fail--; fail == 0 {
					return hook.Receipt{}, errors.New("the disk is full")
				}
				return b.record(ctx, d, id)
			}
		})
		for i := range 4 {
			b.life(i)
			b.sim.Advance(time.Hour)
		}
		b.clock.Advance(b.sim.Now().Sub(b.clock.Now()))
		fail = 13
		r, err := b.desk.Reconcile(t.Context(), stripe.Look{})
		if err == nil || r.Missed != 12 || len(r.Problems) != 1 {
			t.Errorf("first: got %d missed, %v, %v, want 12 and the failure", r.Missed, err, r.Problems)
		}
		r, err = b.desk.Reconcile(t.Context(), stripe.Look{})
		if err != nil || r.Missed != 8 {
			t.Errorf("second: got %d missed, %v, want the other 8", r.Missed, err)
		}
	})
}

// TestDriftIsRepaired: a row that is not what Stripe says, one that is marked
// unsure and one that is missing are put right by their handler.
func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		now := b.sim.Now()
		for _, sub := range []string{"sub_right", "sub_wrong", "sub_unsure"} {
			b.sim.Put(stripetest.Subscription(sub, "cus_"+sub, "u_"+sub, "incomplete", now, now.Add(time.Hour)))
			b.deliver(b.sim.Emit("customer.subscription.created", sub))
		}
		b.sim.Advance(time.Second)
		b.deliver(b.sim.Change("customer.subscription.updated", "sub_unsure", stripetest.Object{"status": "active"}))
		b.deliver(b.sim.Change("customer.subscription.updated", "sub_unsure", stripetest.Object{"status": "incomplete"}))
		b.settle()
		b.sim.Change("customer.subscription.updated", "sub_wrong", stripetest.Object{"status": "active"}) // never delivered, long ago
		b.sim.Put(stripetest.Subscription("sub_missing", "cus_m", "u_m", "trialing", now, now.Add(time.Hour)))
		b.sim.Put(stripetest.Subscription("sub_old", "cus_o", "u_o", "canceled", now, now.Add(time.Hour)))
		b.stop()
		b.pass(40 * 24 * time.Hour)
		b.open(b.keyed)
		b.work(2)
		b.round()
		r := b.newest()
		if r.Checked != 5 || r.Drifted != 3 || r.Missed != 0 {
			t.Errorf("got %d drifted of %d checked, %d missed, want 3 of 5 and none", r.Drifted, r.Checked, r.Missed)
		}
		b.settle()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		got := strings.Join(b.rows(`SELECT subscription_id, status, unsure FROM subscriptions ORDER BY subscription_id`), " ")
		if want := "sub_missing|trialing|0 sub_right|incomplete|0 sub_unsure|incomplete|0 sub_wrong|active|0"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r, err := b.desk.Reconcile(t.Context(), stripe.Look{All: true})
		if err != nil || r.Drifted != 0 {
			t.Errorf("again: got %d drifted, %v, want none", r.Drifted, err)
		}
	})
}

// TestReconcileOperations: what an operator asks for.
func TestReconcileOperations(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.life(1)
		b.clock.Advance(b.sim.Now().Sub(b.clock.Now()))
		ops := map[string]hook.Operation{}
		for _, o := range b.desk.Department().Operations {
			ops[o.Method+" "+o.Path] = o
			if !json.Valid(o.Doc) {
				t.Errorf("%s: its Doc is no JSON", o.Path)
			}
		}
		post := ops["POST reconcile/stripe"]
		ask := func(body string) (any, error) {
			return post.Handle(httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body)))
		}
		got, err := ask(`{"all": true}`)
		if r, ok := got.(stripe.Report); err != nil || !ok || r.Missed != 5 {
			t.Errorf("got %+v, %v, want 5 missed", got, err)
		}
		if _, err := ask(`{"since": "yesterday"}`); err == nil {
			t.Error("a time that is none: taken")
		}
		for _, id := range []string{"usr_1", "nobody"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/"+url.PathEscape(id), nil)
			r.SetPathValue("id", id)
			a, err := ops["GET users/{id}/access"].Handle(r)
			if access, ok := a.(stripe.Access); err != nil || !ok || access.UserID != id || access.HasAccess {
				t.Errorf("access of %s: got %+v, %v", id, a, err)
			}
		}
		without, err := stripe.New(stripe.Config{Source: b.source, Store: b.store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := without.Reconcile(t.Context(), stripe.Look{}); !errors.Is(err, stripe.ErrNoKey) {
			t.Errorf("without a key: got %v", err)
		}
		if n := len(without.Department().Operations); n != 4 {
			t.Errorf("without a key there are %d operations, want four: nothing can be reconciled", n)
		}
	})
}
