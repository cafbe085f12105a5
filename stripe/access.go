package stripe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Access is the answer to the question whether a user may use what was sold.
type Access struct {
	UserID    string       `json:"user_id"`
	HasAccess bool         `json:"has_access"`
	Until     *time.Time   `json:"until"` // null where there never was any
	Plan      string       `json:"plan"`
	Why       string       `json:"why"` // active, trialing, grace, ended, a status of Stripe, or none
	Details   []Permission `json:"subscriptions"`
}

// Permission is what one subscription allows.
type Permission struct {
	Source         string     `json:"source"`
	Mode           string     `json:"mode"`
	SubscriptionID string     `json:"subscription"`
	Plan           string     `json:"plan"`
	Quantity       int64      `json:"quantity"`
	Status         string     `json:"status"`
	HasAccess      bool       `json:"has_access"`
	Until          *time.Time `json:"until"`
	Why            string     `json:"why"`
}

// AccessOf reads from the view access what a user may use. Of several
// subscriptions the one that lasts longest speaks; without any, Why is none. A
// test-mode subscription does not count where a live API key is set, and the
// reverse.
func (d *Desk) AccessOf(ctx context.Context, user string) (Access, error) {
	a := Access{UserID: user, Why: "none", Details: []Permission{}}
	mode := modeOfKey(d.cfg.APIKey)
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		found := []Permission{} // anew each time: a reading may be repeated
		rows, err := tx.QueryContext(ctx, `SELECT source, mode, subscription_id, plan, quantity, status, until, why
			FROM access WHERE user_id = $1 AND source = $2 AND ($3 = '' OR mode = '' OR mode = $3)
			ORDER BY subscription_id`, user, d.name, mode)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Permission
			var until hook.Timestamp
			if err := rows.Scan(&p.Source, &p.Mode, &p.SubscriptionID, &p.Plan, &p.Quantity, &p.Status, &until, &p.Why); err != nil {
				return err
			}
			if until.Valid {
				p.Until, p.HasAccess = &until.Time, until.Time.After(d.cfg.Now())
			}
			found = append(found, p)
		}
		a.Details = found
		return rows.Err()
	})
	if err != nil {
		return Access{}, fmt.Errorf("read the access of a user: %w", err)
	}
	a.choose()
	return a, nil
}

// choose takes the subscription that speaks for the user.
func (a *Access) choose() {
	var best *Permission
	for i := range a.Details {
		p := &a.Details[i]
		switch {
		case best == nil, p.HasAccess && !best.HasAccess:
			best = p
		case p.HasAccess == best.HasAccess && p.Until != nil && (best.Until == nil || p.Until.After(*best.Until)):
			best = p
		}
	}
	if best != nil {
		a.HasAccess, a.Until, a.Plan, a.Why = best.HasAccess, best.Until, best.Plan, best.Why
	}
}

const maxUserID = 255

// userIn reads the user out of the path of an operator's request.
func userIn(r *http.Request) (string, error) {
	user := r.PathValue("id")
	if user == "" || len(user) > maxUserID {
		return "", &hook.Problem{Status: http.StatusBadRequest, Detail: "the user's id has 1 to 255 bytes"}
	}
	return user, nil
}

func (d *Desk) getAccess(r *http.Request) (any, error) {
	user, err := userIn(r)
	if err != nil {
		return nil, err
	}
	return d.AccessOf(r.Context(), user)
}

func (d *Desk) operations() []hook.Operation {
	all := []hook.Operation{{
		Method: http.MethodGet, Path: d.cfg.AccessPath, Need: hook.RoleViewer, Handle: d.getAccess,
		Doc: json.RawMessage(`{
  "summary": "What a user may use, until when and why.",
  "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 255}}],
  "responses": {"200": {"description": "The answer; for a user without any subscription has_access is false and why is none.",
    "content": {"application/json": {"schema": {"type": "object",
      "required": ["user_id", "has_access", "until", "plan", "why", "subscriptions"],
      "properties": {"user_id": {"type": "string"}, "has_access": {"type": "boolean"},
        "until": {"type": ["string", "null"], "format": "date-time"}, "plan": {"type": "string"},
        "why": {"type": "string"}, "subscriptions": {"type": "array", "items": {"type": "object"}}}}}}}}
}`),
	}}
	all = append(append(all, d.noticeOperation()), d.listOperations()...)
	if d.api != nil {
		all = append(all, d.reconcileOperations()...)
	}
	return all
}
