package postgres

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.ApprovalKeeper = (*Store)(nil)

// AskApproval implements hook.ApprovalKeeper.
func (s *Store) AskApproval(ctx context.Context, r hook.ApprovalRequest, life time.Duration) (a *hook.Approval, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		a, err = s.core.AskApproval(ctx, tx, r, life)
		return err
	})
	return a, err
}

// Approvals implements hook.ApprovalKeeper.
func (s *Store) Approvals(ctx context.Context, limit int) (all []*hook.Approval, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		all, err = s.core.Approvals(ctx, tx, limit)
		return err
	})
	return all, err
}

// Approval implements hook.ApprovalKeeper.
func (s *Store) Approval(ctx context.Context, id string) (a *hook.Approval, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		a, err = s.core.Approval(ctx, tx, id)
		return err
	})
	return a, err
}

// ClaimApproval implements hook.ApprovalKeeper.
func (s *Store) ClaimApproval(ctx context.Context, id, actor string) (a *hook.Approval, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) error {
		a, err = s.core.ClaimApproval(ctx, tx, id, actor)
		return err
	})
	return a, err
}

// EndApproval implements hook.ApprovalKeeper.
func (s *Store) EndApproval(ctx context.Context, id string, as hook.ApprovalState, answer string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.EndApproval(ctx, tx, id, as, answer)
	})
}

// RefuseApproval implements hook.ApprovalKeeper.
func (s *Store) RefuseApproval(ctx context.Context, id, actor, reason string) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.RefuseApproval(ctx, tx, id, actor, reason)
	})
}
