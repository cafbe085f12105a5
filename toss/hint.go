package toss

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/tidwall/gjson"
)

// typeDeposit is the source's name of the delivery that has none of its own.
const typeDeposit = "DEPOSIT_CALLBACK"

// skew is how far the clocks of two nodes may differ when an answer is said to
// have been asked for after a hint.
const skew = 5 * time.Second

// handleHint takes a delivery of Toss, which nobody signed: the one thing that
// follows from it is that Toss is asked about the order it names. One answer
// serves all hints recorded before it was asked for, and the questions about one
// order keep a gap, so that a flood of forgeries is a trickle of questions.
func (d *Desk) handleHint(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	o, err := d.hinted(ctx, e)
	if err != nil || o == nil {
		return nil, err // not ours: the shop may use Toss elsewhere, too
	}
	if d.cfg.mutant("trust_body") {
		return d.believe(o, e)
	}
	if e.Type == typeDeposit && o.Secret != "" && !d.cfg.DepositSecret(e.Body, o.Secret) {
		return nil, nil // not from Toss: no question is spent on it
	}
	now := d.now()
	if o.AskedAt.Valid {
		if e.RecordedAt.Add(skew).Before(o.AskedAt.Time) {
			return nil, nil
		}
		if rest := d.cfg.HintGap - now.Sub(o.AskedAt.Time); rest > 0 && rest <= d.cfg.HintGap {
			return nil, hook.After(fmt.Errorf("toss: order %s was asked about a moment ago: %w", o.ID, hook.ErrNotYet), rest)
		}
	}
	if !hook.Previewing(ctx) && !d.asking.pass("") {
		return nil, hook.After(fmt.Errorf("toss: too many hints at once: %w", hook.ErrNotYet), time.Second)
	}
	return later(d.bring(ctx, o))
}

// hinted finds the order that a hint names: by the subject, else by the payment
// key that was stored when our own page brought it.
func (d *Desk) hinted(ctx context.Context, e *hook.Event) (*order, error) {
	id := e.Subject
	var o *order
	err := hook.ErrNotFound
	switch {
	case isID(id, orderPrefix):
		o, err = d.order(ctx, id)
	case id != "" && !strings.HasPrefix(id, orderPrefix):
		o, err = d.orderOfPayment(ctx, id)
	}
	if errors.Is(err, hook.ErrNotFound) {
		return nil, nil
	}
	return o, err
}

// bring asks Toss about an order in any state and settles it.
func (d *Desk) bring(ctx context.Context, o *order) (hook.Effect, error) {
	if o.State == StateConfirming {
		return d.carry(ctx, o)
	}
	asked := d.now()
	p, err := d.ask(ctx, o)
	switch {
	case err != nil && classOf(err) == ClassMissing:
		return d.askedInVain(o.ID, asked), nil
	case err != nil:
		return nil, d.troubled(ctx, o, err)
	}
	return d.settle(answer{o.ID, o.Version, p, asked}), nil
}

// askedInVain notes that Toss knew nothing at that time.
func (d *Desk) askedInVain(id string, asked time.Time) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := exec(ctx, tx, `UPDATE orders SET asked_at = $2 WHERE id = $1 AND (asked_at IS NULL OR asked_at < $2)`, id, asked)
		return err
	}
}

// believe is a known mistake for the tests: it takes the body for the truth.
func (d *Desk) believe(o *order, e *hook.Event) (hook.Effect, error) {
	p, err := readPayment([]byte(gjson.GetBytes(e.Body, "data").Raw))
	if err != nil {
		return nil, nil
	}
	return d.settle(answer{o.ID, o.Version, p, d.now()}), nil
}
