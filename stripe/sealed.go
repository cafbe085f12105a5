package stripe

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// emailPlace is where a customer's e-mail is sealed for.
func emailPlace(source, mode, customer string) string {
	return "customers.email/" + source + "/" + mode + "/" + customer
}

// emailIndex is what two e-mails of the same second are compared by where they are
// sealed; empty where they are not.
func emailIndex(ctx context.Context, email string) string {
	if email == "" {
		return ""
	}
	return hook.SealerOf(ctx).TextIndex("customers.email", email)
}

// maxCustomers of one user whose e-mails are looked at.
const maxCustomers = 100

// emailOf gives the e-mail of a user's customer, the last one by its text where
// there are several; empty if none is known.
func (d *Desk) emailOf(ctx context.Context, tx hook.Tx, mode, user string) (email string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT customer_id, email FROM customers
		WHERE source = $1 AND mode = $2 AND user_id = $3 AND email IS NOT NULL LIMIT $4`, d.name, mode, user, maxCustomers)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var customer, stored string
		if err := rows.Scan(&customer, &stored); err != nil {
			return "", err
		}
		text, err := hook.SealerOf(ctx).OpenText(emailPlace(d.name, mode, customer), stored)
		if err != nil {
			return "", fmt.Errorf("e-mail of customer %s: %w", customer, err)
		}
		email = max(email, text)
	}
	return email, rows.Err()
}

// sealedAtOnce bounds one step.
const sealedAtOnce = 100

// SealColumns seals some of the e-mails that were stored before encryption was on,
// behind a cursor that is empty at first. It may be cut at any point; whoever begins
// again passes over what is sealed. Where nothing is encrypted it does nothing.
func SealColumns(ctx context.Context, store hook.Applier, cursor string) (step hook.SealStep, err error) {
	var after [3]string // source, mode, customer
	if cursor != "" && json.Unmarshal([]byte(cursor), &after) != nil {
		return step, fmt.Errorf("seal cursor %.80q: begin without one: %w", cursor, hook.ErrBadFilter)
	}
	err = store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		step = hook.SealStep{}
		plain, err := plainEmails(ctx, tx, after)
		if err != nil {
			return err
		}
		for _, row := range plain {
			n, err := sealEmail(ctx, tx, row)
			if err != nil {
				return fmt.Errorf("seal the e-mail of customer %s: %w", row[2], err)
			}
			step.Looked, step.Sealed = step.Looked+1, step.Sealed+int(n)
		}
		if len(plain) == sealedAtOnce {
			last, err := json.Marshal(plain[len(plain)-1][:3])
			step.Next = string(last)
			return err
		}
		return nil
	})
	return step, err
}

// plainEmails gives source, mode, customer and e-mail.
func plainEmails(ctx context.Context, tx hook.Tx, after [3]string) ([][4]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT source, mode, customer_id, email FROM customers
		WHERE (source, mode, customer_id) > ($1, $2, $3) AND email NOT LIKE 'hk1:%'
		ORDER BY source, mode, customer_id LIMIT $4`, after[0], after[1], after[2], sealedAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][4]string
	for rows.Next() {
		var row [4]string
		var email sql.NullString
		if err := rows.Scan(&row[0], &row[1], &row[2], &email); err != nil {
			return nil, err
		}
		row[3] = email.String
		all = append(all, row)
	}
	return all, rows.Err()
}

func sealEmail(ctx context.Context, tx hook.Tx, row [4]string) (int64, error) {
	sealer, place := hook.SealerOf(ctx), emailPlace(row[0], row[1], row[2])
	email, err := sealer.OpenText(place, row[3]) // without its mark, if it has one
	if err != nil {
		return 0, err
	}
	sealed, err := sealer.SealText(place, email)
	if err != nil || sealed == row[3] {
		return 0, err
	}
	res, err := tx.ExecContext(ctx, `UPDATE customers SET email = $1, email_index = $2
		WHERE source = $3 AND mode = $4 AND customer_id = $5 AND email = $6`,
		sealed, orNull(emailIndex(ctx, email)), row[0], row[1], row[2], row[3])
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
