package stripe

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Drift is a subscription whose row is not what Stripe says. It is never written
// from here: an event of our own asks its handler to fetch it anew, inside its
// subject's turn.

const (
	compareEvery      = 24 * time.Hour
	maxUnsure         = 100 // rows that one round asks for
	subscriptionsName = "subscriptions"
)

// compareSubscriptions asks for every row that is marked unsure, and once a day,
// or if all is set, for all subscriptions.
func (d *Desk) compareSubscriptions(ctx context.Context, all bool, r *Report) error {
	if err := d.askForUnsure(ctx, r); err != nil {
		return err
	}
	began := d.cfg.Now()
	if !all {
		last, err := d.progress(ctx, subscriptionsName)
		if err != nil || began.Sub(last) < compareEvery {
			return err
		}
	}
	query := url.Values{"limit": {"100"}, "status": {"all"}}
	for {
		list, err := d.ask(ctx, "/v1/subscriptions", query)
		if err != nil {
			return err
		}
		items := list.Get("data").Array()
		for _, o := range items {
			if err := d.compare(ctx, o, r); err != nil {
				return err
			}
		}
		if len(items) == 0 || !list.Get("has_more").Bool() {
			return d.advance(ctx, subscriptionsName, began)
		}
		query.Set("starting_after", items[len(items)-1].Get("id").String())
	}
}

func (d *Desk) askForUnsure(ctx context.Context, r *Report) error {
	type unsure struct {
		id, mode string
		revision int64
	}
	var all []unsure
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT subscription_id, mode, revision FROM subscriptions
			WHERE source = $1 AND unsure = TRUE ORDER BY updated_at LIMIT $2`, d.name, maxUnsure)
		if err != nil {
			return err
		}
		defer rows.Close()
		all = nil // anew each time: a reading may be repeated
		for rows.Next() {
			var u unsure
			if err := rows.Scan(&u.id, &u.mode, &u.revision); err != nil {
				return err
			}
			all = append(all, u)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read the subscriptions that are unsure: %w", err)
	}
	for _, u := range all {
		if !d.asks(u.mode) {
			continue
		}
		if err := d.queueRepair(ctx, u.id, u.mode, u.revision, "unsure", r); err != nil {
			return err
		}
	}
	return nil
}

// compare looks whether the row is what Stripe says. One that ended before we knew
// of it is no news.
func (d *Desk) compare(ctx context.Context, o gjson.Result, r *Report) error {
	s, err := d.readSubscription(o)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
		return nil
	}
	r.Checked++
	mode := hook.ModeTest
	if o.Get("livemode").Bool() {
		mode = hook.ModeLive
	}
	known, revision, err := d.shownRow(ctx, mode, s.id)
	if err != nil || known == nil && s.terminal() || known != nil && known.shown() == s.shown() {
		return err
	}
	if known != nil && known.terminal() {
		return nil // it stays ended
	}
	sum := sha256.Sum256(fmt.Append(nil, s.shown()))
	return d.queueRepair(ctx, s.id, mode, revision, hex.EncodeToString(sum[:8]), r)
}

// shownRow reads what a row shows; nil if there is none.
func (d *Desk) shownRow(ctx context.Context, mode, id string) (*subscription, int64, error) {
	s := &subscription{id: id}
	var revision int64
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		var start, end, cancelAt, canceled, ended, trial hook.Timestamp
		err := tx.QueryRowContext(ctx, `SELECT plan, price_id, quantity, status, current_period_start, current_period_end,
			cancel_at, cancel_at_period_end, canceled_at, ended_at, trial_end, latest_invoice, revision
			FROM subscriptions WHERE source = $1 AND mode = $2 AND subscription_id = $3`, d.name, mode, id).Scan(
			&s.plan, &s.price, &s.quantity, &s.status, &start, &end, &cancelAt, &s.atPeriodEnd, &canceled, &ended, &trial,
			&s.invoice, &revision)
		s.start, s.end, s.cancelAt, s.canceled, s.ended, s.trialEnd =
			start.Time, end.Time, cancelAt.Time, canceled.Time, ended.Time, trial.Time
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read subscription %s: %w", id, err)
	}
	return s, revision, nil
}

// queueRepair records an event of our own. Its key names what was found, so that
// the same finding is queued once.
func (d *Desk) queueRepair(ctx context.Context, id, mode string, revision int64, found string, r *Report) error {
	key := fmt.Sprintf("drift_%s_%d_%s", id, revision, found)
	body, err := json.Marshal(map[string]any{"object": "hookkeeper.drift", "id": key, "subscription": id, "found": found})
	if err != nil {
		return err
	}
	now := d.cfg.Now()
	receipt, err := d.cfg.Record(ctx,
		hook.Delivery{Source: d.name, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, ReceivedAt: now},
		hook.Identity{Key: key, Type: driftType, Subject: id, OccurredAt: now, Mode: mode, Trust: hook.TrustInternal})
	if err != nil {
		return fmt.Errorf("queue the repair of %s: %w", id, err)
	}
	if !receipt.Duplicate {
		r.Drifted++
	}
	return nil
}
