package toss

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// purposeCompensation is the refund of a payment that has no seat: one an order.
const purposeCompensation = "compensation"

// purposeAccount closes a virtual account for a buyer who pays another way: one
// intent at a time. It takes no money back: where the deposit has come, Toss
// refuses it for want of an account to pay to, and the order is paid.
const purposeAccount = "account"

// accountPurpose is the intent that is open, or the next one.
func accountPurpose(ctx context.Context, tx hook.Tx, order string) (string, error) {
	all, err := refundsWhere(ctx, tx, `order_id = $1 AND purpose LIKE 'account:%'`, order)
	for _, r := range all {
		if r.State == "open" {
			return r.Purpose, nil
		}
	}
	return fmt.Sprintf("%s:%d", purposeAccount, len(all)+1), err
}

func (r *refund) closesAccount() bool { return strings.HasPrefix(r.Purpose, purposeAccount+":") }

const (
	// keyLife is how long Toss surely knows an Idempotency-Key, which it forgets
	// after 15 days; later it is asked first.
	keyLife = 14 * 24 * time.Hour
	// refundLease keeps others from a refund while one works it.
	refundLease = time.Minute
	// refundPatience is the number of attempts after which a person is told.
	refundPatience = 6
)

// refund is one row of the outbox.
type refund struct {
	ID, Order, Purpose string
	Amount             int64 // zero: all that is left
	Reason, Receiver   string
	State, Actor       string
	CreatedAt, SentAt  hook.Timestamp
	NextAt             hook.Timestamp
	Attempts           int
	LastError          string
}

// mark stands in the reason that Toss keeps, so that a refund is found among the
// cancels of a payment even when its key is forgotten.
func (r *refund) mark() string { return "[" + r.ID[:min(len(r.ID), 15)] + "]" }

const refundColumns = `id, order_id, purpose, amount, reason, receiver, state, actor, created_at, sent_at, next_at,
	attempts, last_error`

func scanRefund(ctx context.Context, row scanner) (*refund, error) {
	var r refund
	var amount sql.NullInt64
	err := row.Scan(&r.ID, &r.Order, &r.Purpose, &amount, &r.Reason, &r.Receiver, &r.State, &r.Actor, &r.CreatedAt,
		&r.SentAt, &r.NextAt, &r.Attempts, &r.LastError)
	r.Amount = amount.Int64
	if err == nil {
		err = openInto(ctx, &r.Receiver, placeReceiver+r.ID)
	}
	return &r, err
}

func refundsWhere(ctx context.Context, tx hook.Tx, condition string, args ...any) ([]*refund, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+refundColumns+` FROM refunds WHERE `+condition, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*refund
	for rows.Next() {
		r, err := scanRefund(ctx, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// orderRefund writes a refund into the outbox, once for an order and purpose: a
// repeat finds the row. The purchase is locked.
func (d *Desk) orderRefund(ctx context.Context, tx hook.Tx, o *order, r refund, now time.Time) error {
	var amount any
	if r.Amount > 0 {
		amount = r.Amount
	}
	id := d.refundID(o.ID, r.Purpose)
	receiver, err := hook.SealerOf(ctx).SealText(placeReceiver+id, r.Receiver)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `INSERT INTO refunds (id, order_id, purpose, amount, reason, receiver, state, actor, created_at, next_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8, $9) ON CONFLICT DO NOTHING`,
		id, o.ID, r.Purpose, amount, cut(printable(r.Reason), 150), receiver, cut(r.Actor, 64), now, now)
	return err
}

// WorkRefunds works the outbox: every refund that is due, each once at a time.
// It is a duty; beside itself it does nothing twice.
func (d *Desk) WorkRefunds(ctx context.Context) error {
	var due []*refund
	err := d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) (err error) {
		due, err = refundsWhere(ctx, tx, `state = 'open' AND next_at <= $1 ORDER BY next_at LIMIT 100`, d.now())
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range due {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := d.workRefund(ctx, r.ID); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// workRefund sends one refund, or finds out what has become of it.
func (d *Desk) workRefund(ctx context.Context, id string) error {
	r, o, err := d.claimRefund(ctx, id)
	if err != nil || r == nil {
		return err
	}
	if o.PaymentKey == "" {
		return d.refundRefused(ctx, r, "NO_PAYMENT_KEY")
	}
	// An earlier attempt may have gone through: Toss is asked first. Beyond the
	// life of its key this is what keeps the refund from being given twice.
	if r.Attempts > 1 || r.closesAccount() {
		if done, err := d.refundShown(ctx, r, o); err != nil || done {
			return err
		}
	}
	what, err := cancelOrder(r)
	if err != nil {
		return d.refundRefused(ctx, r, "BAD_RECEIVER")
	}
	key := r.ID
	if d.cfg.mutant("refund_key_per_try") {
		key = fmt.Sprintf("%s:%d", r.ID, r.Attempts)
	}
	o, err = d.order(ctx, o.ID)
	if err != nil {
		return err
	}
	asked := d.now()
	p, err := d.client.Cancel(ctx, o.PaymentKey, what, key)
	if err == nil {
		return d.settleNow(ctx, o, p, asked)
	}
	d.log.Warn("refund not accepted yet", "order", o.ID, "refund", r.ID, "attempt", r.Attempts, "error", err)
	return d.afterRefund(ctx, r, o, err)
}

func cancelOrder(r *refund) (CancelOrder, error) {
	what := CancelOrder{Reason: r.Reason + " " + r.mark(), Amount: r.Amount}
	if r.Receiver == "" {
		return what, nil
	}
	what.Receiver = &Receiver{}
	return what, json.Unmarshal([]byte(r.Receiver), what.Receiver)
}

// claimRefund takes a due refund for a minute. If we die with it, it is due
// again then, and asks Toss before it sends anything.
func (d *Desk) claimRefund(ctx context.Context, id string) (r *refund, o *order, err error) {
	err = d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		now := d.now()
		claimed, err := scanRefund(ctx, tx.QueryRowContext(ctx, `UPDATE refunds SET attempts = attempts + 1, next_at = $2,
			sent_at = COALESCE(sent_at, $3) WHERE id = $1 AND state = 'open' AND next_at <= $3
			RETURNING `+refundColumns, id, now.Add(refundLease), now))
		if errors.Is(err, sql.ErrNoRows) {
			r, o = nil, nil
			return nil
		}
		if err != nil {
			return err
		}
		of, err := loadOrder(ctx, tx, claimed.Order)
		r, o = claimed, of
		return err
	})
	if err != nil {
		return nil, nil, err // an effect that was too slow may still be writing to them
	}
	return r, o, nil
}

// refundShown asks Toss, settles what it shows, and reports whether the refund
// is among it.
func (d *Desk) refundShown(ctx context.Context, r *refund, o *order) (bool, error) {
	if d.cfg.mutant("refund_key_per_try") {
		return false, nil
	}
	asked := d.now()
	p, err := d.client.Payment(ctx, o.PaymentKey)
	if err != nil {
		return false, d.refundLater(ctx, r, err)
	}
	if err := d.settleNow(ctx, o, p, asked); err != nil {
		return false, err
	}
	if r.closesAccount() && p.Status != statusWaiting {
		return true, d.refundRefused(ctx, r, "NOT_WAITING") // the deposit has come, or it is closed already
	}
	var left int
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		open, err := refundsWhere(ctx, tx, `id = $1 AND state = 'open'`, r.ID)
		left = len(open)
		return err
	})
	if err == nil && left > 0 && d.now().Sub(r.SentAt.Time) > keyLife && p.BalanceAmount != p.TotalAmount && r.Amount > 0 {
		// Old, partial, and something was given back that does not carry our mark.
		return true, d.refundRefused(ctx, r, "KEY_TOO_OLD")
	}
	return left == 0, err
}

// settleNow settles without a job, once more where the order has changed.
func (d *Desk) settleNow(ctx context.Context, o *order, p *Payment, asked time.Time) error {
	err := d.cfg.Applier.Apply(ctx, d.settle(answer{o.ID, o.Version, p, asked}))
	for try := 0; errors.Is(err, errStale) && try < 5; try++ {
		if o, err = d.order(ctx, o.ID); err != nil {
			return err
		}
		asked = d.now()
		if p, err = d.ask(ctx, o); err != nil {
			return err
		}
		err = d.cfg.Applier.Apply(ctx, d.settle(answer{o.ID, o.Version, p, asked}))
	}
	return err
}

// afterRefund decides after an answer that is no payment.
func (d *Desk) afterRefund(ctx context.Context, r *refund, o *order, cause error) error {
	switch classOf(cause) {
	case ClassKeys:
		return errors.Join(d.troubled(ctx, o, cause), d.refundLater(ctx, r, cause))
	case ClassBusy:
		return d.refundLater(ctx, r, cause)
	}
	// "Already canceled", a refusal, or no answer at all: what Toss shows counts.
	if done, err := d.refundShown(ctx, r, o); err != nil || done {
		return err
	}
	if c := classOf(cause); c == ClassRefused || c == ClassMissing {
		return d.refundRefused(ctx, r, errorCode(cause))
	}
	return d.refundLater(ctx, r, cause)
}

// refundLater makes a refund due again, after a pause that grows to an hour. It
// never gives up by itself; after a few attempts a person is told.
func (d *Desk) refundLater(ctx context.Context, r *refund, cause error) error {
	pause := min(5*time.Second<<min(2*(r.Attempts-1), 10), time.Hour)
	now := d.now()
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, o, err := lockOrder(ctx, tx, r.Order)
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, `UPDATE refunds SET next_at = $2, last_error = $3 WHERE id = $1 AND state = 'open'`,
			r.ID, now.Add(max(pause, wait(cause))), errorCode(cause))
		if err != nil || r.Attempts < refundPatience || o.Attention != "" {
			return err
		}
		o.Attention = attentionRefundSlow
		d.alarm("a refund is not accepted after several attempts; it goes on", o, "refund", r.ID, "error", cause)
		return d.save(ctx, tx, o, now)
	})
}

// refundRefused ends a refund that Toss will not give: a person is needed.
func (d *Desk) refundRefused(ctx context.Context, r *refund, code string) error {
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		now := d.now()
		_, o, err := lockOrder(ctx, tx, r.Order)
		if err != nil {
			return err
		}
		n, err := exec(ctx, tx, `UPDATE refunds SET state = 'refused', last_error = $2 WHERE id = $1 AND state = 'open'`, r.ID, code)
		if err != nil || n == 0 {
			return err
		}
		if r.closesAccount() {
			return nil // the buyer is told; no money is in it
		}
		if o.State == StateCompensating {
			o.State = StateRefundFailed
		}
		o.Attention = attentionRefundRefused
		d.alarm("toss refuses a refund: a person decides", o, "refund", r.ID, "purpose", r.Purpose, "code", code)
		return d.save(ctx, tx, o, now)
	})
}

// RefundOrder is an operator's order to give money back.
type RefundOrder struct {
	Key      string    // what makes a repeat the same refund: 1 to 64 of a-z, A-Z, 0-9, _ and -
	Amount   int64     // zero: all that is left
	Reason   string    // required; Toss and the buyer's statement may show it
	Receiver *Receiver // for a deposit
	Actor    string
}

// Refund writes an operator's refund into the outbox. The same key is the same
// refund, whatever else it says. It is a Problem for an order that holds no
// money, and for more than is left beside the refunds that are on their way.
func (d *Desk) Refund(ctx context.Context, id string, ask RefundOrder) error {
	receiver := ""
	if ask.Receiver != nil {
		text, err := json.Marshal(ask.Receiver)
		if err != nil {
			return err
		}
		receiver = string(text)
	}
	purpose := "operator:" + ask.Key
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, o, err := lockOrder(ctx, tx, id)
		if err != nil {
			return err
		}
		all, err := refundsWhere(ctx, tx, `order_id = $1`, id)
		if err != nil {
			return err
		}
		left := o.Captured - o.Refunded
		for _, r := range all {
			switch {
			case r.Purpose == purpose:
				return nil // ordered before
			case r.State == "open" && r.Amount == 0:
				left = 0
			case r.State == "open":
				left -= r.Amount
			}
		}
		waiting := o.State == StateAwaitingDeposit && ask.Amount == 0
		if !waiting && (left <= 0 || ask.Amount > left) {
			return &hook.Problem{Status: 409, Detail: fmt.Sprintf(
				"order %s: %d of it can be given back beside what is on its way", id, max(left, 0))}
		}
		now := d.now()
		if o.State == StateRefundFailed {
			o.State = StateCompensating
		}
		if o.Attention == attentionRefundRefused || o.Attention == attentionPartial {
			o.Attention = ""
		}
		if err := note(ctx, tx, o, now, "refund", "ordered", ask.Actor+": "+ask.Reason); err != nil {
			return err
		}
		err = d.orderRefund(ctx, tx, o, refund{Purpose: purpose, Amount: ask.Amount, Reason: ask.Reason,
			Receiver: receiver, Actor: ask.Actor}, now)
		if err != nil {
			return err
		}
		return d.save(ctx, tx, o, now)
	})
}
