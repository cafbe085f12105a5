package toss

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Money is where all captured money is. Captured = Settled + Refunded + Open,
// always: Off is the difference and must be 0.
type Money struct {
	Captured   int64      `json:"captured"`    // what Toss says was taken, by orders
	Settled    int64      `json:"settled"`     // what is kept for seats, by registrations
	Refunded   int64      `json:"refunded"`    // what Toss shows as given back, by its transactions
	Open       int64      `json:"open"`        // taken, without a seat, not back yet
	OpenOrders int64      `json:"open_orders"` // how many orders that is
	OldestOpen *time.Time `json:"oldest_open"` // since when, at the longest
	Off        int64      `json:"off"`
	Attention  int64      `json:"attention"` // orders that need a person
}

// Money adds everything up in one snapshot, each term from a table of its own,
// so that a mistake in one of them shows.
func (d *Desk) Money(ctx context.Context) (m Money, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		m = Money{}
		for _, term := range []struct {
			into  *int64
			query string
		}{
			{&m.Captured, `SELECT CAST(COALESCE(SUM(captured), 0) AS BIGINT) FROM orders`},
			{&m.Settled, `SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM registrations WHERE canceled_at IS NULL`},
			{&m.Refunded, `SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM order_cancels`},
			{&m.Attention, `SELECT count(*) FROM orders WHERE attention <> ''`},
		} {
			if err := tx.QueryRowContext(ctx, term.query).Scan(term.into); err != nil {
				return err
			}
		}
		var oldest hook.Timestamp
		err := tx.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(captured - refunded), 0) AS BIGINT), count(*), MIN(created_at) FROM orders
			WHERE captured > refunded AND NOT EXISTS (SELECT 1 FROM registrations
				WHERE order_id = orders.id AND canceled_at IS NULL AND state = 'registered')`).
			Scan(&m.Open, &m.OpenOrders, &oldest)
		m.OldestOpen = timeOf(oldest)
		m.Off = m.Captured - m.Settled - m.Refunded - m.Open
		return err
	})
	return m, err
}
