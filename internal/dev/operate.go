package dev

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.Planner = (*Client)(nil)

// PlanReplay says what Replay would queue; see hook.Planner.
func (c *Client) PlanReplay(ctx context.Context, id string, r hook.Replay) ([]hook.PlannedJob, error) {
	var done struct{ Plan []hook.PlannedJob }
	err := c.post(ctx, "/api/v1/events/"+url.PathEscape(id)+"/replay",
		map[string]any{"handlers": r.Handlers, "dry_run": true}, &done)
	return done.Plan, err
}

// PreviewReplay says what Replay would queue, and for handlers whose routes declare
// it which rows would change; nothing is changed.
func (c *Client) PreviewReplay(ctx context.Context, id string, r hook.Replay) ([]hook.PlannedJob, error) {
	var done struct{ Plan []hook.PlannedJob }
	err := c.post(ctx, "/api/v1/events/"+url.PathEscape(id)+"/replay",
		map[string]any{"handlers": r.Handlers, "dry_run": true, "preview": true}, &done)
	return done.Plan, err
}

// AddToken keeps an operator token; see hook.TokenKeeper. The audit trail names
// the token of this client; the actor given here is not sent.
func (c *Client) AddToken(ctx context.Context, t hook.NewToken, _ string) error {
	return c.post(ctx, "/api/v1/tokens",
		map[string]any{"name": t.Name, "role": t.Role, "sha256": hex.EncodeToString(t.Hash[:])}, nil)
}

// Tokens gives the kept operator tokens; see hook.TokenKeeper.
func (c *Client) Tokens(ctx context.Context) ([]hook.TokenInfo, error) {
	var page struct{ Tokens []hook.TokenInfo }
	err := c.get(ctx, "/api/v1/tokens", nil, &page)
	return page.Tokens, err
}

// VerifyAudit walks the chain of the audit trail; see hook.Desk.
func (c *Client) VerifyAudit(ctx context.Context) (hook.AuditReport, error) {
	var report hook.AuditReport
	err := c.get(ctx, "/api/v1/audit/verify", nil, &report)
	return report, err
}

// RevokeToken ends a kept token; see hook.TokenKeeper. As with AddToken, the
// actor is this client's token.
func (c *Client) RevokeToken(ctx context.Context, name, _ string) error {
	resp, err := c.call(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(name), nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
