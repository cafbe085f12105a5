package stripe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// invoiceState is what is kept of an invoice.
type invoiceState struct {
	id, subscription, status string
	at                       time.Time // when it was made: fixed, so a grace period counts from it
}

// grade orders the states of an invoice: it only ever goes up.
func (i *invoiceState) grade() int {
	switch i.status {
	case "draft":
		return 1
	case "open":
		return 2
	case "uncollectible":
		return 3
	case "void":
		return 4
	case "paid":
		return 5
	}
	return 0
}

// readInvoiceObject reads an invoice of any version. Its subscription moved below
// parent with API 2025-03-31.
func readInvoiceObject(o gjson.Result) (invoiceState, error) {
	i := invoiceState{id: o.Get("id").String(), subscription: invoiceSubscription(o),
		status: o.Get("status").String(), at: seconds(o.Get("created"))}
	switch {
	case i.id == "":
		return i, &missingError{object: "invoice", field: "id"}
	case i.status == "":
		return i, &missingError{object: "invoice " + i.id, field: "status"}
	case i.at.IsZero():
		return i, &missingError{object: "invoice " + i.id, field: "created"}
	}
	return i, nil
}

func invoiceSubscription(o gjson.Result) string {
	if sub := ref(o.Get("parent.subscription_details.subscription")); sub != "" {
		return sub
	}
	return ref(o.Get("subscription"))
}

// invoiceEvent keeps the state of an invoice, and that of the subscription's row
// whose latest invoice it is.
func (d *Desk) invoiceEvent(ctx context.Context, ev *event) (hook.Effect, error) {
	o, _, err := d.objectOf(ctx, ev)
	if err != nil {
		return nil, err
	}
	inv, err := readInvoiceObject(o)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx hook.Tx) error {
		if err := d.writeInvoice(ctx, tx, ev.Mode, inv); err != nil {
			return err
		}
		// What stands is read again: a higher grade may have been there.
		now, err := d.readInvoice(ctx, tx, ev.Mode, inv.id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE subscriptions SET latest_invoice_status = $1, latest_invoice_at = $2,
			revision = revision + 1, updated_at = $3
			WHERE source = $4 AND mode = $5 AND latest_invoice = $6 AND latest_invoice_status <> $1`,
			now.status, now.at, d.cfg.Now(), d.name, ev.Mode, inv.id)
		if err != nil {
			return fmt.Errorf("write the invoice of a subscription: %w", err)
		}
		return nil
	}, nil
}

func (d *Desk) writeInvoice(ctx context.Context, tx hook.Tx, mode string, i invoiceState) error {
	if i.id == "" || i.status == "" || i.at.IsZero() {
		return nil // a subscription whose invoice did not come with it
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO billing_invoices
		(source, mode, invoice_id, subscription_id, status, grade, invoiced_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (source, mode, invoice_id) DO UPDATE SET status = excluded.status, grade = excluded.grade
		WHERE excluded.grade > billing_invoices.grade`, d.name, mode, i.id, i.subscription, i.status, i.grade(), i.at)
	if err != nil {
		return fmt.Errorf("write invoice %s: %w", i.id, err)
	}
	return nil
}

func (d *Desk) readInvoice(ctx context.Context, tx hook.Tx, mode, id string) (i invoiceState, err error) {
	if id == "" {
		return i, nil
	}
	var at hook.Timestamp
	err = tx.QueryRowContext(ctx, `SELECT status, invoiced_at FROM billing_invoices
		WHERE source = $1 AND mode = $2 AND invoice_id = $3`, d.name, mode, id).Scan(&i.status, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return i, nil
	}
	if err != nil {
		return i, fmt.Errorf("read invoice %s: %w", id, err)
	}
	i.id, i.at = id, at.Time
	return i, nil
}
