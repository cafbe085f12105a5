package dev

import (
	"context"
	"net/url"
	"strconv"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Approval is a request for approval as the API gives it.
type Approval struct {
	hook.Approval
	Arguments string `json:"arguments"` // what was sent, masked; empty for who may not approve it
}

// Approvals gives the newest requests for approval.
func (c *Client) Approvals(ctx context.Context, limit int) ([]Approval, error) {
	var page struct{ Approvals []Approval }
	err := c.get(ctx, "/api/v1/approvals", url.Values{"limit": {strconv.Itoa(limit)}}, &page)
	return page.Approvals, err
}

// Approve approves a request of another operator, which does it, and gives it as it
// ended. An error that is no refusal says nothing of whether it was done: the
// request does.
func (c *Client) Approve(ctx context.Context, id string) (a Approval, err error) {
	err = c.post(ctx, "/api/v1/approvals/"+url.PathEscape(id)+"/approve", map[string]any{}, &a)
	return a, err
}

// Refuse ends a request that waits; a repeat is refused.
func (c *Client) Refuse(ctx context.Context, id, reason string) (a Approval, err error) {
	err = c.post(ctx, "/api/v1/approvals/"+url.PathEscape(id)+"/refuse", map[string]any{"reason": reason}, &a)
	return a, err
}
