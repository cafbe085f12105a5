package stripe

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// notice is what a fact has to tell a user.
type notice struct {
	kind string // of the catalogue
	fact string // the same for every event that tells it
	data map[string]any
}

// noticeOf reads which fact an event tells. Many events tell none.
func (d *Desk) noticeOf(ev *event, o gjson.Result) (notice, bool, error) {
	switch {
	case ev.is("customer.subscription."):
		return d.subscriptionNotice(ev, o)
	case ev.is("invoice."):
		return invoiceNotice(ev, o)
	}
	return paymentNotice(ev, o)
}

func factOf(parts ...string) string { return strings.Join(parts, "/") }

func (d *Desk) subscriptionNotice(ev *event, o gjson.Result) (notice, bool, error) {
	s, err := d.readSubscription(o)
	if err != nil {
		return notice{}, false, err
	}
	n := notice{data: map[string]any{"subscription": s.id, "plan": s.plan, "status": s.status, "period_end": s.end.Unix()}}
	switch strings.TrimPrefix(ev.kind, "customer.subscription.") {
	case "created":
		n.kind, n.fact = "subscription.created", factOf("subscription.created", s.id)
	case "deleted":
		n.kind, n.fact = "subscription.ended", factOf("subscription.ended", s.id)
	case "paused":
		n.kind, n.fact = "subscription.paused", factOf("subscription.paused", s.id, ev.fact)
	case "resumed":
		n.kind, n.fact = "subscription.resumed", factOf("subscription.resumed", s.id, ev.fact)
	case "trial_will_end":
		n.kind, n.fact = "subscription.trial_ending", factOf("subscription.trial_ending", s.id, strconv.FormatInt(s.trialEnd.Unix(), 10))
		n.data["trial_end"] = s.trialEnd.Unix()
	case "updated":
		n.kind, n.fact = changeOf(ev, s), factOf("subscription.updated", s.id, ev.fact)
	default:
		return n, false, nil
	}
	return n, true, nil
}

// changeOf names what an update changed. A thin event does not say.
func changeOf(ev *event, s *subscription) string {
	had := ev.previous.Get
	switch {
	case had("status").Exists() && s.status == "past_due":
		return "subscription.past_due"
	case had("status").Exists() && s.status == "active":
		return "subscription.activated"
	case had("cancel_at_period_end").Exists() || had("cancel_at").Exists():
		if s.atPeriodEnd || !s.cancelAt.IsZero() {
			return "subscription.cancel_scheduled"
		}
		return "subscription.cancel_undone"
	case had("items.data.0.price.id").Exists() && had("items.data.0.price.id").String() != s.price,
		had("plan.id").Exists() && had("plan.id").String() != s.price:
		return "subscription.plan_changed"
	case had("current_period_end").Exists() && !had("current_period_end").IsArray() && seconds(had("current_period_end")).Before(s.end),
		had("items.data.0.current_period_end").Exists() && seconds(had("items.data.0.current_period_end")).Before(s.end):
		return "subscription.renewed"
	}
	return "subscription.updated"
}

func invoiceNotice(ev *event, o gjson.Result) (notice, bool, error) {
	inv, err := readInvoiceObject(o)
	if err != nil {
		return notice{}, false, err
	}
	n := notice{data: map[string]any{"invoice": inv.id, "subscription": inv.subscription,
		"currency": o.Get("currency").String(), "url": o.Get("hosted_invoice_url").String()}}
	attempt := strconv.FormatInt(o.Get("attempt_count").Int(), 10)
	switch ev.kind {
	case "invoice.paid", "invoice.payment_succeeded":
		n.kind, n.fact = "invoice.paid", factOf("invoice.paid", inv.id)
		n.data["amount"] = o.Get("amount_paid").Int()
	case "invoice.payment_failed":
		n.kind, n.fact = "invoice.payment_failed", factOf("invoice.payment_failed", inv.id, attempt)
		n.data["amount"], n.data["attempt"] = o.Get("amount_due").Int(), o.Get("attempt_count").Int()
		if next := seconds(o.Get("next_payment_attempt")); !next.IsZero() {
			n.data["next_attempt"] = next.Unix()
		}
	case "invoice.payment_action_required":
		n.kind, n.fact = "invoice.action_required", factOf("invoice.action_required", inv.id, attempt)
		n.data["amount"] = o.Get("amount_due").Int()
	default:
		return n, false, nil
	}
	return n, true, nil
}

func paymentNotice(ev *event, o gjson.Result) (notice, bool, error) {
	p, ok, err := readPart(o)
	if err != nil || !ok {
		return notice{}, false, err
	}
	n := notice{data: map[string]any{"payment": p.payment, "amount": p.amount, "currency": p.currency}}
	set := func(kind string, rest ...string) { n.kind, n.fact = kind, factOf(append([]string{kind}, rest...)...) }
	switch {
	case p.kind == "intent" && billedByInvoice(o):
		return n, false, nil // the invoice tells it
	case ev.kind == "payment_intent.succeeded":
		set("payment.succeeded", p.payment)
	case ev.kind == "payment_intent.payment_failed":
		set("payment.failed", p.payment, ev.fact)
		n.data["amount"] = p.total
	case p.kind == "session":
		return sessionNotice(ev, p, n)
	case ev.kind == "charge.refunded":
		before := ev.previous.Get("amount_refunded")
		n.data["amount"] = p.amount - before.Int()
		set("payment.refunded", p.payment, "charge", strconv.FormatInt(p.amount, 10))
	case p.kind == "refund" && (p.status == "failed" || p.status == "canceled"):
		set("payment.refund_failed", p.id)
	case ev.kind == "refund.created":
		set("payment.refunded", p.payment, "refund", p.id)
	case ev.kind == "charge.dispute.created":
		set("payment.disputed", p.id)
	case ev.kind == "charge.dispute.closed":
		set("payment.dispute_closed", p.id)
		n.data["status"] = p.status
	default:
		return n, false, nil
	}
	return n, true, nil
}

// billedByInvoice: the intent of an invoice said so itself before API 2025-03-31;
// since then only its reference does.
func billedByInvoice(o gjson.Result) bool {
	return ref(o.Get("invoice")) != "" || strings.HasPrefix(o.Get("payment_details.order_reference").String(), "in_")
}

func sessionNotice(ev *event, p part, n notice) (notice, bool, error) {
	n.data["amount"] = p.total
	switch {
	case ev.kind == "checkout.session.expired":
		n.kind, n.fact = "checkout.expired", factOf("checkout.expired", p.id)
	case ev.kind == "checkout.session.async_payment_failed":
		n.kind, n.fact = "payment.failed", factOf("payment.failed", p.payment, p.id)
	case p.status == "paid" || p.status == "no_payment_required":
		n.kind, n.fact = "payment.succeeded", factOf("payment.succeeded", p.payment)
	case ev.kind == "checkout.session.completed":
		n.kind, n.fact = "payment.pending", factOf("payment.pending", p.payment)
	default:
		return n, false, nil
	}
	return n, true, nil
}

// handleNotice writes what a user is told, once per fact.
func (d *Desk) handleNotice(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	ev, err := readEvent(e)
	if err != nil {
		return nil, err
	}
	n, o, ok, err := d.readNotice(ctx, ev)
	if err != nil {
		return nil, err
	}
	by := causeOf(ctx, e)
	if !ok {
		return d.told(by, ""), nil
	}
	p := personOf(ev, o)
	if p.customer == "" && p.user == "" {
		if p, err = d.payer(ctx, ev, o, p); err != nil {
			return nil, err
		}
	}
	if p.customer == "" && p.user == "" {
		return d.told(by, ""), nil // a guest: there is nobody to tell
	}
	if p, err = d.resolve(ctx, ev, p); err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx hook.Tx) error {
		// Everything here is this run's own: one that was cut by its budget may
		// still be running beside the next.
		user := p.user
		if p.customer != "" {
			var err error
			if user, err = d.meet(ctx, tx, e.Mode, p); err != nil {
				return err
			}
		}
		id, err := d.tell(ctx, tx, by, n, user)
		if err != nil {
			return err
		}
		return d.told(by, id)(ctx, tx)
	}, nil
}

// readNotice reads the object as it was at the event, for a notice tells what
// happened then; only where the event does not hold it in a shape that we know
// is it the present one.
func (d *Desk) readNotice(ctx context.Context, ev *event) (n notice, o gjson.Result, ok bool, err error) {
	if o, err = ev.copy(); err == nil {
		n, ok, err = d.noticeOf(ev, o)
	}
	if err == nil || !d.asks(ev.Mode) {
		return n, o, ok, err
	}
	if o, _, err = d.objectOf(ctx, ev); err == nil {
		n, ok, err = d.noticeOf(ev, o)
	}
	return n, o, ok, err
}

// payer finds out who paid: refunds and disputes do not name it, the row of their
// payment does, once the payment's own events have come.
func (d *Desk) payer(ctx context.Context, ev *event, o gjson.Result, p person) (person, error) {
	about, ok, err := readPart(o)
	if err != nil || !ok {
		return p, err
	}
	var user, customer sql.NullString
	var status string
	err = d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT user_id, customer_id, status FROM payments
			WHERE source = $1 AND mode = $2 AND payment_intent = $3`, d.name, ev.Mode, about.payment).Scan(&user, &customer, &status)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("read payment %s: %w", about.payment, err)
	}
	p.user, p.customer = user.String, customer.String
	if p.customer != "" {
		p.user = "" // the customer's row knows better, and may yet learn
	}
	own := about.kind == "intent" || about.kind == "session"
	switch late := d.cfg.Now().Sub(ev.RecordedAt) > payerWait; {
	case p.customer != "" || p.user != "":
	case status == "", !own && !late:
		err = hook.After(fmt.Errorf("payment %s: who paid is not known yet: %w", about.payment, hook.ErrNotYet), payerPause)
	}
	return p, err
}

// A guest's refund waits for the checkout session that may name a user; a payment
// without its own events waits for these as long as jobs wait.
const (
	payerWait  = 10 * time.Minute
	payerPause = 5 * time.Second
)

// tell writes the notice if its fact is new, and returns its id; empty if another
// event has told it.
func (d *Desk) tell(ctx context.Context, tx hook.Tx, by cause, n notice, user string) (id string, err error) {
	if rest, ok := strings.CutPrefix(n.fact, "payment.refunded/"); ok {
		if n.fact, err = d.refundFact(ctx, tx, by, rest, n.data["amount"].(int64)); err != nil {
			return "", err
		}
	}
	// The consequence outlives the notice: an application may delete its rows,
	// and a replay must not tell the fact again.
	fresh, err := d.once(ctx, tx, by, "notices", n.fact, "")
	if err != nil || !fresh {
		return "", err
	}
	texts, err := textsOf(n)
	if err != nil {
		return "", err
	}
	told := maps.Clone(n.data) // the notice is shared with other runs of its effect
	told["texts"] = texts
	data, err := json.Marshal(told)
	if err != nil {
		return "", fmt.Errorf("write notice %s: %w", n.fact, err)
	}
	id = noticeID(d.name, by.Mode, n.fact)
	_, err = tx.ExecContext(ctx, `INSERT INTO notifications (id, source, mode, user_id, kind, fact, title, body, data, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (source, mode, fact) DO NOTHING`,
		id, d.name, by.Mode, user, n.kind, n.fact, texts[d.cfg.Language].Title, texts[d.cfg.Language].Body, string(data), d.cfg.Now())
	if err != nil {
		return "", fmt.Errorf("write notice %s: %w", n.fact, err)
	}
	return id, nil
}

// noticeID is the same for every attempt: it is also the key under which a
// channel is told.
func noticeID(source, mode, fact string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + mode + "\x00" + fact))
	return "nt_" + hex.EncodeToString(sum[:16])
}

// refundFact makes one fact of the two events that tell a refund, of which an
// endpoint may be sent either or both: a refund's own and its charge's. They have
// nothing in common but the payment and the amount, so the n-th of an amount in
// one stream is the n-th in the other.
func (d *Desk) refundFact(ctx context.Context, tx hook.Tx, by cause, rest string, amount int64) (string, error) {
	payment, rest, _ := strings.Cut(rest, "/")
	stream, own, _ := strings.Cut(rest, "/")
	prefix := payment + "/" + strconv.FormatInt(amount, 10) + "/"
	for n := 1; n <= maxRefunds; n++ {
		place := prefix + strconv.Itoa(n)
		if fresh, err := d.once(ctx, tx, by, "refunds-"+stream, place, own); err != nil || fresh {
			return factOf("payment.refunded", place), err
		}
		var holder string
		err := tx.QueryRowContext(ctx, `SELECT result FROM consequences WHERE scope = $1 AND handler = $2 AND key = $3`,
			scopeOf(by.Event), d.name+"-refunds-"+stream, place).Scan(&holder)
		if err != nil {
			return "", fmt.Errorf("number a refund of %s: %w", payment, err)
		}
		if holder == own {
			return factOf("payment.refunded", place), nil
		}
	}
	return "", fmt.Errorf("payment %s has more than %d refunds of one amount: %w", payment, maxRefunds, hook.ErrPermanent)
}

// maxRefunds bounds the search for the number of a refund.
const maxRefunds = 100

// told notes which notice an event led to, none included, so that channels know
// that there is nothing to wait for.
func (d *Desk) told(by cause, id string) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := d.once(ctx, tx, by, "told", by.Key, id)
		return err
	}
}

// cause is the event that leads to a consequence, and which generation of its job.
type cause struct {
	*hook.Event
	generation int
}

// causeOf is called before the effect: the effect's context knows no job.
func causeOf(ctx context.Context, e *hook.Event) cause {
	return cause{Event: e, generation: max(hook.JobOf(ctx).Generation, 1)}
}

// once writes a consequence and reports whether it is the first of its key. The
// row names its cause by the number that the log gave the event.
func (d *Desk) once(ctx context.Context, tx hook.Tx, by cause, what, key, result string) (bool, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO consequences (scope, handler, key, seq, generation, at, result)
		VALUES ($1, $2, $3, coalesce((SELECT seq FROM event_keys WHERE source = $4 AND mode = $5 AND key = $6), 0), $7, $8, $9)
		ON CONFLICT (scope, handler, key) DO NOTHING`,
		scopeOf(by.Event), d.name+"-"+what, key, by.Source, by.Mode, by.Key, by.generation, d.cfg.Now(), result)
	if err != nil {
		return false, fmt.Errorf("write consequence %s: %w", key, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func scopeOf(e *hook.Event) string { return e.Source + "/" + e.Mode }
