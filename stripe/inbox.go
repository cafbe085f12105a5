package stripe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Notification is a notice as its user may be shown it.
type Notification struct {
	ID        string          `json:"id"`
	Source    string          `json:"source"`
	Mode      string          `json:"mode"`
	UserID    string          `json:"user_id"`
	Kind      string          `json:"kind"` // such as invoice.paid
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data"` // the figures, and the texts in both languages
	CreatedAt time.Time       `json:"created_at"`
	ReadAt    *time.Time      `json:"read_at"` // set by the application; null before
}

// maxInbox is how many notices of a user are given.
const maxInbox = 100

// NotificationsOf gives what a user was told, the newest first, at most a hundred.
// Notices of test mode do not count where a live API key is set, and the reverse.
func (d *Desk) NotificationsOf(ctx context.Context, user string) ([]Notification, error) {
	all, err := d.notifications(ctx, ` WHERE user_id = $1 AND source = $2 AND ($3 = '' OR mode = '' OR mode = $3)
		ORDER BY created_at DESC, id DESC LIMIT $4`, user, d.name, modeOfKey(d.cfg.APIKey), maxInbox)
	if err != nil {
		return nil, fmt.Errorf("read the notices of a user: %w", err)
	}
	return all, nil
}

// notifications reads those that a condition selects, in its order.
func (d *Desk) notifications(ctx context.Context, where string, args ...any) ([]Notification, error) {
	all := []Notification{}
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		all = all[:0] // anew each time: a reading may be repeated
		rows, err := tx.QueryContext(ctx, `SELECT id, source, mode, user_id, kind, title, body, data, created_at, read_at
			FROM notifications`+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n Notification
			var data string
			var created, read hook.Timestamp
			if err := rows.Scan(&n.ID, &n.Source, &n.Mode, &n.UserID, &n.Kind, &n.Title, &n.Body, &data, &created, &read); err != nil {
				return err
			}
			n.Data, n.CreatedAt = json.RawMessage(data), created.Time
			if read.Valid {
				n.ReadAt = &read.Time
			}
			all = append(all, n)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// noticeOperation stands beside the one of the access.
func (d *Desk) noticeOperation() hook.Operation {
	return hook.Operation{
		Method: http.MethodGet, Path: strings.TrimSuffix(d.cfg.AccessPath, "/access") + "/notifications", Need: hook.RoleViewer,
		Handle: func(r *http.Request) (any, error) {
			user, err := userIn(r)
			if err != nil {
				return nil, err
			}
			return d.NotificationsOf(r.Context(), user)
		},
		Doc: json.RawMessage(`{
  "summary": "What a user was told, the newest first.",
  "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 255}}],
  "responses": {"200": {"description": "At most a hundred notices.",
    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object",
      "required": ["id", "source", "mode", "user_id", "kind", "title", "body", "data", "created_at", "read_at"],
      "properties": {"id": {"type": "string"}, "source": {"type": "string"}, "mode": {"type": "string"},
        "user_id": {"type": "string"}, "kind": {"type": "string"}, "title": {"type": "string"}, "body": {"type": "string"}, "data": {"type": "object"},
        "created_at": {"type": "string", "format": "date-time"},
        "read_at": {"type": ["string", "null"], "format": "date-time"}}}}}}}}
}`),
	}
}
