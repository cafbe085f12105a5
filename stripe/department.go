package stripe

import (
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The types that each handler works, without their thin twins.
func customerTypes() []string {
	return append([]string{"customer.created", "customer.updated", "customer.deleted"}, sessionTypes()...)
}

func sessionTypes() []string {
	return []string{"checkout.session.completed", "checkout.session.async_payment_succeeded",
		"checkout.session.async_payment_failed", "checkout.session.expired"}
}

func subscriptionTypes() []string {
	return []string{"customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
		"customer.subscription.paused", "customer.subscription.resumed", "customer.subscription.trial_will_end"}
}

func invoiceTypes() []string {
	return []string{"invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed", "invoice.payment_action_required"}
}

func paymentTypes() []string {
	return append([]string{"payment_intent.succeeded", "payment_intent.payment_failed", "charge.refunded", "charge.refund.updated",
		"refund.created", "refund.updated", "refund.failed", "charge.dispute.created", "charge.dispute.updated",
		"charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"}, sessionTypes()...)
}

// handledTypes are all of them, once.
func handledTypes() []string {
	all := slices.Concat(customerTypes(), subscriptionTypes(), invoiceTypes(), paymentTypes())
	slices.Sort(all)
	return slices.Compact(all)
}

// withTwins adds the thin twin of every type.
func withTwins(types ...string) []string {
	var all []string
	for _, t := range types {
		all = append(all, t, "v1."+t)
	}
	return all
}

// Department returns the routes, operations and duties of the desk. Each concern
// has a route of its own, and so its own retries: a channel that is down holds up
// no table.
func (d *Desk) Department() hook.Department {
	told := slices.Concat(subscriptionTypes(), invoiceTypes(), paymentTypes())
	dept := hook.Department{
		Name: d.name, Tables: Tables(), Operations: d.operations(), Duties: d.duties(), Erase: d.erase,
		Routes: []hook.Route{
			d.route("customers", d.handleCustomer, withTwins(customerTypes()...)),
			d.route("subscriptions", d.handleSubscription, append(withTwins(append(subscriptionTypes(), invoiceTypes()...)...), driftType)),
			d.route("payments", d.handlePayment, withTwins(paymentTypes()...)),
			d.route("notices", d.handleNotice, withTwins(told...)),
		},
	}
	for _, ch := range d.cfg.Channels {
		dept.Routes = append(dept.Routes, d.route("notify-"+ch.Name, d.handleChannel(ch), withTwins(told...)))
	}
	return dept
}

// route takes events whose body we can believe: never hints.
func (d *Desk) route(concern string, h hook.HandlerFunc, types []string) hook.Route {
	r := hook.Route{Name: d.name + "-" + concern, Source: d.name, Handler: h,
		Preview: &hook.Preview{Tables: append(shownTables(), "consequences")},
		Trust:   []hook.Trust{hook.TrustSignature, hook.TrustSenderAPI, hook.TrustInternal}}
	for i, t := range types {
		if i > 0 {
			r.Types += ","
		}
		r.Types += t
	}
	return r
}
