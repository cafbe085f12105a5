package stripe

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// erase blanks what the desk keeps of a customer, who is named by Stripe's id or by
// the e-mail address: the address, and the texts of the notices of that customer's
// users. Subscriptions, payments and what was told when stay. A repeat finds nothing.
func (d *Desk) erase(ctx context.Context, tx hook.Tx, source, customer string) (rows int, err error) {
	if source != d.name {
		return 0, nil
	}
	found, err := d.customersNamed(ctx, tx, customer)
	if err != nil {
		return 0, err
	}
	for _, c := range found {
		for _, statement := range []struct {
			text string
			id   string
		}{
			{`UPDATE customers SET email = NULL, email_index = NULL
				WHERE source = $1 AND mode = $2 AND customer_id = $3 AND email IS NOT NULL`, c.customer},
			{`UPDATE notifications SET title = '', body = '', data = '{}'
				WHERE source = $1 AND mode = $2 AND user_id = $3 AND (title <> '' OR body <> '' OR data <> '{}')`, c.user},
		} {
			if statement.id == "" {
				continue
			}
			result, err := tx.ExecContext(ctx, statement.text, d.name, c.mode, statement.id)
			if err != nil {
				return 0, fmt.Errorf("blank customer %s: %w", c.customer, err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return 0, err
			}
			rows += int(n)
		}
	}
	return rows, nil
}

type namedCustomer struct{ mode, customer, user string }

// customersNamed finds customers by id, by address, and by the keyed hash of a sealed
// address.
func (d *Desk) customersNamed(ctx context.Context, tx hook.Tx, name string) ([]namedCustomer, error) {
	var all []namedCustomer
	for _, by := range []struct{ cond, value string }{
		{`customer_id = $2 AND mode IN ('', 'live', 'test')`, name},
		{`email = $2 AND email IS NOT NULL`, name},
		{`email_index = $2 AND email_index IS NOT NULL`, emailIndex(ctx, name)},
	} {
		if by.value == "" {
			continue
		}
		rows, err := tx.QueryContext(ctx, `SELECT mode, customer_id, user_id FROM customers WHERE source = $1 AND `+by.cond, d.name, by.value)
		if err != nil {
			return nil, fmt.Errorf("look for a customer: %w", err)
		}
		for rows.Next() {
			var c namedCustomer
			var user sql.NullString
			if err := rows.Scan(&c.mode, &c.customer, &user); err != nil {
				rows.Close()
				return nil, fmt.Errorf("look for a customer: %w", err)
			}
			c.user = user.String
			all = append(all, c)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("look for a customer: %w", err)
		}
	}
	return all, nil
}
