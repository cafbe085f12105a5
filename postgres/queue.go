package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Claim implements hook.Queue. It waits for nobody: what another transaction
// holds is passed by and found by the next claim.
func (s *Store) Claim(ctx context.Context, ask hook.Ask) ([]*hook.Job, error) {
	if ask.Max <= 0 || len(ask.Handlers) == 0 {
		return nil, nil
	}
	var jobs []*hook.Job
	err := s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
		jobs, err = s.core.Claim(ctx, tx, ask)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return jobs, fault.Point("after-claim")
}

// Extend implements hook.Queue.
func (s *Store) Extend(ctx context.Context, jobs []*hook.Job, lease time.Duration) (lost []*hook.Job, err error) {
	err = s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
		lost, err = s.core.Extend(ctx, tx, jobs, lease)
		return err
	})
	return lost, err
}

// Retry implements hook.Queue.
func (s *Store) Retry(ctx context.Context, job *hook.Job, after time.Duration, cause hook.Cause) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error {
		return s.core.Retry(ctx, tx, job, after, cause)
	})
}

// Bury implements hook.Queue.
func (s *Store) Bury(ctx context.Context, job *hook.Job, cause hook.Cause) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.Bury(ctx, tx, job, cause) })
}

// Release implements hook.Queue.
func (s *Store) Release(ctx context.Context, job *hook.Job) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.Release(ctx, tx, job) })
}

// Hasten implements hook.Hastener.
func (s *Store) Hasten(ctx context.Context, jobs []*hook.Job) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.Hasten(ctx, tx, jobs) })
}

// working runs one transaction of ours on a connection for work, once more if the
// server rolled it back for the sake of another, and as long as there is time if a
// lock was not to be had: the end of an attempt that is not written costs a lease.
func (s *Store) working(ctx context.Context, f func(ctx context.Context, tx *unit) error) error {
	if inside(ctx, s) {
		return hook.ErrInsideEffect
	}
	if s.isClosed() {
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	for tries := 1; ; tries++ {
		err := s.transact(ctx, s.work, transaction{}, f)
		if err == nil || ctx.Err() != nil || codeOf(err) != codeLocked && (tries > 1 || !again(err)) {
			return err
		}
	}
}

// reading runs one transaction that only reads.
func (s *Store) reading(ctx context.Context, t transaction, f func(ctx context.Context, tx *unit) error) error {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	return s.transact(ctx, s.read, t, f)
}
