package stripe

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// errOvertaken: another attempt has written the row since this one read it. The
// next attempt reads it anew.
var errOvertaken = hook.After(errors.New("the subscription was written meanwhile"), 0)

// handleSubscription keeps the tables subscriptions and billing_invoices: events
// of a subscription and of its invoices have one subject and take turns.
func (d *Desk) handleSubscription(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	ev, err := readEvent(e)
	if err != nil {
		return nil, err
	}
	if ev.is("invoice.") {
		return d.invoiceEvent(ctx, ev)
	}
	// Before the object is fetched, so that a write in between is noticed: a
	// fetch that was overtaken must not win.
	before, err := d.revision(ctx, e.Mode, ev.id())
	if err != nil {
		return nil, err
	}
	o, fetched, err := d.objectOf(ctx, ev, "latest_invoice")
	if err != nil {
		return nil, err
	}
	s, err := d.readSubscription(o)
	if err != nil {
		return nil, err
	}
	p, err := d.resolve(ctx, ev, personOf(ev, o))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx hook.Tx) error {
		user, err := d.meet(ctx, tx, e.Mode, p)
		if err != nil {
			return err
		}
		r, err := d.readRow(ctx, tx, e.Mode, s.id)
		if err != nil {
			return err
		}
		if fetched {
			if r.revision != before {
				return errOvertaken
			}
			if err := d.writeInvoice(ctx, tx, e.Mode, invoiceState{id: s.invoice, subscription: s.id,
				status: s.invoiceStatus, at: s.invoicedAt}); err != nil {
				return err
			}
			return d.writeFetched(ctx, tx, ev, r, s, user)
		}
		return d.writeTold(ctx, tx, ev, r, s, user)
	}, nil
}

// row is what a write needs to know of the one that is there.
type row struct {
	revision int64 // 0: there is none
	status   string
	at       time.Time
	ties     []tie
}

func (d *Desk) revision(ctx context.Context, mode, id string) (n int64, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		r, err := d.readRow(ctx, tx, mode, id)
		n = r.revision
		return err
	})
	return n, err
}

func (d *Desk) readRow(ctx context.Context, tx hook.Tx, mode, id string) (row, error) {
	var r row
	var at hook.Timestamp
	var ties string
	err := tx.QueryRowContext(ctx, `SELECT revision, status, version_at, ties FROM subscriptions
		WHERE source = $1 AND mode = $2 AND subscription_id = $3`, d.name, mode, id).Scan(&r.revision, &r.status, &at, &ties)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(ties), &r.ties)
	}
	if err != nil {
		return row{}, fmt.Errorf("read subscription %s: %w", id, err)
	}
	r.at = at.Time
	return r, nil
}

// version is what is kept beside a state to compare the next one with.
type version struct {
	at     time.Time
	key    string
	ties   []tie
	unsure bool
}

// writeFetched takes the present state. Terminal states stay: what Stripe has
// ended does not come back, whatever a slow replica of it says.
func (d *Desk) writeFetched(ctx context.Context, tx hook.Tx, ev *event, r row, s *subscription, user string) error {
	if terminal(r.status) && !s.terminal() {
		return nil
	}
	v := version{at: ev.created, key: ev.Key}
	if r.at.After(v.at) {
		v.at = r.at
	}
	return d.writeRow(ctx, tx, ev.Mode, r, s, v, user)
}

// writeTold compares the event's state with the one that the row shows.
func (d *Desk) writeTold(ctx context.Context, tx hook.Tx, ev *event, r row, s *subscription, user string) error {
	mine := tie{Key: ev.Key, First: ev.kind == "customer.subscription.created",
		Object: json.RawMessage(ev.object.Raw), Previous: json.RawMessage(ev.previous.Raw)}
	v := version{at: ev.created, key: ev.Key, ties: []tie{mine}}
	switch {
	case r.revision == 0:
	case terminal(r.status) && (!s.terminal() || !ev.created.After(r.at)):
		return nil
	case s.terminal() || ev.created.After(r.at):
	case ev.created.Before(r.at):
		return nil
	default:
		for _, t := range r.ties {
			if t.Key == ev.Key {
				return nil // worked before; a replay changes nothing
			}
		}
		v.ties = append(r.ties, mine)
		if len(v.ties) > maxTies+1 {
			v.ties = v.ties[len(v.ties)-maxTies-1:]
		}
		i, sure := d.newest(v.ties)
		// A state that was fetched has no tie to compare with.
		v.unsure, v.key = !sure || len(r.ties) == 0, v.ties[i].Key
		var err error
		if s, err = d.readSubscription(gjson.ParseBytes(v.ties[i].Object)); err != nil {
			return err
		}
	}
	return d.writeRow(ctx, tx, ev.Mode, r, s, v, user)
}

// writeRow writes the row whole, and only over the revision that was compared.
func (d *Desk) writeRow(ctx context.Context, tx hook.Tx, mode string, r row, s *subscription, v version, user string) error {
	if v.ties == nil {
		v.ties = []tie{}
	}
	ties, err := json.Marshal(v.ties)
	if err != nil {
		return fmt.Errorf("write subscription %s: %w", s.id, err)
	}
	inv, err := d.readInvoice(ctx, tx, mode, s.invoice)
	if err != nil {
		return err
	}
	args := []any{d.name, mode, s.id, s.customer, user, s.plan, s.price, s.quantity, s.status, s.start, s.end,
		nullable(s.cancelAt), s.atPeriodEnd, nullable(s.canceled), nullable(s.ended), nullable(s.trialEnd),
		s.invoice, inv.status, nullable(inv.at), v.at, v.key, string(ties), v.unsure, r.revision + 1, d.cfg.Now()}
	query := insertSubscription
	if r.revision > 0 {
		query, args = updateSubscription, append(args, r.revision)
	}
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("write subscription %s: %w", s.id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errOvertaken)
	}
	return nil
}

const (
	insertSubscription = `INSERT INTO subscriptions (source, mode, subscription_id, customer_id, user_id, plan, price_id,
		quantity, status, current_period_start, current_period_end, cancel_at, cancel_at_period_end, canceled_at, ended_at,
		trial_end, latest_invoice, latest_invoice_status, latest_invoice_at, version_at, version_key, ties, unsure, revision,
		updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
		$24, $25) ON CONFLICT (source, mode, subscription_id) DO NOTHING`
	updateSubscription = `UPDATE subscriptions SET customer_id = $4, user_id = $5, plan = $6, price_id = $7, quantity = $8,
		status = $9, current_period_start = $10, current_period_end = $11, cancel_at = $12, cancel_at_period_end = $13,
		canceled_at = $14, ended_at = $15, trial_end = $16, latest_invoice = $17, latest_invoice_status = $18,
		latest_invoice_at = $19, version_at = $20, version_key = $21, ties = $22, unsure = $23, revision = $24,
		updated_at = $25 WHERE source = $1 AND mode = $2 AND subscription_id = $3 AND revision = $26`
)
