package dev

import (
	"context"
	"net/url"
	"strconv"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.HoldKeeper = (*Client)(nil)

// AddHold keeps a hold; see hook.HoldKeeper. As with Replay, the actor is the
// token's.
func (c *Client) AddHold(ctx context.Context, o hook.HoldOrder) (int64, error) {
	order := map[string]any{"source": o.Source, "subject": o.Subject, "event": o.Event, "reason": o.Reason}
	if !o.Since.IsZero() {
		order["since"] = o.Since
	}
	if !o.Until.IsZero() {
		order["until"] = o.Until
	}
	var done struct{ ID int64 }
	err := c.post(ctx, "/api/v1/holds", order, &done)
	return done.ID, err
}

// ReleaseHold ends a hold; see hook.HoldKeeper.
func (c *Client) ReleaseHold(ctx context.Context, id int64, _, reason string) error {
	return c.post(ctx, "/api/v1/holds/"+strconv.FormatInt(id, 10)+"/release", map[string]any{"reason": reason}, nil)
}

// Holds gives the newest holds; see hook.HoldKeeper.
func (c *Client) Holds(ctx context.Context, event string, limit int) ([]*hook.Hold, error) {
	q := url.Values{}
	set(q, "event", event)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var page struct{ Holds []*hook.Hold }
	err := c.get(ctx, "/api/v1/holds", q, &page)
	return page.Holds, err
}

// AddErasure orders an erasure, which the server then works by itself; see
// hook.ErasureKeeper.
func (c *Client) AddErasure(ctx context.Context, o hook.ErasureOrder) (int64, error) {
	var done struct{ ID int64 }
	err := c.post(ctx, "/api/v1/erasures", map[string]any{"source": o.Source, "customer": o.Customer,
		"reason": o.Reason, "dry_run": o.DryRun}, &done)
	return done.ID, err
}

// Erasure gives one erasure; see hook.ErasureKeeper.
func (c *Client) Erasure(ctx context.Context, id int64) (*hook.Erasure, error) {
	var e hook.Erasure
	err := c.get(ctx, "/api/v1/erasures/"+strconv.FormatInt(id, 10), nil, &e)
	return &e, err
}

// Erasures gives the newest erasures; see hook.ErasureKeeper.
func (c *Client) Erasures(ctx context.Context, limit int) ([]*hook.Erasure, error) {
	var page struct{ Erasures []*hook.Erasure }
	err := c.get(ctx, "/api/v1/erasures", url.Values{"limit": {strconv.Itoa(limit)}}, &page)
	return page.Erasures, err
}

// CancelErasure ends an erasure; see hook.ErasureKeeper.
func (c *Client) CancelErasure(ctx context.Context, id int64, _ string) error {
	return c.post(ctx, "/api/v1/erasures/"+strconv.FormatInt(id, 10)+"/cancel", map[string]any{}, nil)
}
