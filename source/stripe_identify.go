package source

import (
	"net/http"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The slots of stripePaths.
const (
	stripeID = iota
	stripeObject
	stripeType
	stripeCreated
	stripeLive
	stripePending
	stripeRelated
	stripeOwn
	stripeKind
	stripeSub
	stripeSubID
	stripeParentSub
	stripeParentSubID
	stripeIntent
	stripeIntentID
	stripeCharge
	stripeChargeID
	stripeCustomer
	stripeCustomerID
)

// stripePaths is what is read of a Stripe event, by the source and then by the
// built-in handlers: none of it may come twice. A reference is a string or,
// expanded, an object with an id.
func stripePaths() paths {
	return newPaths([]string{
		"id", "object", "type", "created", "livemode", "pending_webhooks", "related_object.id",
		"data.object.id", "data.object.object",
		"data.object.subscription", "data.object.subscription.id",
		"data.object.parent.subscription_details.subscription",
		"data.object.parent.subscription_details.subscription.id",
		"data.object.payment_intent", "data.object.payment_intent.id",
		"data.object.charge", "data.object.charge.id",
		"data.object.customer", "data.object.customer.id",
	},
		"account", "api_version", "context", "snapshot_event", "related_object.type", "related_object.url",
		"data.customer", "data.subscription", "data.previous_attributes.*",
		"data.object.status", "data.object.created", "data.object.livemode", "data.object.metadata.*",
		"data.object.cancel_at", "data.object.cancel_at_period_end", "data.object.canceled_at",
		"data.object.ended_at", "data.object.trial_end",
		"data.object.current_period_start", "data.object.current_period_end", "data.object.plan.id",
		"data.object.items.data.[].id", "data.object.items.data.[].quantity",
		"data.object.items.data.[].current_period_start", "data.object.items.data.[].current_period_end",
		"data.object.items.data.[].price.id", "data.object.items.data.[].price.lookup_key",
		"data.object.items.data.[].price.product", "data.object.items.data.[].plan.id",
		"data.object.amount", "data.object.amount_paid", "data.object.amount_due", "data.object.amount_total",
		"data.object.amount_refunded", "data.object.refunded", "data.object.currency", "data.object.paid",
		"data.object.attempt_count", "data.object.next_payment_attempt", "data.object.billing_reason",
		"data.object.invoice", "data.object.payment.payment_intent", "data.object.payment.type",
		"data.object.payment_status", "data.object.mode", "data.object.client_reference_id",
		"data.object.customer_email", "data.object.customer_details.email", "data.object.email",
		"data.object.period_start", "data.object.period_end", "data.object.hosted_invoice_url",
		"data.object.parent.type", "data.object.parent.subscription_details.metadata.*",
		"data.object.subscription_details.metadata.*", "data.object.reason",
	)
}

// Identify reads a snapshot or thin event. Its key is the event's own id, which
// the signature covers.
func (s *StripeSource) Identify(_ http.Header, body []byte) (hook.Identity, error) {
	id := hook.Identity{Trust: hook.TrustSignature}
	var p peek
	err := p.verdict(s.paths.read(body, &p))
	id.Key = cleanKey(p.str(stripeID))
	id.Type = clean(p.str(stripeType))
	switch p.get(stripeLive).kind {
	case 't':
		id.Mode = hook.ModeLive
	case 'f':
		id.Mode = hook.ModeTest
	}
	if p.is(stripeObject, "v2.core.event") {
		id.Subject = clean(p.str(stripeRelated))
		id.OccurredAt = parseTime(p.str(stripeCreated), nil)
	} else {
		id.Subject = clean(stripeSubject(&p, id.Type))
		id.OccurredAt = p.unix(stripeCreated)
	}
	if err == nil {
		err = s.otherMode(id.Mode)
	}
	return id, err
}

// otherMode quarantines an event of the mode that the source does not work.
func (s *StripeSource) otherMode(mode string) error {
	live := s.config.Live
	switch {
	case live == nil, mode == "":
		return nil
	case *live && mode == hook.ModeTest:
		return quarantine(hook.QuarantineMode, "a test event at a live source")
	case !*live && mode == hook.ModeLive:
		return quarantine(hook.QuarantineMode, "a live event at a test source")
	}
	return nil
}

// stripeSubject names the object whose events must be worked in order.
func stripeSubject(p *peek, eventType string) string {
	is := func(prefix string) bool { return strings.HasPrefix(eventType, prefix) }
	switch {
	case is("customer.subscription."), is("payment_intent."):
	case is("invoice."), is("checkout.session."):
		// The subscription of an invoice moved below parent in 2025-03-31.
		if ref := p.first(stripeParentSub, stripeParentSubID, stripeSub, stripeSubID,
			stripeIntent, stripeIntentID); ref != "" {
			return ref
		}
	case is("charge."), is("refund."):
		if ref := p.first(stripeIntent, stripeIntentID, stripeCharge, stripeChargeID); ref != "" {
			return ref
		}
	case is("customer.") && !p.is(stripeKind, "customer"):
		if ref := p.first(stripeCustomer, stripeCustomerID); ref != "" {
			return ref
		}
	}
	return p.str(stripeOwn)
}
