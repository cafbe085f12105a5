package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// idleEvery is how often the configured times are written where nothing is
// reconciled.
const idleEvery = time.Hour

// duties: one round writes the configured times, which the view access adds, and
// compares with Stripe where a key is set.
func (d *Desk) duties() []hook.Duty {
	every, reconciles := idleEvery, d.api != nil && d.cfg.ReconcileEvery > 0
	if reconciles {
		every = d.cfg.ReconcileEvery
	}
	return []hook.Duty{{Name: d.name + "-billing", Every: every, Run: func(ctx context.Context) error {
		if err := d.writeSettings(ctx); err != nil || !reconciles {
			return err
		}
		_, err := d.Reconcile(ctx, Look{})
		if errors.Is(err, hook.ErrRefused) {
			return nil // an operator's is running
		}
		return err
	}}}
}

func (d *Desk) writeSettings(ctx context.Context) error {
	err := d.cfg.Store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO billing_settings (source, grace_seconds, margin_seconds) VALUES ($1, $2, $3)
			ON CONFLICT (source) DO UPDATE SET grace_seconds = excluded.grace_seconds, margin_seconds = excluded.margin_seconds`,
			d.name, int64(d.cfg.Grace/time.Second), int64(d.cfg.Margin/time.Second))
		return err
	})
	if err != nil {
		return fmt.Errorf("write the settings of billing: %w", err)
	}
	return nil
}

// keptReports is how many reports are kept.
const keptReports = 100

func (d *Desk) keepReport(ctx context.Context, r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = d.cfg.Store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO billing_reports (source, finished_at, report) VALUES ($1, $2, $3)
			ON CONFLICT (source, finished_at) DO UPDATE SET report = excluded.report`, d.name, r.Ended, string(text))
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM billing_reports WHERE source = $1 AND finished_at <
				(SELECT min(finished_at) FROM (SELECT finished_at FROM billing_reports WHERE source = $1
				ORDER BY finished_at DESC LIMIT $2) newest)`, d.name, keptReports)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the report: %w", err)
	}
	return nil
}

// Reports gives the newest reports, at most a hundred.
func (d *Desk) Reports(ctx context.Context) ([]Report, error) {
	var all []Report
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT report FROM billing_reports WHERE source = $1
			ORDER BY finished_at DESC LIMIT $2`, d.name, keptReports)
		if err != nil {
			return err
		}
		defer rows.Close()
		all = []Report{} // anew each time: a reading may be repeated
		for rows.Next() {
			var text string
			var r Report
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return err
			}
			all = append(all, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	return all, nil
}

// order is the body of an operator's request; it may be empty.
type order struct {
	Since *time.Time `json:"since"`
	All   bool       `json:"all"`
}

func (d *Desk) postReconcile(r *http.Request) (any, error) {
	bad := func(detail string) error { return &hook.Problem{Status: http.StatusBadRequest, Detail: detail} }
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bad("the body is too large")
	}
	var o order
	if len(body) > 0 {
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, bad(`want {"since": RFC 3339 time, "all": true or false}, both optional`)
		}
	}
	look := Look{All: o.All, Wait: true}
	if o.Since != nil {
		look.Since = *o.Since
	}
	report, err := d.Reconcile(r.Context(), look)
	if err != nil && !errors.Is(err, hook.ErrRefused) && len(report.Problems) > 0 {
		return report, nil // what was done and what was not stands in it
	}
	return report, err
}

func (d *Desk) reconcileOperations() []hook.Operation {
	path := "reconcile/" + d.name
	return []hook.Operation{{
		Method: http.MethodPost, Path: path, Need: hook.RoleOperator, Handle: d.postReconcile,
		Doc: json.RawMessage(`{
  "summary": "Ask the sender's API for what was missed, record it, and compare the subscriptions.",
  "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
    "since": {"type": "string", "format": "date-time", "description": "Look at events from then on; at most 30 days back."},
    "all": {"type": "boolean", "description": "Compare every subscription now."}}}}}},
  "responses": {"200": {"description": "The gap report.", "content": {"application/json": {"schema": {"type": "object"}}}},
    "409": {"$ref": "#/components/responses/Refused"}}
}`),
	}, {
		Method: http.MethodGet, Path: path, Need: hook.RoleViewer,
		Handle: func(r *http.Request) (any, error) { return d.Reports(r.Context()) },
		Doc: json.RawMessage(`{
  "summary": "The newest gap reports, the newest first.",
  "responses": {"200": {"description": "At most a hundred reports.",
    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}}}
}`),
	}}
}
