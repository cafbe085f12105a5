package toss

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	// sweepBatch bounds what one turn does; the next one comes in seconds.
	sweepBatch = 200
	// askBatch bounds the questions of one turn: at Toss's test mode 100 a
	// minute are allowed.
	askBatch = 20
	// quiet is how long a confirming order is left to its job: a question and a
	// confirm take 16 s at the worst.
	quiet = 10 * time.Second
)

// Sweep ends what nobody finished: holds and orders whose time is over, and
// confirming orders whose job was lost, which are asked about and brought on. It
// is a duty; each change is guarded by its own transaction.
func (d *Desk) Sweep(ctx context.Context) error {
	return errors.Join(
		d.sweepHolds(ctx),
		d.sweepConfirming(ctx),
		d.sweepOrders(ctx),
		d.sweepDeposits(ctx),
		d.sweepCheckouts(ctx),
	)
}

// sweepHolds lets seats go, product by product.
func (d *Desk) sweepHolds(ctx context.Context) error {
	now := d.now()
	products, err := d.list(ctx, `SELECT DISTINCT product FROM holds WHERE held_until <= $1 LIMIT 100`, now)
	for _, product := range products {
		err = errors.Join(err, d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
			if _, err := lockProduct(ctx, tx, product); err != nil {
				return err
			}
			_, err := endHolds(ctx, tx, product, now)
			return err
		}))
	}
	return err
}

func (d *Desk) list(ctx context.Context, query string, args ...any) (all []string, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		all = nil
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	return all, err
}

func (d *Desk) openOrders(ctx context.Context, condition string, args ...any) (all []*order, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		all, err = ordersWhere(ctx, tx, condition, args...)
		return err
	})
	return all, err
}

// sweepConfirming asks about orders whose outcome nobody has written.
func (d *Desk) sweepConfirming(ctx context.Context) error {
	all, err := d.openOrders(ctx, `state = 'confirming' AND updated_at <= $1 ORDER BY updated_at LIMIT $2`,
		d.now().Add(-quiet), askBatch)
	return errors.Join(err, d.bringAll(ctx, all))
}

// bringAll asks about each order and settles it. One that was asked about in
// vain goes to the end of the queue.
func (d *Desk) bringAll(ctx context.Context, all []*order) error {
	var errs []error
	for _, o := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		effect, err := d.bring(ctx, o)
		if err == nil && effect != nil {
			err = d.cfg.Applier.Apply(ctx, effect)
		}
		switch {
		case errors.Is(err, errStale):
		case err != nil && asksLater(err):
			d.log.Info("toss has not decided, again at the next turn", "order", o.ID, "error", err)
			errs = append(errs, d.touch(ctx, o.ID))
		case err != nil:
			errs = append(errs, err) // our own trouble, not Toss's
		}
	}
	return errors.Join(errs...)
}

// asksLater tells trouble with Toss, which names a time, from our own.
func asksLater(err error) bool {
	_, ok := hook.Delay(err)
	return ok
}

func (d *Desk) touch(ctx context.Context, id string) error {
	now := d.now()
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := exec(ctx, tx, `UPDATE orders SET updated_at = $2 WHERE id = $1`, id, now)
		return err
	})
}

// sweepOrders ends orders that were never paid. Toss is asked about those whose
// buyer may have authenticated, so that nothing that it took is overlooked.
func (d *Desk) sweepOrders(ctx context.Context) error {
	now := d.now()
	all, err := d.openOrders(ctx, `state IN ('issued', 'prepared', 'authorized') AND expires_at <= $1
		AND updated_at <= $2 ORDER BY updated_at LIMIT $3`, now, now.Add(-quiet), sweepBatch)
	if err != nil {
		return err
	}
	var errs []error
	asks := 0
	for _, o := range all {
		var p *Payment
		if o.State != StateIssued {
			if asks++; asks > askBatch {
				continue
			}
			if p, err = d.ask(ctx, o); err != nil && classOf(err) != ClassMissing {
				errs = append(errs, d.touch(ctx, o.ID))
				continue
			}
		}
		err := d.cfg.Applier.Apply(ctx, d.expire(o, p, now))
		if err != nil && !errors.Is(err, errStale) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// expire settles what Toss shows, and ends the order if that leaves it open.
func (d *Desk) expire(seen *order, p *Payment, now time.Time) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		version := seen.Version
		if p != nil {
			if err := d.settle(answer{seen.ID, version, p, now})(ctx, tx); err != nil {
				return err
			}
			version++ // settle has saved it
		}
		_, o, err := lockOrder(ctx, tx, seen.ID)
		if err != nil {
			return err
		}
		if o.Version != version {
			return errStale
		}
		switch o.State {
		case StateIssued, StatePrepared, StateAuthorized:
		default:
			return nil
		}
		o.State = StateExpired
		return d.save(ctx, tx, o, now)
	}
}

// sweepDeposits asks about accounts whose due date is over: Toss tells nobody.
func (d *Desk) sweepDeposits(ctx context.Context) error {
	now := d.now()
	all, err := d.openOrders(ctx, `state = 'awaiting_deposit' AND due_at <= $1 AND updated_at <= $2
		ORDER BY updated_at LIMIT $3`, now, now.Add(-quiet), askBatch)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range all {
		p, err := d.ask(ctx, o)
		if err != nil {
			errs = append(errs, d.touch(ctx, o.ID))
			continue
		}
		err = d.cfg.Applier.Apply(ctx, d.overdue(o, p, now))
		if err != nil && !errors.Is(err, errStale) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// overdue ends an order whose account still waits although its due date is over:
// the seat goes to somebody else. Money that comes all the same finds no seat
// and goes back, or finds one.
func (d *Desk) overdue(seen *order, p *Payment, now time.Time) hook.Effect {
	settle := d.settle(answer{seen.ID, seen.Version, p, now})
	return func(ctx context.Context, tx hook.Tx) error {
		if err := settle(ctx, tx); err != nil {
			return err
		}
		_, o, err := lockOrder(ctx, tx, seen.ID)
		if err != nil || o.State != StateAwaitingDeposit || !o.DueAt.Valid || now.Before(o.DueAt.Time) {
			return err
		}
		o.State, o.Reason = StateExpired, "deposit_overdue"
		if err := release(ctx, tx, o, now); err != nil {
			return err
		}
		return d.save(ctx, tx, o, now)
	}
}

// sweepCheckouts removes purchases that an application or a robot began and no
// browser ever opened, with their orders.
func (d *Desk) sweepCheckouts(ctx context.Context) error {
	all, err := d.list(ctx, `SELECT id FROM checkouts WHERE opened_at IS NULL AND created_at <= $1
		AND NOT EXISTS (SELECT 1 FROM orders WHERE checkout = checkouts.id AND state NOT IN ('expired', 'superseded'))
		AND NOT EXISTS (SELECT 1 FROM orders WHERE checkout = checkouts.id AND payment_key <> '')
		ORDER BY created_at LIMIT $2`, d.now().Add(-d.cfg.OrderLife), sweepBatch)
	if err != nil || len(all) == 0 {
		return err
	}
	for _, id := range all {
		err = errors.Join(err, d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
			n, err := exec(ctx, tx, `DELETE FROM checkouts WHERE id = $1 AND opened_at IS NULL`, id)
			if err != nil || n == 0 {
				return err
			}
			_, err = exec(ctx, tx, `DELETE FROM orders WHERE checkout = $1`, id)
			return err
		}))
	}
	return err
}

// Reconciled says what a comparison with Toss has found.
type Reconciled struct {
	Asked   int `json:"asked"`
	Changed int `json:"changed"` // orders whose state or money was not what Toss shows
	Failed  int `json:"failed"`  // questions without an answer

	Problems []string `json:"problems,omitempty"` // the same in words
}

// Reconcile asks Toss about every open order that nobody has asked about for a
// while, and about those settled in the last two days, and settles what it
// shows, as if a delivery had come. It is a duty, and what hookkeeper reconcile
// calls.
func (d *Desk) Reconcile(ctx context.Context) (Reconciled, error) { return d.reconcile(ctx, false) }

// recently is how long an order is left alone that somebody has asked about.
const recently = 4 * time.Minute

func (d *Desk) reconcile(ctx context.Context, all bool) (Reconciled, error) {
	asked := d.now()
	if !all {
		asked = asked.Add(-recently)
	}
	return d.reconcileBefore(ctx, asked)
}

func (d *Desk) reconcileBefore(ctx context.Context, asked time.Time) (Reconciled, error) {
	var report Reconciled
	all, err := d.openOrders(ctx, `(state IN ('confirming', 'awaiting_deposit', 'compensating', 'authorized')
		OR state = 'paid' AND settled_at >= $1) AND (asked_at IS NULL OR asked_at <= $2)
		ORDER BY asked_at LIMIT $3`, d.now().Add(-48*time.Hour), asked, 5*askBatch)
	if err != nil {
		return report, err
	}
	for _, o := range all {
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		report.Asked++
		effect, err := d.bring(ctx, o)
		if err == nil && effect != nil {
			err = d.cfg.Applier.Apply(ctx, effect)
		}
		if err != nil && !errors.Is(err, errStale) {
			report.Failed++
			continue
		}
		after, err := d.order(ctx, o.ID)
		if err != nil {
			return report, err
		}
		if after.State != o.State || after.Captured != o.Captured || after.Refunded != o.Refunded {
			report.Changed++
		}
	}
	if report.Failed > 0 {
		report.Problems = append(report.Problems, fmt.Sprintf("toss has not decided about %d of %d orders", report.Failed, report.Asked))
	}
	return report, nil
}
