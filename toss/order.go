package toss

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// checkout is one purchase.
type checkout struct {
	ID, Product, Buyer, CustomerKey, Lang, ReturnURL string
	OpenedAt, CreatedAt                              hook.Timestamp
}

// order is one attempt to pay for a purchase.
type order struct {
	ID, Checkout, Product string
	Attempt               int
	RequestKey            string
	Amount                int64
	Currency              string
	State                 OrderState
	Reason                string
	PaymentKey            string
	ConfirmKey            string
	ConfirmNo             int
	ConfirmUntil          hook.Timestamp
	Sent                  bool
	TossStatus, Method    string
	Captured, Refunded    int64
	Secret, Account       string
	DueAt                 hook.Timestamp
	Attention             string
	AskedAt               hook.Timestamp
	CreatedAt, UpdatedAt  hook.Timestamp
	ExpiresAt, SettledAt  hook.Timestamp
	PreparedAt            hook.Timestamp
	Version               int64

	was OrderState // as it is stored
}

const checkoutColumns = `id, product, buyer, customer_key, lang, return_url, opened_at, created_at`

func scanCheckout(ctx context.Context, row scanner) (*checkout, error) {
	var c checkout
	err := row.Scan(&c.ID, &c.Product, &c.Buyer, &c.CustomerKey, &c.Lang, &c.ReturnURL, &c.OpenedAt, &c.CreatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hook.ErrNotFound
	}
	if err == nil {
		err = openInto(ctx, &c.Buyer, placeBuyer+c.ID)
	}
	return &c, err
}

// lockCheckout takes the row of a purchase until the transaction ends: the lock
// of all its orders.
func lockCheckout(ctx context.Context, tx hook.Tx, id string) (*checkout, error) {
	return scanCheckout(ctx, tx.QueryRowContext(ctx,
		`UPDATE checkouts SET version = version + 1 WHERE id = $1 RETURNING `+checkoutColumns, id))
}

const orderColumns = `id, checkout, product, attempt, request_key, amount, currency, state, reason, payment_key,
	confirm_key, confirm_no, confirm_until, sent, toss_status, method, captured, refunded, secret, account, due_at,
	attention, asked_at, created_at, updated_at, expires_at, settled_at, prepared_at, version`

func scanOrder(ctx context.Context, row scanner) (*order, error) {
	var o order
	err := row.Scan(&o.ID, &o.Checkout, &o.Product, &o.Attempt, &o.RequestKey, &o.Amount, &o.Currency, &o.State,
		&o.Reason, &o.PaymentKey, &o.ConfirmKey, &o.ConfirmNo, &o.ConfirmUntil, &o.Sent, &o.TossStatus, &o.Method,
		&o.Captured, &o.Refunded, &o.Secret, &o.Account, &o.DueAt, &o.Attention, &o.AskedAt, &o.CreatedAt,
		&o.UpdatedAt, &o.ExpiresAt, &o.SettledAt, &o.PreparedAt, &o.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hook.ErrNotFound
	}
	o.was = o.State
	if err == nil {
		err = openInto(ctx, &o.Secret, placeSecret+o.ID)
	}
	if err == nil {
		err = openInto(ctx, &o.Account, placeAccount+o.ID)
	}
	return &o, err
}

func loadOrder(ctx context.Context, tx hook.Tx, id string) (*order, error) {
	return scanOrder(ctx, tx.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = $1`, id))
}

// ordersWhere gives orders; the condition follows WHERE.
func ordersWhere(ctx context.Context, tx hook.Tx, condition string, args ...any) ([]*order, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+orderColumns+` FROM orders WHERE `+condition, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*order
	for rows.Next() {
		o, err := scanOrder(ctx, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// lockOrder takes the purchase of an order, then reads the order as it is under
// that lock.
func lockOrder(ctx context.Context, tx hook.Tx, id string) (*checkout, *order, error) {
	o, err := loadOrder(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	c, err := lockCheckout(ctx, tx, o.Checkout)
	if err != nil {
		return nil, nil, err
	}
	o, err = loadOrder(ctx, tx, id)
	return c, o, err
}

// save writes what may change of an order, and counts the state that it comes to.
// The purchase is locked, so the version is the one that was read: if it is not,
// the lock was forgotten. A transaction that fails after this is counted, too.
func (d *Desk) save(ctx context.Context, tx hook.Tx, o *order, now time.Time) error {
	sealer := hook.SealerOf(ctx)
	secret, err := sealer.SealText(placeSecret+o.ID, o.Secret)
	if err != nil {
		return err
	}
	account, err := sealer.SealText(placeAccount+o.ID, o.Account)
	if err != nil {
		return err
	}
	n, err := exec(ctx, tx, `UPDATE orders SET state = $3, reason = $4, payment_key = $5, confirm_key = $6, confirm_no = $7,
		confirm_until = $8, sent = $9, toss_status = $10, method = $11, captured = $12, refunded = $13, secret = $14,
		account = $15, due_at = $16, attention = $17, asked_at = $18, updated_at = $19, settled_at = $20, prepared_at = $21,
		version = version + 1 WHERE id = $1 AND version = $2`,
		o.ID, o.Version, string(o.State), o.Reason, o.PaymentKey, o.ConfirmKey, o.ConfirmNo,
		stampOf(o.ConfirmUntil), o.Sent, o.TossStatus, o.Method, o.Captured, o.Refunded, secret,
		account, stampOf(o.DueAt), o.Attention, stampOf(o.AskedAt), now, stampOf(o.SettledAt), stampOf(o.PreparedAt))
	if err != nil {
		return err
	}
	if n != 1 {
		return errStale
	}
	o.Version++
	if o.State != o.was && !hook.Previewing(ctx) { // what is rolled back counts nowhere
		d.told.outcomes.add(string(o.State))
		o.was = o.State
	}
	return nil
}

func stampOf(t hook.Timestamp) any {
	if !t.Valid {
		return nil
	}
	return t.Time
}

func at(t time.Time) hook.Timestamp { return hook.Timestamp{Time: t, Valid: !t.IsZero()} }

// winner gives the order of a purchase that is being confirmed or holds money,
// other than the one named; nil if there is none.
func winner(ctx context.Context, tx hook.Tx, checkout, but string) (*order, error) {
	all, err := ordersWhere(ctx, tx, `checkout = $1 AND id <> $2
		AND state IN ('confirming', 'paid', 'awaiting_deposit')`, checkout, but)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// newest gives the last order of a purchase.
func newest(ctx context.Context, tx hook.Tx, checkout string) (*order, error) {
	return scanOrder(ctx, tx.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders
		WHERE checkout = $1 ORDER BY attempt DESC LIMIT 1`, checkout))
}

// order reads an order outside of any change.
func (d *Desk) order(ctx context.Context, id string) (o *order, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		o, err = loadOrder(ctx, tx, id)
		return err
	})
	return o, err
}

// orderOfPayment finds the order that a payment key was stored with.
func (d *Desk) orderOfPayment(ctx context.Context, key string) (o *order, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		o, err = scanOrder(ctx, tx.QueryRowContext(ctx, `SELECT `+orderColumns+` FROM orders
			WHERE payment_key = $1 AND payment_key <> ''`, key))
		return err
	})
	return o, err
}

// note keeps a line for operators beside a purchase, at most 200 of them.
func note(ctx context.Context, tx hook.Tx, o *order, now time.Time, kind, code, detail string) error {
	_, err := exec(ctx, tx, `INSERT INTO order_notes (checkout, order_id, noted_at, kind, code, detail)
		SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM order_notes WHERE checkout = $1) < 200`,
		o.Checkout, o.ID, now, kind, cut(code, 64), cut(printable(detail), 300))
	return err
}

// printable keeps what a stranger wrote on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
