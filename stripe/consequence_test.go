package stripe_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// TestConsequencesNameTheirCause: each has the number of the event that led to
// it, and the generation of the job.
func TestConsequencesNameTheirCause(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		box := &outbox{}
		b.open(func(c *stripe.Config) { c.Channels = []stripe.Channel{{Name: "mail", Sender: box}} })
		b.work(1)
		bodies, _, _ := b.life(1)
		for _, body := range bodies {
			b.deliver(body)
		}
		b.settlePatiently()
		for handler, want := range map[string]int{"stripe-told": 5, "stripe-notices": 5, "stripe-notify-mail": 5} {
			if got := b.one(`SELECT count(*), count(DISTINCT c.seq) FROM consequences c JOIN event_keys k ON k.seq = c.seq
				WHERE c.handler = $1 AND c.generation = 1 AND k.source = 'stripe'`, handler); got != fmt.Sprintf("%[1]d|%[1]d", want) {
				t.Errorf("%s: got %s that name an event of theirs, want %d", handler, got, want)
			}
		}
		if got := b.one(`SELECT count(*) FROM consequences c JOIN event_keys k ON k.seq = c.seq
			WHERE c.handler = 'stripe-told' AND c.key = k.key AND c.scope = k.source || '/' || k.mode`); got != "5" {
			t.Errorf("got %s that name the very event, want 5", got)
		}
	})
}

// stalled is a Tx in which one statement does not get on.
type stalled struct {
	hook.Tx
	statement string
	until     <-chan struct{}
}

func (s *stalled) ExecContext(ctx context.Context, query string, args ...any) (sqlResult, error) {
	if strings.Contains(query, s.statement) {
		<-s.until
	}
	return s.Tx.ExecContext(ctx, query, args...)
}

// TestAnEffectMayRunBesideItself: one that was cut by its budget goes on in its
// goroutine while the next run is taken. The race detector looks at what the two
// share, and nothing of the first is kept.
func TestAnEffectMayRunBesideItself(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(func(c *stripe.Config) { c.Now = time.Now }) // the clock of tests has a lock, which would hide a race
		bodies, sub, _ := b.life(1)
		for _, body := range bodies {
			b.deliver(body)
		}
		for name, statement := range map[string]string{"stripe-subscriptions": "INSERT INTO subscriptions", "stripe-notices": "INSERT INTO notifications"} {
			handler := b.routeOf(name)
			job := b.claim(hook.Ask{Handlers: []string{name}, Lease: time.Minute, Max: 1, MaxAttempts: 12, Node: "a"})
			effect, err := handler.Handle(hook.WithJob(t.Context(), job), job.Event)
			if err != nil || effect == nil {
				t.Fatalf("%s: got effect %t, %v", name, effect != nil, err)
			}
			until, ended := make(chan struct{}), make(chan error, 1)
			err = b.store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
				err := effect(ctx, &stalled{tx, statement, until})
				ended <- err
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "too slow") {
				t.Fatalf("%s: got %v, want it cut by its budget", name, err)
			}
			if err := b.store.Finish(t.Context(), job, effect); err != nil {
				t.Errorf("%s: the next run: %v", name, err)
			}
			close(until)
			if err := <-ended; err == nil {
				t.Errorf("%s: the run that was cut has written", name)
			}
		}
		if got := b.one(`SELECT count(*) FROM subscriptions WHERE subscription_id = $1`, sub); got != "1" {
			t.Errorf("got %s rows of the subscription", got)
		}
		if got := b.one(`SELECT count(*) FROM notifications`); got != "1" {
			t.Errorf("got %s notices, want one", got)
		}
	})
}

// TestWhatAUserWasTold: the operation beside the one of the access.
func TestWhatAUserWasTold(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(1)
		bodies, _, _ := b.life(1)
		for _, body := range bodies {
			b.deliver(body)
			b.settle()
			b.clock.Advance(time.Second)
		}
		b.apply(`UPDATE notifications SET read_at = created_at WHERE kind = 'invoice.paid'`)
		var told hook.Operation
		for _, o := range b.desk.Department().Operations {
			if o.Path == "users/{id}/notifications" {
				told = o
			}
		}
		for id, want := range map[string]string{"nobody": "",
			"usr_1": "subscription.ended subscription.cancel_scheduled subscription.activated invoice.paid* subscription.created"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.SetPathValue("id", id)
			answer, err := told.Handle(r)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, n := range answer.([]stripe.Notification) {
				if n.ReadAt != nil {
					n.Kind += "*"
				}
				if kinds = append(kinds, n.Kind); n.Title == "" || n.CreatedAt.IsZero() || !strings.Contains(string(n.Data), `"texts"`) {
					t.Errorf("got %+v, want a title, a time and both texts", n)
				}
			}
			if got := strings.Join(kinds, " "); got != want {
				t.Errorf("%s was told %q, want %q", id, got, want)
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.SetPathValue("id", strings.Repeat("u", 256))
		if _, err := told.Handle(r); err == nil {
			t.Error("an id of 256 bytes: taken")
		}
	})
}

// TestHealthSaysHowBillingIs: from nothing to a refused key.
func TestHealthSaysHowBillingIs(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		look := func() stripe.Health {
			t.Helper()
			h, err := stripe.HealthOf(t.Context(), b.store, "stripe")
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		if h := look(); !h.Known || h.Last != nil || h.Unsure != 0 {
			t.Errorf("at first: got %+v, want tables and nothing in them", h)
		}
		b.life(1)
		b.clock.Advance(b.sim.Now().Sub(b.clock.Now()))
		b.round()
		if h := look(); h.Last == nil || h.Last.Missed != 5 || h.Last.KeyRefused {
			t.Errorf("after a round: got %+v", h.Last)
		}
		b.pass(time.Minute)
		b.sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 403, Times: -1})
		asked := len(b.sim.Calls())
		if _, err := b.desk.Reconcile(t.Context(), stripe.Look{}); err == nil {
			t.Error("a key that is refused: no error")
		}
		if n := len(b.sim.Calls()) - asked; n != 1 {
			t.Errorf("a refused key was tried %d times, want once a round", n)
		}
		if h := look(); !h.Last.KeyRefused {
			t.Errorf("with a refused key: got %+v", h.Last)
		}
		b.apply(`UPDATE billing_reports SET source = 'other'`)
		if h := look(); h.Last != nil {
			t.Errorf("another source's report: got %+v", h.Last)
		}
		if !stripe.WaitsForUser("customer cus_1: no user is known: set …") || stripe.WaitsForUser("payment pi_1: who paid is not known yet") {
			t.Error("the causes of waiting are confused")
		}
	})
}
