package dev

import (
	"context"
	"net/url"
	"time"
)

// GapReport is what a reconciliation found, as the API tells it.
type GapReport struct {
	Source        string      `json:"source"`
	Began         time.Time   `json:"began_at"`
	Ended         time.Time   `json:"ended_at"`
	From          time.Time   `json:"from"`
	TooOld        bool        `json:"too_old"`
	Listed        int         `json:"listed"`
	Missed        int         `json:"missed"`
	Events        []GapMissed `json:"events"`
	Subscriptions int         `json:"subscriptions"`
	Drifted       int         `json:"drifted"`
	Problems      []string    `json:"problems,omitempty"`

	// Of a sender that lists no events, such as Toss: open orders instead.
	Asked   int `json:"asked,omitempty"`
	Changed int `json:"changed,omitempty"`
}

// GapMissed is an event that was never delivered and is recorded now.
type GapMissed struct {
	Event   string    `json:"event"`
	Key     string    `json:"key"`
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
}

// Reconcile asks a running hookkeeper to compare a source with its sender's API:
// events from since on, or from where the last round ended if it is zero; all
// compares every object as well. It is hook.ErrNotFound for a source that is not
// reconciled, hook.ErrRefused while another round runs.
func (c *Client) Reconcile(ctx context.Context, source string, since time.Time, all bool) (GapReport, error) {
	order := map[string]any{"all": all}
	if !since.IsZero() {
		order["since"] = since
	}
	var r GapReport
	err := c.post(ctx, "/api/v1/reconcile/"+url.PathEscape(source), order, &r)
	return r, err
}
