package stripe

import (
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// subscription is one state of a subscription, read from an object of any known
// API version.
type subscription struct {
	id, customer  string
	plan, price   string
	quantity      int64
	status        string
	start, end    time.Time // of the current period
	cancelAt      time.Time
	atPeriodEnd   bool
	canceled      time.Time
	ended         time.Time
	trialEnd      time.Time
	invoice       string // the latest one
	metadataUser  string
	invoiceStatus string    // only where the invoice came expanded
	invoicedAt    time.Time // likewise
}

// terminal reports a state that a subscription never leaves.
func (s *subscription) terminal() bool { return terminal(s.status) }

func terminal(status string) bool { return status == "canceled" || status == "incomplete_expired" }

// readSubscription reads o. The period stood on the subscription before API
// 2025-03-31 and stands on its items since. A field that is missing is an error,
// never a zero: an application would take it for the end of the access.
func (d *Desk) readSubscription(o gjson.Result) (*subscription, error) {
	item := d.itemOf(o)
	s := &subscription{
		id: o.Get("id").String(), customer: ref(o.Get("customer")), status: o.Get("status").String(),
		plan: item.Get("price.lookup_key").String(), price: item.Get("price.id").String(), quantity: 1,
		start: seconds(item.Get("current_period_start")), end: seconds(item.Get("current_period_end")),
		cancelAt: seconds(o.Get("cancel_at")), atPeriodEnd: o.Get("cancel_at_period_end").Bool(),
		canceled: seconds(o.Get("canceled_at")), ended: seconds(o.Get("ended_at")), trialEnd: seconds(o.Get("trial_end")),
		invoice: ref(o.Get("latest_invoice")), metadataUser: o.Get("metadata.user_id").String(),
	}
	if s.price == "" {
		s.price = ref(item.Get("plan"))
	}
	if q := item.Get("quantity"); q.Exists() && q.Type == gjson.Number {
		s.quantity = q.Int()
	}
	if s.start.IsZero() && s.end.IsZero() {
		s.start, s.end = seconds(o.Get("current_period_start")), seconds(o.Get("current_period_end"))
	}
	if s.plan == "" {
		if s.plan = d.cfg.DefaultPlan; s.plan == "" {
			s.plan = s.price
		}
	}
	if inv := o.Get("latest_invoice"); inv.IsObject() {
		s.invoiceStatus, s.invoicedAt = inv.Get("status").String(), seconds(inv.Get("created"))
	}
	for _, need := range [...]struct {
		field string
		empty bool
	}{
		{"id", s.id == ""}, {"customer", s.customer == ""}, {"status", s.status == ""},
		{"price of an item", s.price == ""}, {"current_period_start", s.start.IsZero()}, {"current_period_end", s.end.IsZero()},
	} {
		if need.empty {
			return nil, &missingError{object: "subscription " + s.id, field: need.field}
		}
	}
	return s, nil
}

// itemOf picks the item whose price is one of the configured plans, else the
// first with a lookup key, else the first.
func (d *Desk) itemOf(o gjson.Result) gjson.Result {
	var named, first gjson.Result
	for i, item := range o.Get("items.data").Array() {
		key := item.Get("price.lookup_key").String()
		for _, plan := range d.cfg.Plans {
			if plan == key || plan == item.Get("price.id").String() {
				return item
			}
		}
		if i == 0 {
			first = item
		}
		if key != "" && !named.Exists() {
			named = item
		}
	}
	if named.Exists() {
		return named
	}
	return first
}

// missingError is permanent: only a build that looks elsewhere, or the sender's
// API, knows more.
type missingError struct{ object, field string }

func (e *missingError) Error() string {
	return fmt.Sprintf("%s has no %s where this build looks for it", e.object, e.field)
}

func (e *missingError) Is(target error) bool { return target == hook.ErrPermanent }

// shown is what the row shows of a state: two states that are equal here need
// no order.
func (s *subscription) shown() [12]any {
	return [12]any{s.plan, s.price, s.quantity, s.status, s.start.Unix(), s.end.Unix(), s.cancelAt.Unix(), s.atPeriodEnd,
		s.canceled.Unix(), s.ended.Unix(), s.trialEnd.Unix(), s.invoice}
}
