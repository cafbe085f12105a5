package toss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// authorized is the body of the event that our success page records.
type authorized struct {
	Checkout   string `json:"checkout"`
	Order      string `json:"order"`
	PaymentKey string `json:"payment_key"`
	Amount     int64  `json:"amount"` // of the redirect, equal to the order's
}

// Pauses between questions, and how often a new intent may follow an error that
// did nothing.
const (
	pauseShort = 2 * time.Second
	pauseLong  = 15 * time.Second
	pauseKeys  = time.Minute
	maxIntents = 5
)

// handleAuthorized confirms what a buyer has authenticated: look, claim, confirm,
// settle. A later attempt, after a crash or a lost answer, asks before it acts.
func (d *Desk) handleAuthorized(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	var a authorized
	if err := json.Unmarshal(e.Body, &a); err != nil || !isID(a.Order, orderPrefix) || a.PaymentKey == "" {
		return nil, fmt.Errorf("toss: event %s has no order and payment key: %w", e.ID, hook.ErrPermanent)
	}
	o, err := d.order(ctx, a.Order)
	if errors.Is(err, hook.ErrNotFound) {
		return nil, fmt.Errorf("toss: order %s: %w", a.Order, hook.ErrNotYet)
	}
	if err != nil {
		return nil, err
	}
	if o.State == StateConfirming && o.PaymentKey == a.PaymentKey {
		return later(d.carry(ctx, o))
	}
	if !o.claimable() {
		return nil, nil // settled meanwhile, or the buyer was told that nothing is charged
	}
	ok, effect, err := d.genuine(ctx, o, a)
	if err != nil || !ok {
		return later(effect, err)
	}
	if err := hook.Outward(ctx, "claim the order %s and call POST %s", o.ID, pathConfirm); err != nil {
		return nil, err
	}
	if o, err = d.claim(ctx, a); err != nil {
		return nil, err
	}
	if o.State != StateConfirming || o.PaymentKey != a.PaymentKey {
		return nil, nil // no seat, or another order has won: nothing is charged
	}
	return later(d.confirm(ctx, o))
}

// genuine asks Toss about the payment before anything is claimed: that it is
// this order's, for its amount, and waits to be confirmed. A payment key or an
// amount that somebody has edited never gets as far as confirm.
func (d *Desk) genuine(ctx context.Context, o *order, a authorized) (bool, hook.Effect, error) {
	if d.cfg.mutant("amount_from_redirect") {
		return true, nil, nil
	}
	asked := d.now()
	p, err := d.client.Payment(ctx, a.PaymentKey)
	switch {
	case err != nil && classOf(err) == ClassMissing:
		d.logOf(ctx).Warn("success page with a payment key that toss does not know: nothing is confirmed",
			"order", o.ID, "checkout", o.Checkout)
		return false, d.remark(o.ID, "refused", errorCode(err), "payment key unknown to toss"), nil
	case err != nil:
		return false, nil, d.troubled(ctx, o, err)
	case p.OrderID != o.ID || p.TotalAmount != o.Amount || p.Currency != o.Currency:
		d.logOf(ctx).Error("alarm: success page with another order's payment, or another amount: nothing is confirmed",
			"order", o.ID, "checkout", o.Checkout, "toss_order", p.OrderID, "toss_amount", p.TotalAmount,
			"toss_currency", p.Currency, "amount", o.Amount)
		if p.OrderID == o.ID && p.Captured() > 0 {
			return false, d.settle(answer{o.ID, o.Version, p, asked}), nil
		}
		return false, d.remark(o.ID, "refused", "MISMATCH", fmt.Sprintf("toss: order %s, %d %s",
			p.OrderID, p.TotalAmount, p.Currency)), nil
	case p.Status == statusInProgress:
		return true, nil, nil
	}
	// Done, waiting or over already: not ours to confirm, but to settle.
	return false, d.settle(answer{o.ID, o.Version, p, asked}), nil
}

// remark notes something beside an order and changes nothing of it.
func (d *Desk) remark(id, kind, code, detail string) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		o, err := loadOrder(ctx, tx, id)
		if err != nil {
			return err
		}
		return note(ctx, tx, o, d.now(), kind, code, detail)
	}
}

// claimable reports whether an authorised payment of this order may be
// confirmed. Where a claim has failed its buyer was told that nothing is charged,
// and so it stays.
func (o *order) claimable() bool {
	return o.State.claimable() && (o.State != StateAuthorized || o.Reason == "")
}

// claim makes an order the one that is confirmed: payment key stored, seat taken,
// state confirming, all or nothing. The committed row is the durable intent: if
// we die here, whoever comes next finds it confirming and asks Toss first. Where
// no seat is left, or another order of the purchase has won, the order stays
// authorized with the reason, and nothing is ever charged for it.
func (d *Desk) claim(ctx context.Context, a authorized) (o *order, err error) {
	err = d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		c, locked, err := lockOrder(ctx, tx, a.Order)
		if err != nil {
			return err
		}
		if locked.claimable() {
			err = d.claimLocked(ctx, tx, c, locked, a)
		}
		o = locked
		return err
	})
	if err != nil {
		return nil, err // an effect that was too slow may still be writing to it
	}
	return o, nil
}

func (d *Desk) claimLocked(ctx context.Context, tx hook.Tx, c *checkout, o *order, a authorized) error {
	now := d.now()
	if d.cfg.mutant("amount_from_redirect") {
		o.Amount = a.Amount
	}
	why, err := d.mayConfirm(ctx, tx, c, o, now)
	if err != nil {
		return err
	}
	o.PaymentKey, o.State, o.Reason = a.PaymentKey, StateAuthorized, why
	if why == "" {
		o.State, o.Sent = StateConfirming, true
		o.ConfirmKey, o.ConfirmNo, o.ConfirmUntil = o.ID, 1, at(now.Add(d.cfg.ConfirmWindow))
	}
	return d.save(ctx, tx, o, now)
}

// mayConfirm takes the seat, and says why the order may not be confirmed.
func (d *Desk) mayConfirm(ctx context.Context, tx hook.Tx, c *checkout, o *order, now time.Time) (string, error) {
	if d.cfg.mutant("seat_after_money") {
		return "", nil
	}
	w, err := winner(ctx, tx, c.ID, o.ID)
	if err != nil {
		return "", err
	}
	if w != nil {
		return reasonOtherOrder, nil
	}
	return d.take(ctx, tx, c, o, now)
}

// carry brings a confirming order on: it asks Toss, then settles, waits or sends
// confirm again. The confirm job, the hints, the sweeper and the reconciler all
// come this way, at any time and beside each other.
func (d *Desk) carry(ctx context.Context, o *order) (hook.Effect, error) {
	asked := d.now()
	p, err := d.ask(ctx, o)
	if err != nil && classOf(err) == ClassMissing {
		if o.ConfirmUntil.Valid && asked.Before(o.ConfirmUntil.Time) {
			return nil, hook.After(err, pauseLong)
		}
		return d.fail(o, "NOT_FOUND_PAYMENT", asked), nil
	}
	if err != nil {
		return nil, d.troubled(ctx, o, err)
	}
	return d.decide(ctx, o, p, asked)
}

func (d *Desk) decide(ctx context.Context, o *order, p *Payment, asked time.Time) (hook.Effect, error) {
	again := p.Status == statusInProgress && p.OrderID == o.ID && p.TotalAmount == o.Amount && p.Currency == o.Currency
	switch {
	case again && d.now().Before(o.ConfirmUntil.Time):
		return d.confirm(ctx, o)
	case p.Status == statusInProgress && again, p.Status == statusReady:
		// Too late to send it, too early for Toss to have given up.
		return nil, hook.After(fmt.Errorf("toss: order %s: payment still %s", o.ID, p.Status), pauseLong)
	}
	return d.settle(answer{o.ID, o.Version, p, asked}), nil
}

// ask looks the payment of an order up: by its key, and where Toss knows none by
// the order's id.
func (d *Desk) ask(ctx context.Context, o *order) (*Payment, error) {
	if o.PaymentKey == "" {
		return d.client.PaymentOfOrder(ctx, o.ID)
	}
	p, err := d.client.Payment(ctx, o.PaymentKey)
	if err != nil && classOf(err) == ClassMissing {
		return d.client.PaymentOfOrder(ctx, o.ID)
	}
	return p, err
}

// confirm is the one place from which money moves. The order is committed as
// confirming, its seat is taken, and the key is stored: if we die after the call
// the next attempt asks Toss what has become of it.
func (d *Desk) confirm(ctx context.Context, o *order) (hook.Effect, error) {
	asked := d.now()
	p, err := d.client.Confirm(ctx, o.PaymentKey, o.ID, o.Amount, o.ConfirmKey)
	if err == nil {
		return d.settle(answer{o.ID, o.Version, p, asked}), nil
	}
	if hook.Previewing(ctx) {
		return nil, err
	}
	if d.cfg.mutant("cancel_on_timeout") && classOf(err) == ClassUnknown {
		_, _ = d.client.Cancel(ctx, o.PaymentKey, CancelOrder{Reason: "timeout"}, "mutant-"+o.ID)
		return d.fail(o, "TIMEOUT", asked), nil
	}
	if d.cfg.mutant("confirm_blind_retry") && errorCode(err) == codeTimeout {
		return d.confirm(ctx, o)
	}
	d.log.Warn("confirm brought no payment, toss is asked", "order", o.ID, "checkout", o.Checkout, "error", err)
	return d.afterConfirm(ctx, o, err)
}

// afterConfirm decides after an answer that is no payment: what Toss shows now is
// what counts, never the answer alone.
func (d *Desk) afterConfirm(ctx context.Context, o *order, cause error) (hook.Effect, error) {
	if classOf(cause) == ClassKeys {
		return nil, d.troubled(ctx, o, cause)
	}
	asked := d.now()
	p, err := d.ask(ctx, o)
	if err != nil && classOf(err) == ClassMissing {
		return nil, hook.After(cause, pauseShort) // the next attempt asks again, and ends it in time
	}
	if err != nil {
		return nil, d.troubled(ctx, o, err)
	}
	if p.Status != statusInProgress && p.Status != statusReady {
		return d.settle(answer{o.ID, o.Version, p, asked}), nil
	}
	a, _ := errors.AsType[*APIError](cause)
	switch {
	case classOf(cause) == ClassRefused:
		return d.fail(o, errorCode(cause), asked), nil
	case a != nil && a.Status >= 500 && o.ConfirmNo < maxIntents:
		// Toss may answer the stored error for this key for ever. The payment is
		// still unconfirmed, so the former intent did nothing and another may be.
		if err := d.newIntent(ctx, o); err != nil {
			return nil, err
		}
	}
	return nil, hook.After(cause, wait(cause))
}

func wait(err error) time.Duration {
	if a, ok := errors.AsType[*APIError](err); ok && a.RetryAfter > 0 {
		return a.RetryAfter
	}
	return pauseShort
}

// newIntent stores a new key for confirm, unless the order has changed.
func (d *Desk) newIntent(ctx context.Context, o *order) error {
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, now, err := lockOrder(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		if now.Version != o.Version || now.State != StateConfirming {
			return nil // somebody else has brought it on
		}
		now.ConfirmNo++
		now.ConfirmKey = fmt.Sprintf("%s:%d", now.ID, now.ConfirmNo)
		return d.save(ctx, tx, now, d.now())
	})
}

// fail ends a confirming order that Toss has refused, and lets its seat go.
func (d *Desk) fail(o *order, reason string, asked time.Time) hook.Effect {
	id, version := o.ID, o.Version
	return func(ctx context.Context, tx hook.Tx) error {
		_, o, err := lockOrder(ctx, tx, id)
		if err != nil {
			return err
		}
		if o.Version != version || o.State != StateConfirming {
			return errStale
		}
		now := d.now()
		o.State, o.Reason, o.AskedAt, o.Attention = StateConfirmFailed, reason, at(asked), ""
		if err := release(ctx, tx, o, now); err != nil {
			return err
		}
		return d.save(ctx, tx, o, now)
	}
}

// troubled turns a failed question into the time of the next one. Refused keys
// are told to people at once, and the order stays as it is.
func (d *Desk) troubled(ctx context.Context, o *order, cause error) error {
	if hook.Previewing(ctx) {
		return cause
	}
	switch classOf(cause) {
	case ClassKeys:
		if err := d.needs(ctx, o.ID, attentionKeys); err != nil {
			return errors.Join(cause, err)
		}
		d.alarm("toss refuses our keys: nothing can be confirmed or asked until they are right", o, "error", cause)
		return hook.After(cause, pauseKeys)
	case ClassBusy:
		return hook.After(cause, max(wait(cause), 5*time.Second))
	}
	return hook.After(cause, patience(hook.JobOf(ctx).Failed))
}

// patience is the pause after so many failures: a buyer waits for the first
// ones, an outage of Toss lasts through the last. The sixty attempts of a job
// take more than three hours; then the sweeper and the reconciler go on alone.
func patience(failed int) time.Duration {
	switch {
	case failed < 5:
		return pauseShort
	case failed < 20:
		return pauseLong
	}
	return 5 * time.Minute
}

// needs marks an order for people, unless it is marked already.
func (d *Desk) needs(ctx context.Context, id, why string) error {
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, o, err := lockOrder(ctx, tx, id)
		if err != nil || o.Attention != "" {
			return err
		}
		o.Attention = why
		return d.save(ctx, tx, o, d.now())
	})
}

// later lets an effect that finds its order changed be worked again soon,
// instead of after the usual pause for failures.
func later(effect hook.Effect, err error) (hook.Effect, error) {
	if err != nil || effect == nil {
		return nil, err
	}
	return func(ctx context.Context, tx hook.Tx) error {
		err := effect(ctx, tx)
		if errors.Is(err, errStale) {
			return hook.After(err, 50*time.Millisecond)
		}
		return err
	}, nil
}
