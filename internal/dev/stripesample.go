package dev

import (
	"fmt"
	"path"
	"strings"
)

// derived are types of which there is no sample of their own: the sample from
// which each is made, and what is changed in it.
func derived() map[string]struct {
	from  string
	edits []string
} {
	type made = struct {
		from  string
		edits []string
	}
	return map[string]made{
		"checkout.session.async_payment_failed": {"checkout.session.async_payment_succeeded", []string{"data.object.payment_status=unpaid"}},
		"customer.updated":                      {"customer.created", []string{"data.object.email=minji.kim@example.com"}},
		"customer.deleted":                      {"customer.created", nil},
		"customer.subscription.paused":          {"customer.subscription.created", []string{"data.object.status=paused"}},
		"customer.subscription.resumed":         {"customer.subscription.created", nil},
		"invoice.payment_action_required":       {"invoice.payment_failed", nil},
		"refund.updated":                        {"refund.created", nil},
		"refund.failed":                         {"refund.created", []string{"data.object.status=failed"}},
		"charge.refund.updated":                 {"refund.created", nil},
		"charge.dispute.updated":                {"charge.dispute.created", []string{"data.object.status=under_review"}},
		"charge.dispute.closed":                 {"charge.dispute.created", []string{"data.object.status=won"}},
		"charge.dispute.funds_withdrawn":        {"charge.dispute.created", nil},
		"charge.dispute.funds_reinstated":       {"charge.dispute.created", []string{"data.object.status=won"}},
	}
}

// versions are the API versions of the trains whose samples are made from
// dahlia's where they lack one: between these trains nothing has moved.
func versions() map[string]string {
	return map[string]string{"basil": "2025-08-27.basil", "endive": "2026-10-28.endive"}
}

// stripeSample makes the body of a type that a train has no file for.
func stripeSample(eventType, train string) ([]byte, bool) {
	if train == "thin" {
		return nil, false
	}
	if train == "" {
		train = stripeTrains[0]
	}
	if m, ok := derived()[eventType]; ok {
		body, ok := stripeFile(m.from, train)
		if !ok {
			return nil, false
		}
		for _, edit := range append([]string{"type=" + eventType}, m.edits...) {
			field, value, _ := strings.Cut(edit, "=")
			var err error
			if body, err = Edit(body, field, value); err != nil {
				return nil, false
			}
		}
		return body, true
	}
	return stripeFile(eventType, train)
}

// stripeFile reads the sample of a train, or makes it from dahlia's.
func stripeFile(name, train string) ([]byte, bool) {
	for _, dir := range []string{train, "dahlia"} {
		dir := path.Join("samples/stripe", dir)
		file, ok := pick(dir, name)
		if !ok {
			continue
		}
		body, err := samples.ReadFile(path.Join(dir, file+".json"))
		if err != nil {
			return nil, false // the name came from the same list
		}
		if version := versions()[train]; version != "" {
			if body, err = Edit(body, "api_version", version); err != nil {
				return nil, false
			}
		}
		return body, true
	}
	return nil, false
}

// typesOfStripe adds the types that are made to those that have files.
func typesOfStripe(names []string) []string {
	for name := range derived() {
		names = append(names, name)
	}
	return names
}

// errNoStory: only Stripe's events tell of subscriptions.
func errNoStory(scenario, sender string) error {
	return fmt.Errorf("scenario %s tells of a subscription at stripe, not at %s", scenario, sender)
}
