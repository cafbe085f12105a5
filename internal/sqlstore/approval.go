package sqlstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	maxApprovals = 100             // that wait at a time
	approvalRuns = 2 * time.Minute // a claimed request that has not ended by then has lost its node
)

const approvalColumns = `id, state, method, path, query, body, sha256, summary, need, asked_by, asked_at, reason, expires_at,
	decided_by, decided_at, answer, ended_at`

// The statements that look for approvals; plan_test looks at their plans.
const (
	approvalsSQL       = `SELECT ` + approvalColumns + ` FROM approvals ORDER BY asked_at DESC, id DESC LIMIT $1`
	approvalsOpenSQL   = `SELECT ` + approvalColumns + ` FROM approvals WHERE state = 'waiting' AND expires_at > $1 ORDER BY expires_at`
	approvalsLapsedSQL = `UPDATE approvals SET body = $1 WHERE state = 'waiting' AND expires_at <= $2 AND body <> $1`
)

// AskApproval keeps a request; see hook.ApprovalKeeper. If we die before the
// commit, nothing was asked, and nobody was told otherwise.
func (c *Core) AskApproval(ctx context.Context, tx Tx, r hook.ApprovalRequest, life time.Duration) (*hook.Approval, error) {
	if err := lock(ctx, tx, "approvals"); err != nil {
		return nil, fmt.Errorf("ask for approval: %w", err)
	}
	now := c.now(tx)
	if _, err := tx.ExecContext(ctx, approvalsLapsedSQL, []byte{}, now); err != nil {
		return nil, fmt.Errorf("ask for approval: %w", err)
	}
	open, err := c.approvals(ctx, tx, approvalsOpenSQL, now)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(r.Body)
	a := &hook.Approval{
		ID: "ap_" + strings.ToLower(rand.Text()[:16]), State: hook.ApprovalWaiting, Method: r.Method, Path: r.Path, Query: r.Query,
		SHA256: hex.EncodeToString(sum[:]), Summary: cut(r.Summary, MaxErrorBytes), Need: r.Need, AskedBy: r.Actor,
		AskedAt: fromMicros(now), Reason: cut(r.Reason, MaxErrorBytes), ExpiresAt: fromMicros(now + life.Microseconds()), Body: r.Body,
	}
	for _, b := range open {
		if b.Method == a.Method && b.Path == a.Path && b.Query == a.Query && b.SHA256 == a.SHA256 && b.AskedBy == a.AskedBy {
			return b, nil
		}
	}
	if len(open) >= maxApprovals {
		return nil, fmt.Errorf("ask for approval: %d requests wait already: %w", len(open), hook.ErrRefused)
	}
	body, err := c.closeAsked(a.ID, notNil(a.Body))
	if err != nil {
		return nil, fmt.Errorf("ask for approval: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO approvals (id, state, method, path, query, body, sha256, summary, need, asked_by,
		asked_at, reason, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		a.ID, string(a.State), a.Method, a.Path, a.Query, body, a.SHA256, a.Summary, string(a.Need), a.AskedBy, now,
		a.Reason, now+life.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("ask for approval: %w", err)
	}
	return a, c.noteApproval(ctx, tx, a, a.AskedBy, "approval_ask", a.Reason)
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// noteApproval names what was asked for, and the hash of what was sent.
func (c *Core) noteApproval(ctx context.Context, tx Tx, a *hook.Approval, actor, action, reason string) error {
	return c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: action, Reason: reason,
		Object: a.ID + " " + a.Method + " " + a.Path + " sha256 " + a.SHA256})
}

// Approvals gives the newest; see hook.ApprovalKeeper.
func (c *Core) Approvals(ctx context.Context, tx Tx, limit int) ([]*hook.Approval, error) {
	return c.approvals(ctx, tx, approvalsSQL, max(1, min(limit, MaxPage)))
}

// Approval gives one; see hook.ApprovalKeeper.
func (c *Core) Approval(ctx context.Context, tx Tx, id string) (*hook.Approval, error) {
	all, err := c.approvals(ctx, tx, `SELECT `+approvalColumns+` FROM approvals WHERE id = $1`, id)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("approval %.80q: %w", id, hook.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (c *Core) approvals(ctx context.Context, tx Tx, query string, arg any) ([]*hook.Approval, error) {
	rows, err := tx.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, fmt.Errorf("read approvals: %w", err)
	}
	defer rows.Close()
	now := c.now(tx)
	var all []*hook.Approval
	for rows.Next() {
		var a hook.Approval
		var asked, expires int64
		var decided, ended sql.NullInt64
		if err := rows.Scan(&a.ID, (*string)(&a.State), &a.Method, &a.Path, &a.Query, &a.Body, &a.SHA256, &a.Summary,
			(*string)(&a.Need), &a.AskedBy, &asked, &a.Reason, &expires, &a.DecidedBy, &decided, &a.Answer, &ended); err != nil {
			return nil, fmt.Errorf("read approvals: %w", err)
		}
		if a.Body, err = c.openAsked(a.ID, a.Body); err != nil {
			return nil, fmt.Errorf("approval %s: %w", a.ID, err)
		}
		a.AskedAt, a.ExpiresAt, a.DecidedAt, a.EndedAt = fromMicros(asked), fromMicros(expires), timePtr(decided), timePtr(ended)
		switch {
		case a.State == hook.ApprovalWaiting && expires <= now:
			a.State, a.Body = hook.ApprovalExpired, nil
		case a.State == hook.ApprovalRunning && decided.Int64+approvalRuns.Microseconds() <= now:
			a.State, a.Answer = hook.ApprovalUnknown, "the node that did it has said nothing more"
		}
		all = append(all, &a)
	}
	return all, rows.Err()
}

// ClaimApproval approves; see hook.ApprovalKeeper. If we die after the commit and
// before the operation has ended, the request is shown as unknown: it is not done
// a second time, for it may have been done.
func (c *Core) ClaimApproval(ctx context.Context, tx Tx, id, actor string) (*hook.Approval, error) {
	a, err := c.decidable(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if a.AskedBy == actor {
		return nil, fmt.Errorf("approval %s: %s has asked for it, another operator must approve: %w", id, actor, hook.ErrRefused)
	}
	if err := c.decide(ctx, tx, a, hook.ApprovalRunning, actor, ""); err != nil {
		return nil, err
	}
	return a, c.noteApproval(ctx, tx, a, actor, "approval_approve", "asked for by "+a.AskedBy)
}

// RefuseApproval refuses; see hook.ApprovalKeeper.
func (c *Core) RefuseApproval(ctx context.Context, tx Tx, id, actor, reason string) error {
	a, err := c.decidable(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := c.decide(ctx, tx, a, hook.ApprovalRefused, actor, reason); err != nil {
		return err
	}
	return c.noteApproval(ctx, tx, a, actor, "approval_refuse", "asked for by "+a.AskedBy+": "+reason)
}

// decidable gives a request that waits.
func (c *Core) decidable(ctx context.Context, tx Tx, id string) (*hook.Approval, error) {
	a, err := c.Approval(ctx, tx, id)
	if err == nil && a.State != hook.ApprovalWaiting {
		err = fmt.Errorf("approval %s: it is %s: %w", id, a.State, hook.ErrRefused)
	}
	return a, err
}

// decide lets one of all that decide at the same time through. What was sent is
// kept no longer than it is needed.
func (c *Core) decide(ctx context.Context, tx Tx, a *hook.Approval, to hook.ApprovalState, actor, answer string) error {
	now := c.now(tx)
	var ended any
	if to == hook.ApprovalRefused {
		ended = now
	}
	res, err := tx.ExecContext(ctx, `UPDATE approvals SET state = $1, decided_by = $2, decided_at = $3, answer = $4, ended_at = $5, body = $6
		WHERE id = $7 AND state = 'waiting'`, string(to), actor, now, cut(answer, MaxErrorBytes), ended, []byte{}, a.ID)
	if err != nil {
		return fmt.Errorf("decide approval %s: %w", a.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("approval %s: somebody else has just decided: %w", a.ID, hook.ErrRefused))
	}
	a.State, a.DecidedBy, a.DecidedAt = to, actor, new(fromMicros(now))
	return nil
}

// EndApproval ends; see hook.ApprovalKeeper.
func (c *Core) EndApproval(ctx context.Context, tx Tx, id string, as hook.ApprovalState, answer string) error {
	switch as {
	case hook.ApprovalDone, hook.ApprovalFailed, hook.ApprovalUnknown:
	default:
		return fmt.Errorf("approval %s: %q is no end: %w", id, as, hook.ErrRefused)
	}
	a, err := c.Approval(ctx, tx, id)
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `UPDATE approvals SET state = $1, answer = $2, ended_at = $3 WHERE id = $4 AND state = 'running'`,
		string(as), cut(answer, MaxErrorBytes), c.now(tx), id)
	if err != nil {
		return fmt.Errorf("end approval %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return c.noteApproval(ctx, tx, a, a.DecidedBy, "approval_end", string(as)+"; asked for by "+a.AskedBy)
}
