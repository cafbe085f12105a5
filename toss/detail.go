package toss

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// OrderDetail is an order with everything that happened to it.
type OrderDetail struct {
	OrderInfo
	Refunds []RefundInfo `json:"refunds"`
	Cancels []CancelInfo `json:"cancels"`
	Notes   []NoteInfo   `json:"notes"`
	Others  []OrderInfo  `json:"others"` // the other orders of the purchase
}

// RefundInfo is a row of the outbox. Its id is what Toss knows it by.
type RefundInfo struct {
	ID        string    `json:"id"`
	Purpose   string    `json:"purpose"`
	Amount    int64     `json:"amount"` // 0: all that was left
	Reason    string    `json:"reason"`
	State     string    `json:"state"` // open, accepted, refused
	Actor     string    `json:"actor"`
	Attempts  int       `json:"attempts"`
	NextAt    time.Time `json:"next_at"`
	LastError string    `json:"last_error"`
	CreatedAt time.Time `json:"created_at"`
}

// CancelInfo is money that Toss shows as given back.
type CancelInfo struct {
	TransactionKey string    `json:"transaction_key"`
	Amount         int64     `json:"amount"`
	Reason         string    `json:"reason"`
	NotedAt        time.Time `json:"noted_at"`
}

// NoteInfo is something that an operator may want to know.
type NoteInfo struct {
	Order   string    `json:"order"`
	NotedAt time.Time `json:"noted_at"`
	Kind    string    `json:"kind"` // refused, mismatch, widget, refund, resolved
	Code    string    `json:"code"`
	Detail  string    `json:"detail"`
}

// detail reads an order with all that belongs to it, in one snapshot.
func (d *Desk) detail(ctx context.Context, id string) (*OrderDetail, error) {
	var out *OrderDetail
	err := d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		o, err := loadOrder(ctx, tx, id)
		if err != nil {
			return err
		}
		c, err := scanCheckout(ctx, tx.QueryRowContext(ctx, `SELECT `+checkoutColumns+` FROM checkouts WHERE id = $1`, o.Checkout))
		if err != nil {
			return err
		}
		out = &OrderDetail{OrderInfo: d.info(o, c.Buyer), Refunds: []RefundInfo{}, Cancels: []CancelInfo{},
			Notes: []NoteInfo{}, Others: []OrderInfo{}}
		others, err := ordersWhere(ctx, tx, `checkout = $1 AND id <> $2 ORDER BY attempt`, o.Checkout, id)
		if err != nil {
			return err
		}
		for _, other := range others {
			out.Others = append(out.Others, d.info(other, c.Buyer))
		}
		refunds, err := refundsWhere(ctx, tx, `order_id = $1 ORDER BY created_at`, id)
		if err != nil {
			return err
		}
		for _, r := range refunds {
			out.Refunds = append(out.Refunds, RefundInfo{ID: r.ID, Purpose: r.Purpose, Amount: r.Amount, Reason: r.Reason,
				State: r.State, Actor: r.Actor, Attempts: r.Attempts, NextAt: r.NextAt.Time, LastError: r.LastError,
				CreatedAt: r.CreatedAt.Time})
		}
		if err := out.readCancels(ctx, tx); err != nil {
			return err
		}
		return out.readNotes(ctx, tx)
	})
	return out, err
}

func (o *OrderDetail) readCancels(ctx context.Context, tx hook.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT transaction_key, amount, reason, noted_at FROM order_cancels
		WHERE order_id = $1 ORDER BY noted_at, transaction_key`, o.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c CancelInfo
		var at hook.Timestamp
		if err := rows.Scan(&c.TransactionKey, &c.Amount, &c.Reason, &at); err != nil {
			return err
		}
		c.NotedAt = at.Time
		o.Cancels = append(o.Cancels, c)
	}
	return rows.Err()
}

func (o *OrderDetail) readNotes(ctx context.Context, tx hook.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT order_id, noted_at, kind, code, detail FROM order_notes
		WHERE checkout = $1 ORDER BY noted_at`, o.Checkout)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n NoteInfo
		var at hook.Timestamp
		if err := rows.Scan(&n.Order, &at, &n.Kind, &n.Code, &n.Detail); err != nil {
			return err
		}
		n.NotedAt = at.Time
		o.Notes = append(o.Notes, n)
	}
	return rows.Err()
}
