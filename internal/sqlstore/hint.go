package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// MaxHints is how many hints of one subject are kept as rows; beyond it the
// newest row stands for those that follow.
const MaxHints = 32

// HintPause is the shortest time between two wakings of a subject's jobs by
// hints, so that a flood of them costs a bounded number of re-queries.
const HintPause = 10 * time.Second

// foldHints counts fresh hints per subject and folds those beyond MaxHints into
// the newest row of their subject. The fold still makes the sender be asked: a
// genuine hint behind a flood of forged ones loses its row, not its question.
func (c *Core) foldHints(ctx context.Context, tx Tx, groups []*group, now int64) error {
	for _, g := range groups {
		id := &g.first.Identity
		if !g.fresh || id.Trust != hook.TrustHint || id.Subject == "" {
			continue
		}
		var n, newest, woken int64
		row := tx.QueryRowContext(ctx, `INSERT INTO hint_subjects (source, mode, subject, n, newest_seq, woken_at)
			VALUES ($1, $2, $3, 1, $4, $5)
			ON CONFLICT (source, mode, subject) DO UPDATE SET n = CASE WHEN hint_subjects.n < $6 THEN hint_subjects.n + 1 ELSE $6 END,
				newest_seq = CASE WHEN hint_subjects.n < $6 - 1 THEN excluded.newest_seq ELSE hint_subjects.newest_seq END
			RETURNING n, newest_seq, woken_at`,
			g.first.Delivery.Source, id.Mode, id.Subject, g.seq, now, MaxHints+1)
		if err := row.Scan(&n, &newest, &woken); err != nil {
			return fmt.Errorf("count hints: %w", err)
		}
		if n <= MaxHints {
			continue
		}
		if err := c.fold(ctx, tx, g, newest, woken, now); err != nil {
			return err
		}
	}
	return nil
}

func (c *Core) fold(ctx context.Context, tx Tx, g *group, newest, woken, now int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM event_keys WHERE seq = $1`, g.seq); err != nil {
		return fmt.Errorf("fold a hint: %w", err)
	}
	n := 1 + len(g.more)
	if _, err := tx.ExecContext(ctx, `UPDATE event_keys SET deliveries = deliveries + $1 WHERE seq = $2`, n, newest); err != nil {
		return fmt.Errorf("fold a hint: %w", err)
	}
	g.gone = true
	for _, e := range append([]*Entry{g.first}, g.more...) {
		e.Receipt = hook.Receipt{EventID: c.eventID(newest)}
	}
	return c.askAgain(ctx, tx, g.first, newest, woken, now)
}

// askAgain sees to it that the newest hint's handlers run once more, HintPause
// after the last time at the earliest: open jobs become due, ended ones get a
// new generation.
func (c *Core) askAgain(ctx context.Context, tx Tx, e *Entry, newest, woken, now int64) error {
	due := max(now, woken+HintPause.Microseconds())
	for _, handler := range e.Handlers {
		job, err := c.newestJob(ctx, tx, newest, handler)
		if err != nil {
			return err
		}
		switch job.state {
		case hook.StateReady:
			continue // will ask anyway, and has not begun
		case hook.StateRetrying, hook.StateWaiting:
			if job.nextAt <= due {
				continue
			}
			if _, err := tx.ExecContext(ctx, `UPDATE jobs SET next_at = $1 WHERE id = (SELECT id FROM jobs
				WHERE id = $2 AND state <> 'running'`+c.skipLocked()+`)`, due, job.id); err != nil {
				return fmt.Errorf("wake a hint: %w", err)
			}
		case hook.StateRunning:
			// It may have asked before this hint came: its end asks again.
			if _, err := tx.ExecContext(ctx, `UPDATE hint_subjects SET again = 1
				WHERE source = $1 AND mode = $2 AND subject = $3`,
				e.Delivery.Source, e.Identity.Mode, e.Identity.Subject); err != nil {
				return fmt.Errorf("wake a hint: %w", err)
			}
			continue
		default:
			if err := c.requeue(ctx, tx, newest, handler, job, due); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE hint_subjects SET woken_at = $1
			WHERE source = $2 AND mode = $3 AND subject = $4`,
			due, e.Delivery.Source, e.Identity.Mode, e.Identity.Subject); err != nil {
			return fmt.Errorf("wake a hint: %w", err)
		}
	}
	return nil
}

func (c *Core) requeue(ctx context.Context, tx Tx, seq int64, handler string, was newest, due int64) error {
	_, err := c.addJob(ctx, tx, newJob{seq: seq, handler: handler, was: was, nextAt: due,
		actor: "hookkeeper", action: "hint", reason: "another hint of the same subject"})
	return err
}

// wakeHint makes open jobs of a hint due again when byte-equal bytes come once
// more, at most once per HintPause and subject.
func (c *Core) wakeHint(ctx context.Context, tx Tx, g *group, now int64) error {
	e := g.first
	res, err := tx.ExecContext(ctx, `UPDATE hint_subjects SET woken_at = $1
		WHERE source = $2 AND mode = $3 AND subject = $4 AND woken_at <= $5`,
		now, e.Delivery.Source, e.Identity.Mode, e.Identity.Subject, now-HintPause.Microseconds())
	if err != nil {
		return fmt.Errorf("wake a hint: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE jobs SET next_at = $1 WHERE id IN (SELECT id FROM jobs
		WHERE seq = $2 AND state IN ('waiting', 'retrying') AND next_at > $1`+c.skipLocked()+`)`, now, g.seq)
	if err != nil {
		return fmt.Errorf("wake a hint: %w", err)
	}
	return nil
}

// askAfterEnd queues a hint's job anew if another hint came while it ran.
func (c *Core) askAfterEnd(ctx context.Context, tx Tx, job *hook.Job, seq, now int64) error {
	e := job.Event
	if e == nil || e.Trust != hook.TrustHint || e.Subject == "" {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `UPDATE hint_subjects SET again = 0,
			woken_at = CASE WHEN woken_at + $1 > $2 THEN woken_at + $1 ELSE $2 END
		WHERE source = $3 AND mode = $4 AND subject = $5 AND again = 1 AND newest_seq = $6 RETURNING woken_at`,
		HintPause.Microseconds(), now, e.Source, e.Mode, e.Subject, seq)
	if err != nil {
		return fmt.Errorf("ask again: %w", err)
	}
	var due int64
	if rows.Next() {
		err = rows.Scan(&due)
	}
	rows.Close()
	if err != nil || due == 0 {
		return err
	}
	job.Next = true
	was, err := c.newestJob(ctx, tx, seq, job.Handler)
	if err != nil {
		return err
	}
	return c.requeue(ctx, tx, seq, job.Handler, was, due)
}
