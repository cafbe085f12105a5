package toss

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Seats change only under the lock of their product's row, and whoever locks a
// purchase's row as well locks it first.

// errSoldOut: no seat is left.
var errSoldOut = errors.New("no seat is left")

// lockProduct takes the row of a product until the transaction ends.
func lockProduct(ctx context.Context, tx hook.Tx, id string) (*Product, error) {
	return scanProduct(tx.QueryRowContext(ctx,
		`UPDATE products SET version = version + 1 WHERE id = $1 RETURNING `+productColumns, id))
}

// exec runs a statement and gives the number of rows that it changed.
func exec(ctx context.Context, tx hook.Tx, query string, args ...any) (int64, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// endHolds lets go of the holds of a product whose time is over. The product is
// locked.
func endHolds(ctx context.Context, tx hook.Tx, product string, now time.Time) (int64, error) {
	n, err := exec(ctx, tx, `DELETE FROM holds WHERE product = $1 AND held_until <= $2`, product, now)
	if err != nil || n == 0 {
		return n, err
	}
	return n, giveBack(ctx, tx, product, n)
}

func giveBack(ctx context.Context, tx hook.Tx, product string, n int64) error {
	_, err := exec(ctx, tx, `UPDATE products SET taken = taken - $2 WHERE id = $1`, product, n)
	return err
}

// oneMore takes one seat, or none if none is left. The product is locked.
func (d *Desk) oneMore(ctx context.Context, tx hook.Tx, product string, now time.Time) (bool, error) {
	if _, err := endHolds(ctx, tx, product, now); err != nil {
		return false, err
	}
	n, err := exec(ctx, tx, `UPDATE products SET taken = taken + 1
		WHERE id = $1 AND (seats IS NULL OR taken < seats)`, product)
	return n == 1, err
}

// hold keeps a seat for a purchase until then, or keeps the one it has longer.
// The purchase is locked; errSoldOut if no seat is left.
func (d *Desk) hold(ctx context.Context, tx hook.Tx, c *checkout, now time.Time) error {
	if _, err := lockProduct(ctx, tx, c.Product); err != nil {
		return err
	}
	end := now.Add(d.cfg.Hold)
	n, err := exec(ctx, tx, `UPDATE holds SET held_until = $2 WHERE checkout = $1`, c.ID, end)
	if err != nil || n == 1 {
		return err
	}
	if ok, err := d.oneMore(ctx, tx, c.Product, now); err != nil || !ok {
		return errors.Join(err, soldOut(ok))
	}
	_, err = exec(ctx, tx, `INSERT INTO holds (checkout, product, held_until) VALUES ($1, $2, $3)`, c.ID, c.Product, end)
	return err
}

func soldOut(ok bool) error {
	if ok {
		return nil
	}
	return errSoldOut
}

// take turns the hold of a purchase into a pending registration for one of its
// orders, or takes a seat anew where the hold has ended. It says why it cannot:
// no seat is left, another order of the purchase has one, the buyer has one. The
// purchase is locked.
func (d *Desk) take(ctx context.Context, tx hook.Tx, c *checkout, o *order, now time.Time) (refused string, err error) {
	p, err := lockProduct(ctx, tx, c.Product)
	if err != nil {
		return "", err
	}
	held, err := exec(ctx, tx, `DELETE FROM holds WHERE checkout = $1`, c.ID)
	if err != nil {
		return "", err
	}
	if held == 0 {
		if ok, err := d.oneMore(ctx, tx, c.Product, now); err != nil || !ok {
			return reasonNoSeat, err
		}
	}
	var sole any
	if p.OneEach && c.Buyer != "" {
		sole = soleBuyer(ctx, c.Buyer)
	}
	if sole != nil && sole != c.Buyer {
		// A seat from before encryption was on has its buyer's name in plain: no
		// unique index sees that it is the same. The lock of the product does.
		if has, err := hasSeat(ctx, tx, p.ID, c.Buyer); err != nil {
			return "", err
		} else if has {
			return d.seatRefused(ctx, tx, c)
		}
	}
	buyer, err := hook.SealerOf(ctx).SealText(placeRegistered+o.ID, c.Buyer)
	if err != nil {
		return "", err
	}
	// The unique indexes decide, also between transactions that run at once.
	n, err := exec(ctx, tx, `INSERT INTO registrations (order_id, checkout, product, buyer, sole_buyer, state, created_at)
		VALUES ($1, $2, $3, $4, $5, 'pending', $6) ON CONFLICT DO NOTHING`, o.ID, c.ID, c.Product, buyer, sole, now)
	if err != nil || n == 1 {
		return "", err
	}
	return d.seatRefused(ctx, tx, c)
}

// seatRefused gives back the seat that was just taken, and says why it cannot be
// the purchase's.
func (d *Desk) seatRefused(ctx context.Context, tx hook.Tx, c *checkout) (refused string, err error) {
	if err := giveBack(ctx, tx, c.Product, 1); err != nil {
		return "", err
	}
	mine, err := exists(ctx, tx, `SELECT 1 FROM registrations WHERE checkout = $1 AND canceled_at IS NULL`, c.ID)
	if err != nil || mine {
		return reasonOtherOrder, err
	}
	return reasonApplied, nil
}

func exists(ctx context.Context, tx hook.Tx, query string, args ...any) (bool, error) {
	var one int
	err := tx.QueryRowContext(ctx, query+` LIMIT 1`, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// seatOf reports whether an order has a live registration, and whether it is a
// registered one.
func seatOf(ctx context.Context, tx hook.Tx, order string) (has, registered bool, err error) {
	var state string
	err = tx.QueryRowContext(ctx, `SELECT state FROM registrations WHERE order_id = $1 AND canceled_at IS NULL`, order).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return err == nil, state == "registered", err
}

// register gives the seat that an order has taken to its buyer, for the amount
// that is kept.
func register(ctx context.Context, tx hook.Tx, order string, amount int64, now time.Time) error {
	_, err := exec(ctx, tx, `UPDATE registrations SET state = 'registered', amount = $2, registered_at = COALESCE(registered_at, $3)
		WHERE order_id = $1 AND canceled_at IS NULL`, order, amount, now)
	return err
}

// unregister makes a registration wait for its deposit again.
func unregister(ctx context.Context, tx hook.Tx, order string) error {
	_, err := exec(ctx, tx, `UPDATE registrations SET state = 'pending', amount = 0
		WHERE order_id = $1 AND canceled_at IS NULL`, order)
	return err
}

// release lets the seat of an order go: a pending registration vanishes, a
// registered one stays as canceled. Without a seat it does nothing.
func release(ctx context.Context, tx hook.Tx, o *order, now time.Time) error {
	if _, err := lockProduct(ctx, tx, o.Product); err != nil {
		return err
	}
	n, err := exec(ctx, tx, `DELETE FROM registrations WHERE order_id = $1 AND state = 'pending'`, o.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		n, err = exec(ctx, tx, `UPDATE registrations SET canceled_at = $2, amount = 0
			WHERE order_id = $1 AND canceled_at IS NULL`, o.ID, now)
		if err != nil || n == 0 {
			return err
		}
	}
	return giveBack(ctx, tx, o.Product, 1)
}

// backToHold turns the pending registration of an order into a hold of its
// purchase again.
func (d *Desk) backToHold(ctx context.Context, tx hook.Tx, o *order, now time.Time) error {
	if _, err := lockProduct(ctx, tx, o.Product); err != nil {
		return err
	}
	n, err := exec(ctx, tx, `DELETE FROM registrations WHERE order_id = $1 AND state = 'pending'`, o.ID)
	if err != nil || n == 0 {
		return err
	}
	_, err = exec(ctx, tx, `INSERT INTO holds (checkout, product, held_until) VALUES ($1, $2, $3)`,
		o.Checkout, o.Product, now.Add(d.cfg.Hold))
	return err
}
