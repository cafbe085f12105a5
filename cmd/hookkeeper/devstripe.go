package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// devStripe is the double of Stripe that runs beside dev, so that billing can be
// tried without an account and with the network off. It knows what its events
// have told: billing asks it for the same objects that were sent.
type devStripe struct {
	door net.Listener
	base string // of its API
	sim  *stripetest.Sim
	born time.Time
}

// openStripe points the configuration of the folder at a double on door.
func openStripe(door net.Listener, f *devFolder) *devStripe {
	now := time.Now()
	s := &devStripe{door: door, base: "http://" + addressOf(door), sim: stripetest.New(now, stripe.PinnedVersion), born: now}
	f.values[envStripeBase] = s.base
	return s
}

// serve plays Stripe until ctx ends.
func (s *devStripe) serve(ctx context.Context, log *slog.Logger) {
	if err := playDouble(ctx, s.sim, s.door, func() {}); err != nil {
		log.Error("stripe double", "error", err.Error())
	}
}

// attend lets the double learn of every event before billing works it. A former
// dev's events are told it at the start: what it does not know it cannot say of
// newer ones either.
func (s *devStripe) attend(plans []departmentPlan, log *slog.Logger) []departmentPlan {
	all := slices.Clone(plans)
	for i, plan := range all {
		if plan.tables.Name != stripe.Tables().Name {
			continue
		}
		all[i].build = func(h house) (hook.Department, error) {
			d, err := plan.build(h)
			if err != nil {
				return d, err
			}
			if err := s.recall(h.store, d.Name); err != nil {
				log.Warn("the stripe double does not know the events of before", "error", err.Error())
			}
			d.Routes = slices.Clone(d.Routes)
			for i := range d.Routes {
				d.Routes[i].Handler = s.before(d.Routes[i].Handler)
			}
			return d, nil
		}
	}
	return all
}

// before hands an event of this dev to the double, then to the handler. An old one
// that is replayed would make the double believe that the past is the present.
func (s *devStripe) before(next hook.Handler) hook.Handler {
	return hook.HandlerFunc(func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
		if e.Trust == hook.TrustSignature && !e.RecordedAt.Before(s.born) {
			_ = s.sim.Learn(e.Body) // what it refuses, such as thin events, the handler judges
		}
		return next.Handle(ctx, e)
	})
}

// recalled is how many of the newest events a double is told at the start.
const recalled = 500

// recall tells the double the newest events of a source, in their order.
func (s *devStripe) recall(log hook.Ledger, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	page, _, err := log.Events(ctx, hook.Filter{Source: name, Limit: recalled})
	if err != nil {
		return err
	}
	for _, info := range slices.Backward(page) {
		e, err := log.Event(ctx, info.ID)
		if err != nil {
			return err
		}
		if e.Trust == hook.TrustSignature && !e.BodyGone {
			_ = s.sim.Learn(e.Body) // thin events hold nothing
		}
	}
	return nil
}

// lines tell where to look.
func (s *devStripe) lines() string {
	return fmt.Sprintf("  stripe     %s/v1/subscriptions  (plays Stripe's API: knows what you send, takes any key)\n", s.base)
}

// story says how to see billing at work.
func (s *devStripe) story(f *devFolder, flag string) string {
	api := f.values["HOOKKEEPER_OPERATOR"] + "/api/v1/users/usr_1001/"
	header := `-H "Authorization: Bearer $` + envToken + `" `
	return "The life of a subscription, what its user may use, and what the user was told:\n\n" +
		"  hookkeeper send stripe --scenario subscription-lifecycle" + flag + "\n" +
		"  curl -s " + header + api + "access\n" +
		"  curl -s " + header + api + "notifications\n" +
		"  " + f.values["HOOKKEEPER_OPERATOR"] + "/dashboard/records/subscriptions\n\n"
}
