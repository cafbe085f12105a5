package stripe_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// outbox is a channel that takes everything, or fails on order.
type outbox struct {
	mu    sync.Mutex
	fail  int // that many times, at first
	tried []stripe.Notice
	sent  []stripe.Notice
}

func (o *outbox) Send(_ context.Context, n stripe.Notice) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tried = append(o.tried, n)
	if o.fail > 0 {
		o.fail--
		return errors.New("421 try later")
	}
	o.sent = append(o.sent, n)
	return nil
}

// TestEachChannelHasItsOwnRetries: one that is down holds up neither the tables
// nor another; each notice goes out once, under one key, whatever events tell it.
func TestEachChannelHasItsOwnRetries(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		good, poor := &outbox{}, &outbox{fail: 7}
		b.open(func(c *stripe.Config) {
			c.Channels = []stripe.Channel{{Name: "mail", Sender: good}, {Name: "chat", Sender: poor, Kinds: "invoice.*"}}
		})
		b.work(2)
		bodies, _, _ := b.life(1)
		for _, body := range bodies {
			b.deliver(body)
		}
		b.sim.Put(stripetest.Object{"id": "cus_1", "object": "customer", "email": "one@example.com"})
		b.deliver(b.sim.Emit("customer.updated", "cus_1"))
		b.deliver(b.sim.Emit("invoice.payment_succeeded", "in_1"))
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		var kinds []string
		keys := map[string]bool{}
		for _, n := range good.sent {
			kinds = append(kinds, n.Kind)
			keys[n.Key] = true
		}
		slices.Sort(kinds)
		want := []string{"invoice.paid", "subscription.activated", "subscription.cancel_scheduled", "subscription.created", "subscription.ended"}
		if !slices.Equal(kinds, want) || len(keys) != 5 {
			t.Errorf("mail: got %v under %d keys, want %v under 5", kinds, len(keys), want)
		}
		if len(poor.sent) != 1 || len(poor.tried) != 8 {
			t.Fatalf("chat: got %d sent of %d tries, want 1 of 8", len(poor.sent), len(poor.tried))
		}
		for _, n := range poor.tried {
			if n.Key != poor.sent[0].Key || n.Kind != "invoice.paid" || n.UserID != "usr_1" {
				t.Errorf("a try was %+v, want the one notice under its one key", n)
			}
		}
		// A replay sends nothing again.
		page, _, err := b.store.Events(t.Context(), hook.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if _, err := b.store.Replay(t.Context(), e.ID, hook.Replay{Reason: "test", Actor: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		b.settlePatiently()
		if len(good.sent) != 5 || len(poor.sent) != 1 {
			t.Errorf("after a replay: got %d and %d sent, want 5 and 1", len(good.sent), len(poor.sent))
		}
	})
}

// TestAccess: what a user may use, until when and why.
func TestAccess(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.clock.Advance(time.Since(b.clock.Now())) // the view asks the database what time it is
		b.open(func(c *stripe.Config) { c.Grace = 5 * 24 * time.Hour })
		if err := b.desk.Department().Duties[0].Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.work(2)
		now, day := b.clock.Now().Truncate(time.Second), 24*time.Hour
		add := func(user, status string, start, end time.Time, more stripetest.Object) {
			o := stripetest.Subscription("sub_"+user+"_"+status, "cus_"+user, user, status, start, end)
			for k, v := range more {
				o[k] = v
			}
			b.sim.Put(o)
			b.deliver(b.sim.Emit("customer.subscription.created", o["id"].(string)))
		}
		add("alice", "active", now.Add(-day), now.Add(10*day), nil)
		add("bob", "active", now.Add(-day), now.Add(10*day), stripetest.Object{"cancel_at_period_end": true})
		add("carol", "past_due", now.Add(-2*day), now.Add(28*day), nil)
		add("dave", "past_due", now.Add(-6*day), now.Add(24*day), nil)
		add("erin", "canceled", now.Add(-6*day), now.Add(24*day), nil)
		add("frank", "canceled", now.Add(-6*day), now.Add(24*day), nil)
		add("frank", "trialing", now.Add(-6*day), now.Add(3*day), nil)
		add("grace", "active", now.Add(-40*day), now.Add(-10*day), nil)
		add("heidi", "unpaid", now.Add(-6*day), now.Add(24*day), nil)
		add("ivan", "active", now.Add(-30*day), now.Add(-time.Hour), nil) // renews; the news is late
		add("judy", "past_due", now.Add(-6*day), now.Add(24*day), stripetest.Object{"latest_invoice": "in_judy"})
		b.sim.Put(stripetest.Invoice("in_judy", "sub_judy_past_due", "cus_judy", "judy", "open", 1, now.Add(-day)))
		b.deliver(b.sim.Emit("invoice.payment_failed", "in_judy"))
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		for _, want := range []struct {
			user, why string
			has       bool
			until     time.Time
		}{
			{"alice", "active", true, now.Add(11 * day)}, {"bob", "active", true, now.Add(10 * day)}, {"carol", "grace", true, now.Add(3 * day)},
			{"dave", "ended", false, now.Add(-day)}, {"erin", "canceled", false, time.Time{}}, {"frank", "trialing", true, now.Add(4 * day)},
			{"grace", "ended", false, now.Add(-9 * day)}, {"heidi", "unpaid", false, time.Time{}}, {"ivan", "active", true, now.Add(23 * time.Hour)},
			{"judy", "grace", true, now.Add(4 * day)}, {"nobody", "none", false, time.Time{}},
		} {
			a, err := b.desk.AccessOf(t.Context(), want.user)
			if err != nil {
				t.Fatal(err)
			}
			var until time.Time
			if a.Until != nil {
				until = *a.Until
			}
			if a.HasAccess != want.has || a.Why != want.why || !until.Equal(want.until) {
				t.Errorf("%s: got %t, %s until %s, want %t, %s until %s", want.user, a.HasAccess, a.Why, until, want.has, want.why, want.until)
			}
		}
		// The view alone says the same to an application that joins it.
		got := strings.Join(b.rows(`SELECT DISTINCT user_id FROM access WHERE has_access = TRUE ORDER BY user_id`), " ")
		if got != "alice bob carol frank ivan judy" {
			t.Errorf("the view lets in %s", got)
		}
	})
}
