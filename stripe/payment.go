package stripe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// part is what one object says about a payment. A payment is the fold of its
// parts, so that they may come in any order.
type part struct {
	id, payment    string
	kind           string // intent, charge, refund, dispute, session
	status         string
	grade          int   // states of one second go up in this order
	amount         int64 // received, refunded of a charge, of a refund, of a dispute
	total          int64 // asked for; of a charge: captured
	currency       string
	customer, user string
	at             time.Time
}

// readPart reads the object of an event about a payment; ok is false for one
// that belongs to none, such as a checkout that starts a subscription.
func readPart(o gjson.Result) (p part, ok bool, err error) {
	p = part{id: o.Get("id").String(), status: o.Get("status").String(), currency: o.Get("currency").String(),
		payment: ref(o.Get("payment_intent")), customer: ref(o.Get("customer"))}
	switch kind := o.Get("object").String(); kind {
	case "payment_intent":
		p.kind, p.payment = "intent", p.id
		p.amount, p.total = o.Get("amount_received").Int(), o.Get("amount").Int()
		p.grade = gradeOf(p.status, "canceled", "succeeded")
	case "charge":
		p.kind, p.amount, p.total = "charge", o.Get("amount_refunded").Int(), o.Get("amount_captured").Int()
		if p.total == 0 && o.Get("captured").Bool() {
			p.total = o.Get("amount").Int() // before amount_captured existed
		}
		p.grade = int(min(p.amount, 1<<31))
		if p.payment == "" {
			p.payment = p.id // a charge without an intent is its own payment
		}
	case "refund":
		p.kind, p.amount = "refund", o.Get("amount").Int()
		p.grade = gradeOf(p.status, "pending", "requires_action", "succeeded", "failed", "canceled")
	case "dispute":
		p.kind, p.amount = "dispute", o.Get("amount").Int()
		p.grade = gradeOf(p.status, "warning_needs_response", "warning_under_review", "warning_closed", "needs_response",
			"under_review", "prevented", "lost", "won")
	case "checkout.session":
		if p.payment == "" {
			return p, false, nil
		}
		p.kind, p.total, p.currency = "session", o.Get("amount_total").Int(), o.Get("currency").String()
		if p.user = o.Get("metadata.user_id").String(); p.user == "" {
			p.user = o.Get("client_reference_id").String()
		}
		p.status = o.Get("payment_status").String()
		p.grade = gradeOf(p.status, "unpaid", "no_payment_required", "paid")
	default:
		return p, false, fmt.Errorf("object %.40q belongs to no payment: %w", kind, hook.ErrPermanent)
	}
	if p.payment == "" {
		p.payment = ref(o.Get("charge"))
	}
	switch {
	case p.id == "":
		return p, false, &missingError{object: p.kind, field: "id"}
	case p.payment == "":
		return p, false, &missingError{object: p.kind + " " + p.id, field: "payment_intent or charge"}
	case p.status == "":
		return p, false, &missingError{object: p.kind + " " + p.id, field: "status"}
	}
	return p, true, nil
}

// gradeOf is the place of a status among those that are known, 0 for others.
func gradeOf(status string, known ...string) int {
	for i, s := range known {
		if s == status {
			return i + 1
		}
	}
	return 0
}

// handlePayment keeps the table payments.
func (d *Desk) handlePayment(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	ev, err := readEvent(e)
	if err != nil {
		return nil, err
	}
	o, fetched, err := d.objectOf(ctx, ev)
	if err != nil {
		return nil, err
	}
	p, ok, err := readPart(o)
	if err != nil || !ok {
		return nil, err
	}
	parts := []part{p}
	if parts[0].at = ev.created; fetched {
		parts[0].at = d.cfg.Now() // the turn is ours: what we fetch last is the newest
		if parts, err = d.withCharge(ctx, ev, o, parts); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, tx hook.Tx) error {
		// The payment's row first: whoever folds it next to us waits here, and
		// then sees our part.
		_, err := tx.ExecContext(ctx, `INSERT INTO payments (source, mode, payment_intent, updated_at)
			VALUES ($1, $2, $3, $4)
			ON CONFLICT (source, mode, payment_intent) DO UPDATE SET updated_at = excluded.updated_at`,
			d.name, e.Mode, p.payment, d.cfg.Now())
		for _, one := range parts {
			if err == nil {
				err = d.writePart(ctx, tx, e.Mode, one)
			}
		}
		if err == nil {
			err = d.foldPayment(ctx, tx, e.Mode, p.payment)
		}
		if err != nil {
			return fmt.Errorf("write payment %s: %w", p.payment, err)
		}
		return nil
	}, nil
}

// withCharge adds the present charge of a refund or dispute: what a charge says
// was refunded and what its refunds say must be of one time to be compared.
func (d *Desk) withCharge(ctx context.Context, ev *event, o gjson.Result, parts []part) ([]part, error) {
	charge := ref(o.Get("charge"))
	if charge == "" || parts[0].kind == "charge" {
		return parts, nil
	}
	whole, err := d.api.object(ctx, charge, ev.account)
	if errors.Is(err, errGone) {
		return parts, nil
	}
	if err != nil {
		return nil, err
	}
	c, ok, err := readPart(whole)
	if err != nil || !ok {
		return nil, err
	}
	c.at = d.cfg.Now()
	return append(parts, c), nil
}

func (d *Desk) writePart(ctx context.Context, tx hook.Tx, mode string, p part) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO billing_payment_parts (source, mode, part_id, payment_intent, kind, status,
		grade, amount, total, currency, customer_id, user_id, version_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (source, mode, part_id) DO UPDATE SET status = excluded.status, grade = excluded.grade,
			amount = excluded.amount, total = excluded.total, version_at = excluded.version_at,
			customer_id = coalesce(excluded.customer_id, billing_payment_parts.customer_id),
			user_id = coalesce(excluded.user_id, billing_payment_parts.user_id)
		WHERE excluded.version_at > billing_payment_parts.version_at
			OR excluded.version_at = billing_payment_parts.version_at AND excluded.grade >= billing_payment_parts.grade`,
		d.name, mode, p.id, p.payment, p.kind, p.status, p.grade, p.amount, p.total, p.currency,
		orNull(p.customer), orNull(p.user), p.at)
	return err
}

// payment is the fold of the parts.
type payment struct {
	status, currency, disputeStatus     string
	customer, user                      string
	amount, captured, refunded, dispute int64
}

// foldPayment computes the row from all its parts.
func (d *Desk) foldPayment(ctx context.Context, tx hook.Tx, mode, id string) error {
	rows, err := tx.QueryContext(ctx, `SELECT kind, status, amount, total, currency, customer_id, user_id, version_at
		FROM billing_payment_parts WHERE source = $1 AND mode = $2 AND payment_intent = $3 ORDER BY part_id`, d.name, mode, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	var parts []part
	for rows.Next() {
		var p part
		var customer, user sql.NullString
		var at hook.Timestamp
		if err := rows.Scan(&p.kind, &p.status, &p.amount, &p.total, &p.currency, &customer, &user, &at); err != nil {
			return err
		}
		p.customer, p.user, p.at = customer.String, user.String, at.Time
		parts = append(parts, p)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	f := fold(parts)
	_, err = tx.ExecContext(ctx, `UPDATE payments SET customer_id = $4, user_id = coalesce($5, (SELECT user_id FROM customers c
			WHERE c.source = $1 AND c.mode = $2 AND c.customer_id = $4)),
		amount = $6, currency = $7, status = $8, captured = $9, refunded = $10, disputed = $11, dispute_status = $12
		WHERE source = $1 AND mode = $2 AND payment_intent = $3`,
		d.name, mode, id, orNull(f.customer), orNull(f.user), f.amount, f.currency, f.status, f.captured, f.refunded,
		f.dispute, f.disputeStatus)
	return err
}

// fold adds the parts up. What was refunded is the larger of what the refunds add
// up to and what the charges say, less what has failed since they said it: an
// endpoint may be sent one kind of these events and not the other.
func fold(parts []part) payment {
	var f payment
	var single, charged, back int64
	var chargedAt time.Time
	for _, p := range parts {
		if p.kind == "charge" {
			charged += p.amount
			if p.at.After(chargedAt) {
				chargedAt = p.at
			}
		}
	}
	for _, p := range parts {
		f.take(p)
		if p.kind != "refund" {
			continue
		}
		if failed := p.status == "failed" || p.status == "canceled"; !failed {
			single += p.amount
		} else if p.at.After(chargedAt) {
			back += p.amount
		}
	}
	f.refunded = max(single, charged-back)
	return f
}

// take adds what stands in one part.
func (f *payment) take(p part) {
	if f.customer == "" {
		f.customer = p.customer
	}
	if f.user == "" {
		f.user = p.user
	}
	if f.currency == "" {
		f.currency = p.currency
	}
	switch p.kind {
	case "intent":
		f.amount, f.status = p.total, p.status
		f.captured = max(f.captured, p.amount)
	case "charge":
		f.captured = max(f.captured, p.total)
		if f.status == "" {
			f.status = p.status
		}
		f.amount = max(f.amount, p.total)
	case "session":
		f.amount = max(f.amount, p.total)
	case "dispute":
		if f.disputeStatus = p.status; p.status != "won" && p.status != "warning_closed" && p.status != "prevented" {
			f.dispute += p.amount
		}
	}
}
