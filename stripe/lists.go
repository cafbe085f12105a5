package stripe

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// SubscriptionInfo is a row of the table subscriptions as operators see it.
type SubscriptionInfo struct {
	ID               string    `json:"id"`
	Mode             string    `json:"mode"`
	UserID           string    `json:"user_id"`
	CustomerID       string    `json:"customer_id"`
	Plan             string    `json:"plan"`
	Quantity         int64     `json:"quantity"`
	Status           string    `json:"status"`
	CurrentPeriodEnd time.Time `json:"current_period_end"`
	CancelAtEnd      bool      `json:"cancel_at_period_end"`
	Unsure           bool      `json:"unsure"` // which state is the newest cannot be told
	UpdatedAt        time.Time `json:"updated_at"`
}

// subscriptionPage is the answer of GET subscriptions.
type subscriptionPage struct {
	Subscriptions []SubscriptionInfo `json:"subscriptions"`
	Next          string             `json:"next"` // empty at the end
}

// notificationPage is the answer of GET notifications.
type notificationPage struct {
	Notifications []Notification `json:"notifications"`
	Next          string         `json:"next"`
}

// slice is which part of a list is asked for.
type slice struct {
	user   string
	limit  int
	before time.Time // and, of that very time, ids below
	below  string
}

// The limits of a page, and a time after all others.
const (
	standardPage = 100
	largestPage  = 1000
)

func endOfTime() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// sliceOf reads the parameters of a request.
func sliceOf(r *http.Request) (slice, error) {
	q := r.URL.Query()
	s := slice{user: q.Get("user"), limit: standardPage, before: endOfTime()}
	if len(s.user) > maxUserID {
		return s, fmt.Errorf("user: want at most %d bytes: %w", maxUserID, hook.ErrBadFilter)
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > largestPage {
			return s, fmt.Errorf("limit %.20q: want 1 to %d: %w", text, largestPage, hook.ErrBadFilter)
		}
		s.limit = n
	}
	if text := q.Get("cursor"); text != "" {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		micros, id, ok := strings.Cut(string(raw), ":")
		n, bad := strconv.ParseInt(micros, 10, 64)
		if err != nil || bad != nil || !ok || word(id) == "" {
			return s, fmt.Errorf("cursor: not one of ours: %w", hook.ErrBadFilter)
		}
		s.before, s.below = time.UnixMicro(n).UTC(), id
	}
	return s, nil
}

// cursorAfter leads to what comes after the last of a page.
func cursorAfter(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d:%s", at.UnixMicro(), id))
}

// where is the condition and the order of a list by a time and an id, and its
// arguments.
func (s *slice) where(source, at, id string) (string, []any) {
	args := []any{source, s.before, s.below, s.limit + 1}
	text := ` WHERE source = $1 AND ` + at + ` <= $2 AND (` + at + ` < $2 OR ` + id + ` < $3)`
	if s.user != "" {
		text += ` AND user_id = $5`
		args = append(args, s.user)
	}
	return text + ` ORDER BY ` + at + ` DESC, ` + id + ` DESC LIMIT $4`, args
}

func (d *Desk) listSubscriptions(ctx context.Context, s slice) (page subscriptionPage, err error) {
	where, args := s.where(d.name, "updated_at", "subscription_id")
	err = d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		page.Subscriptions = []SubscriptionInfo{} // anew each time: a reading may be repeated
		rows, err := tx.QueryContext(ctx, `SELECT subscription_id, mode, user_id, customer_id, plan, quantity, status,
			current_period_end, cancel_at_period_end, unsure, updated_at FROM subscriptions`+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i SubscriptionInfo
			var end, updated hook.Timestamp
			if err := rows.Scan(&i.ID, &i.Mode, &i.UserID, &i.CustomerID, &i.Plan, &i.Quantity, &i.Status, &end,
				&i.CancelAtEnd, &i.Unsure, &updated); err != nil {
				return err
			}
			i.CurrentPeriodEnd, i.UpdatedAt = end.Time, updated.Time
			page.Subscriptions = append(page.Subscriptions, i)
		}
		return rows.Err()
	})
	if err != nil {
		return subscriptionPage{}, fmt.Errorf("list subscriptions: %w", err)
	}
	page.Subscriptions, page.Next = cut(page.Subscriptions, s.limit, func(last SubscriptionInfo) string {
		return cursorAfter(last.UpdatedAt, last.ID)
	})
	return page, nil
}

func (d *Desk) listNotifications(ctx context.Context, s slice) (page notificationPage, err error) {
	where, args := s.where(d.name, "created_at", "id")
	page.Notifications, err = d.notifications(ctx, where, args...)
	if err != nil {
		return notificationPage{}, fmt.Errorf("list notices: %w", err)
	}
	page.Notifications, page.Next = cut(page.Notifications, s.limit, func(last Notification) string {
		return cursorAfter(last.CreatedAt, last.ID)
	})
	return page, nil
}

// cut makes a page of a list that was read one row beyond its limit; next is empty
// if there is no such row.
func cut[T any](all []T, limit int, cursor func(last T) string) (page []T, next string) {
	if len(all) <= limit {
		return all, ""
	}
	return all[:limit], cursor(all[limit-1])
}

// listOperations are the lists that operators page through. They stand where the
// access does: a second source's below its own path.
func (d *Desk) listOperations() []hook.Operation {
	prefix, _, _ := strings.Cut(d.cfg.AccessPath, "users/{id}")
	list := func(name, summary string, handle func(ctx context.Context, s slice) (any, error)) hook.Operation {
		return hook.Operation{
			Method: http.MethodGet, Path: prefix + name, Need: hook.RoleViewer, Query: []string{"user", "limit", "cursor"},
			Handle: func(r *http.Request) (any, error) {
				s, err := sliceOf(r)
				if err != nil {
					return nil, err
				}
				return handle(r.Context(), s)
			},
			Doc: json.RawMessage(`{
  "summary": "` + summary + `",
  "parameters": [
    {"name": "user", "in": "query", "schema": {"type": "string", "maxLength": 255}, "description": "Only of this user."},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
    {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "next of the page before."}],
  "responses": {"200": {"description": "A page and the cursor of the next one, which is empty at the end.",
    "content": {"application/json": {"schema": {"type": "object", "required": ["` + name + `", "next"],
      "properties": {"` + name + `": {"type": "array", "items": {"type": "object"}}, "next": {"type": "string"}}}}}}}
}`),
		}
	}
	return []hook.Operation{
		list("subscriptions", "The subscriptions, those written last first.",
			func(ctx context.Context, s slice) (any, error) { return d.listSubscriptions(ctx, s) }),
		list("notifications", "What users were told, the newest first.",
			func(ctx context.Context, s slice) (any, error) { return d.listNotifications(ctx, s) }),
	}
}
