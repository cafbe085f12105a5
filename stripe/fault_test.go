package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

var errOrdered = errors.New("ordered to fail")

// TestFailingAtEachStepIsExactlyOnce: every handler fails before it works, after
// it has worked, in the middle of its effect, after all writes of it, and by a
// panic; a redelivery comes in between.
func TestFailingAtEachStepIsExactlyOnce(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		t.Run(map[bool]string{false: "EventsAlone", true: "WithAPIKey"}[keyed], func(t *testing.T) {
			t.Parallel()
			onEngines(t, func(b *bench) { failAtEachStep(b, keyed) })
		})
	}
}

func failAtEachStep(b *bench, keyed bool) {
	t := b.T
	b.open(nil)
	if keyed {
		b.open(b.keyed)
	}
	for i := range b.routes {
		b.routes[i].Handler = failingAtEachStep(b.routes[i].Handler)
	}
	b.work(2)
	bodies, sub, want := b.life(1)
	for _, body := range bodies {
		b.deliver(body)
		b.deliver(body)
	}
	b.settle()
	for _, body := range bodies {
		b.deliver(body)
	}
	b.settle()
	b.wantNone(hook.StateDead, hook.StateWaiting)
	if got := b.one(`SELECT `+shownColumns+` FROM subscriptions WHERE subscription_id = $1`, sub); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := b.one(`SELECT count(*) FROM notifications`); got != "5" {
		t.Errorf("got %s notices, want 5", got)
	}
	// A replay is a new generation: effects again, consequences not. The
	// application has meanwhile deleted what was read.
	if err := b.store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM notifications`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	page, _, err := b.store.Events(t.Context(), hook.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		if _, err := b.store.Replay(t.Context(), e.ID, hook.Replay{Reason: "test", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	b.settle()
	if got := b.one(`SELECT count(*) FROM notifications`); got != "0" {
		t.Errorf("after a replay: got %s notices, want none told again", got)
	}
	if got := b.one(`SELECT `+shownColumns+` FROM subscriptions WHERE subscription_id = $1`, sub); got != want {
		t.Errorf("after a replay: got %s, want %s", got, want)
	}
}

// failingAtEachStep fails the first six attempts, each at another step.
func failingAtEachStep(inner hook.Handler) hook.Handler {
	return hook.HandlerFunc(func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
		attempt := hook.JobOf(ctx).Attempt
		if attempt == 1 {
			return nil, errOrdered
		}
		effect, err := inner.Handle(ctx, e)
		if err != nil || attempt == 2 {
			return nil, errors.Join(errOrdered, err)
		}
		return func(ctx context.Context, tx hook.Tx) error {
			switch attempt {
			case 3:
				tx = &failing{Tx: tx, after: 1}
			case 4:
				tx = &failing{Tx: tx, after: 2}
			}
			if err := effect(ctx, tx); err != nil {
				return err
			}
			switch attempt {
			case 5:
				return errOrdered
			case 6:
				panic("ordered to panic")
			}
			return nil
		}, nil
	})
}

// failing is a Tx whose writes fail after so many.
type failing struct {
	hook.Tx
	after int
}

func (f *failing) ExecContext(ctx context.Context, query string, args ...any) (res sqlResult, err error) {
	if f.after--; f.after < 0 {
		return nil, errOrdered
	}
	return f.Tx.ExecContext(ctx, query, args...)
}

// TestSlowReQueryCannotWin: two attempts fetch at the same time, as after a lost
// lease; the one that has read the older state comes last and writes nothing.
func TestSlowReQueryCannotWin(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.sim.Put(stripetest.Subscription("sub_s", "cus_s", "u", "incomplete", b.sim.Now(), b.sim.Now().Add(time.Hour)))
		b.deliver(b.sim.Emit("customer.subscription.created", "sub_s"))
		handler := b.routeOf("stripe-subscriptions")
		ask := hook.Ask{Handlers: []string{"stripe-subscriptions"}, Lease: 30 * time.Second, Max: 1, MaxAttempts: 12, Node: "a"}
		slow := b.claim(ask)

		read, goOn := make(chan struct{}), make(chan struct{})
		b.sim.Fail(stripetest.Fault{Path: "/v1/subscriptions", Gate: func(string) { close(read); <-goOn }})
		type outcome struct {
			effect hook.Effect
			err    error
		}
		late := make(chan outcome, 1)
		go func() {
			effect, err := handler.Handle(hook.WithJob(t.Context(), slow), slow.Event)
			late <- outcome{effect, err}
		}()
		<-read // the old state has been read, and is on its way

		b.sim.Change("customer.subscription.updated", "sub_s", stripetest.Object{"status": "active"})
		b.clock.Advance(time.Minute) // the slow one's lease lapses
		ask.Node = "b"
		fast := b.claim(ask)
		effect, err := handler.Handle(hook.WithJob(t.Context(), fast), fast.Event)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Finish(t.Context(), fast, effect); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		o := <-late
		if o.err != nil {
			t.Fatal(o.err)
		}
		if err := b.store.Finish(t.Context(), slow, o.effect); !errors.Is(err, hook.ErrLeaseLost) {
			t.Errorf("finish of the slow attempt: got %v, want its lease lost", err)
		}
		// Even without the fence the row's revision refuses it.
		if err := b.store.Apply(t.Context(), o.effect); err == nil {
			t.Error("the slow attempt's effect was taken, want it refused: the row was written since it read")
		}
		if got := b.one(`SELECT status FROM subscriptions`); got != "active" {
			t.Errorf("got %s, want what the faster one read", got)
		}
	})
}

func (b *bench) routeOf(name string) hook.Handler {
	b.Helper()
	for _, r := range b.routes {
		if r.Name == name {
			return r.Handler
		}
	}
	b.Fatalf("no route %s", name)
	return nil
}

func (b *bench) claim(ask hook.Ask) *hook.Job {
	b.Helper()
	jobs, err := b.store.Claim(b.Context(), ask)
	if err != nil || len(jobs) != 1 {
		b.Fatalf("claim: got %d jobs, %v, want 1", len(jobs), err)
	}
	return jobs[0]
}

// TestTheSenderFails: what goes wrong at Stripe is tried again, and nothing is
// written meanwhile.
func TestTheSenderFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]stripetest.Fault{
		"Status500":        {Status: 500},
		"TooManyRequests":  {Status: 429, RetryAfter: "7"},
		"Garbage":          {Garbage: true},
		"CutInTheMiddle":   {Cut: true},
		"WrongKey":         {Status: 401},
		"TooManyUnnamed":   {Status: 429},
		"Unavailable":      {Status: 503, RetryAfter: "Wed, 21 Oct 2026 07:28:00 GMT"},
		"RedirectedAbroad": {Status: 302},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEngines(t, func(b *bench) {
				b.open(b.keyed)
				b.sim.Put(stripetest.Subscription("sub_f", "cus_f", "u", "active", b.sim.Now(), b.sim.Now().Add(time.Hour)))
				id := b.deliver(b.sim.Emit("customer.subscription.created", "sub_f")).EventID
				mine := fault // the engines run at the same time
				mine.Path = "/v1/subscriptions"
				b.sim.Fail(mine)
				handler := b.routeOf("stripe-subscriptions")
				ask := hook.Ask{Handlers: []string{"stripe-subscriptions"}, Lease: 30 * time.Second, Max: 1, MaxAttempts: 12, Node: "a"}
				job := b.claim(ask)
				_, err := handler.Handle(hook.WithJob(t.Context(), job), job.Event)
				if err == nil || hook.Permanent(err) {
					t.Fatalf("got %v, want an error that is tried again", err)
				}
				if away := name != "WrongKey" && name != "RedirectedAbroad"; errors.Is(err, hook.ErrUnavailable) != away {
					t.Errorf("unavailable is %t, want %t: %v", !away, away, err)
				}
				wait, named := hook.Delay(err)
				if want := map[string]time.Duration{"TooManyRequests": 7 * time.Second, "TooManyUnnamed": 5 * time.Second}[name]; wait != want || named != (want > 0) {
					t.Errorf("wait: got %s, %t, want %s", wait, named, want)
				}
				if err := b.store.Retry(t.Context(), job, 0, hook.Cause{Text: err.Error()}); err != nil {
					t.Fatal(err)
				}
				if got := b.one(`SELECT count(*) FROM subscriptions`); got != "0" {
					t.Errorf("got %s rows after a failure", got)
				}
				b.work(1)
				b.settle()
				if e, err := b.store.Event(t.Context(), id); err != nil || e.State != hook.StateDone {
					t.Errorf("got %v, %v, want it done in the end: %s", e, err, b.causes(hook.StateDead))
				}
			})
		})
	}
}

// TestTheOtherModeHasNoEffect: a test event at a live source is recorded and
// quarantined, and no table knows of it.
func TestTheOtherModeHasNoEffect(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		live := true
		s, err := source.New(source.Config{Name: "stripe", Sender: "stripe", Secrets: []string{secret}, Live: &live})
		if err != nil {
			t.Fatal(err)
		}
		b.source = s
		b.open(nil)
		b.work(1)
		bodies, _, _ := b.life(1) // livemode is false
		for _, body := range bodies {
			r := b.deliver(body)
			if r.Quarantine != hook.QuarantineMode {
				t.Errorf("got quarantine %q, want mode", r.Quarantine)
			}
		}
		b.settle()
		for _, table := range []string{"subscriptions", "notifications", "customers"} {
			if got := b.one(fmt.Sprintf(`SELECT count(*) FROM %s`, table)); got != "0" {
				t.Errorf("%s has %s rows, want none", table, got)
			}
		}
	})
}

// TestNoHintIsBelieved: the routes take no event without evidence.
func TestNoHintIsBelieved(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(func(c *stripe.Config) { c.Channels = []stripe.Channel{{Name: "x", Sender: senderFunc(nil)}} })
		for _, r := range b.routes {
			for _, trust := range []hook.Trust{hook.TrustHint, hook.TrustToken, hook.TrustSecret} {
				if r.Wants("stripe", "invoice.paid", trust) || r.Wants("stripe", "customer.created", trust) {
					t.Errorf("route %s takes events of trust %s", r.Name, trust)
				}
			}
		}
		if len(b.routes) != 5 {
			t.Errorf("got %d routes, want 5", len(b.routes))
		}
	})
}
