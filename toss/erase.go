package toss

import (
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// erase blanks what the desk keeps of a buyer, who is named by the customer key or
// as the application named the buyer: that name, where the buyer went afterwards,
// accounts, and the words of notes. Orders, refunds and their money stay, and so does
// everything of a purchase whose order is not finished. A repeat finds nothing.
//
// A buyer whose one registration of a product is blanked is not known as its owner
// any more.
func (d *Desk) erase(ctx context.Context, tx hook.Tx, source, customer string) (rows int, err error) {
	if source != d.cfg.Source && source != sourceCheckout {
		return 0, nil
	}
	ids, err := d.finishedPurchases(ctx, tx, customer)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		for _, statement := range []string{
			`UPDATE checkouts SET buyer = '', return_url = '' WHERE id = $1 AND (buyer <> '' OR return_url <> '')`,
			`UPDATE registrations SET buyer = '', sole_buyer = NULL WHERE checkout = $1 AND buyer <> ''`,
			`UPDATE orders SET account = '', version = version + 1 WHERE checkout = $1 AND account <> ''`,
			`UPDATE refunds SET receiver = '' WHERE receiver <> '' AND state <> 'open'
				AND order_id IN (SELECT id FROM orders WHERE checkout = $1)`,
			`UPDATE order_notes SET detail = '' WHERE checkout = $1 AND detail <> ''`,
		} {
			n, err := exec(ctx, tx, statement, id)
			if err != nil {
				return 0, fmt.Errorf("blank purchase %s: %w", id, err)
			}
			rows += int(n)
		}
	}
	return rows, nil
}

// finishedPurchases locks and gives the purchases of a buyer none of whose orders is
// open and none of whose money is on its way back.
func (d *Desk) finishedPurchases(ctx context.Context, tx hook.Tx, customer string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `UPDATE checkouts SET version = version + 1
		WHERE customer_key IN ($1, $2)
			AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.checkout = checkouts.id AND o.state IN
				('issued', 'prepared', 'authorized', 'confirming', 'awaiting_deposit', 'compensating'))
			AND NOT EXISTS (SELECT 1 FROM orders o JOIN refunds r ON r.order_id = o.id
				WHERE o.checkout = checkouts.id AND r.state = 'open')
		RETURNING id`, customer, d.customerKey(customer))
	if err != nil {
		return nil, fmt.Errorf("look for a buyer: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look for a buyer: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
