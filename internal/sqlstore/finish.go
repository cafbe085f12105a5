package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Ending is the row of a job that has just been fenced.
type Ending struct {
	seq, hour  int64
	handler    string
	generation int
	attempt    int
	line       string
	place      int
}

// BeginDone takes the job out of the queue if this attempt still owns it, else
// it returns ErrLeaseLost and the transaction must write nothing. The engine
// runs the effect between BeginDone and Done, in the same transaction. If the
// process dies before the commit, neither effect nor end exist, the lease
// lapses and the job is worked again; after it both exist.
func (c *Core) BeginDone(ctx context.Context, tx Tx, job *hook.Job) (*Ending, error) {
	fence, args := `id = $1 AND attempt = $2 AND state = 'running'`, []any{job.ID, job.Attempt}
	if fault.Mutant("no_fence") {
		fence, args = `id = $1`, []any{job.ID}
	}
	e := &Ending{handler: job.Handler, generation: job.Generation, attempt: job.Attempt}
	row := tx.QueryRowContext(ctx, `DELETE FROM jobs WHERE `+fence+` RETURNING seq, hour, line, place`, args...)
	err := row.Scan(&e.seq, &e.hour, &e.line, &e.place)
	if err == sql.ErrNoRows {
		if fault.Mutant("no_fence") {
			e.seq, err = c.seqOf(job.Event.ID)
			return e, err
		}
		c.count(c.stale, job.Handler)
		return nil, hook.ErrLeaseLost
	}
	if err != nil {
		return nil, fmt.Errorf("end a job: %w", err)
	}
	return e, nil
}

// Done notes the end of a job that BeginDone has fenced.
func (c *Core) Done(ctx context.Context, tx Tx, job *hook.Job, e *Ending) error {
	now := c.now()
	if err := c.endAttempt(ctx, tx, e, "done", now, ""); err != nil {
		return err
	}
	if err := c.leaveLine(ctx, tx, e.handler, e.line, e.place, now); err != nil {
		return err
	}
	// The last job of an event makes the event done: the ledger's counter moves
	// in the same transaction.
	_, err := tx.ExecContext(ctx, `UPDATE hours SET done = done + 1
		WHERE hour = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE seq = $2)`, e.hour, e.seq)
	if err != nil {
		return fmt.Errorf("count a done event: %w", err)
	}
	return c.askAfterEnd(ctx, tx, job, e.seq, now)
}

// leaveLine lets the next job go on and wakes those that wait for this subject.
func (c *Core) leaveLine(ctx context.Context, tx Tx, handler, line string, place int, now int64) error {
	if place == placeHead {
		if err := c.promote(ctx, tx, handler, line); err != nil {
			return err
		}
	}
	return c.wake(ctx, tx, line, now)
}

func (c *Core) endAttempt(ctx context.Context, tx Tx, e *Ending, outcome string, now int64, cause string) error {
	no, err := c.numbers.draw(1)
	if err != nil {
		return err
	}
	var text any
	if cause != "" {
		text = cut(cause, MaxErrorBytes)
	}
	_, err = tx.ExecContext(ctx, `UPDATE attempts SET end_no = $1, ended_at = $2, outcome = $3, error = $4
		WHERE seq = $5 AND handler = $6 AND generation = $7 AND attempt = $8`,
		no, now, outcome, text, e.seq, e.handler, e.generation, e.attempt)
	if err != nil {
		return fmt.Errorf("note the end of an attempt: %w", err)
	}
	return nil
}

// Retry makes the job due again after a while. Dying before the commit leaves
// it running until its lease lapses: lost instead of failed, never both.
func (c *Core) Retry(ctx context.Context, tx Tx, job *hook.Job, after time.Duration, cause hook.Cause) error {
	state, outcome := hook.StateRetrying, "retrying"
	if cause.Wait {
		state, outcome = hook.StateWaiting, "waiting"
	}
	return c.putBack(ctx, tx, job, putBack{state: state, outcome: outcome, after: after, cause: cause.Text,
		failed: !cause.Wait})
}

// Release gives a job back unworked, as at a drain.
func (c *Core) Release(ctx context.Context, tx Tx, job *hook.Job) error {
	return c.putBack(ctx, tx, job, putBack{state: hook.StateRetrying, outcome: "released", cause: "released"})
}

type putBack struct {
	state   hook.State
	outcome string
	after   time.Duration
	cause   string
	failed  bool
}

func (c *Core) putBack(ctx context.Context, tx Tx, job *hook.Job, b putBack) error {
	now := c.now()
	next := now + b.after.Microseconds()
	failed := 0
	if b.failed {
		failed = 1
	}
	e := &Ending{handler: job.Handler, generation: job.Generation, attempt: job.Attempt}
	var hold sql.NullInt64
	row := tx.QueryRowContext(ctx, `UPDATE jobs SET state = $1, next_at = $2, failed = failed + $3, lease_until = 0,
			last_error = $4,
			waiting_since = CASE WHEN $1 = 'waiting' THEN coalesce(waiting_since, $5) ELSE waiting_since END,
			hold_until = CASE WHEN line = '' OR $1 = 'waiting' THEN NULL ELSE coalesce(hold_until, $6) END
		WHERE id = $7 AND attempt = $8 AND state = 'running'
		RETURNING seq, line, place, hold_until`,
		string(b.state), next, failed, cut(b.cause, MaxErrorBytes), now, holdUntil(job, now), job.ID, job.Attempt)
	err := row.Scan(&e.seq, &e.line, &e.place, &hold)
	if err == sql.ErrNoRows {
		c.count(c.stale, job.Handler)
		return hook.ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("put a job back: %w", err)
	}
	if err := c.endAttempt(ctx, tx, e, b.outcome, now, b.cause); err != nil {
		return err
	}
	aside := b.state == hook.StateWaiting && !waitingBlocks()
	if !aside && (!hold.Valid || hold.Int64 > now || next <= now) {
		return nil // it keeps its place at the head of its line, for now
	}
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET place = 2 WHERE id = $1`, job.ID); err != nil {
		return fmt.Errorf("step aside: %w", err)
	}
	return c.promote(ctx, tx, e.handler, e.line)
}

func holdUntil(job *hook.Job, now int64) int64 {
	if job.Strict {
		return math.MaxInt64
	}
	return now + HoldTime.Microseconds()
}

// Bury makes the job a dead letter.
func (c *Core) Bury(ctx context.Context, tx Tx, job *hook.Job, cause hook.Cause) error {
	err := c.bury(ctx, tx, job.ID, job.Attempt, burial{outcome: "dead", cause: cause.Text, failed: 1})
	if err == hook.ErrLeaseLost {
		c.count(c.stale, job.Handler)
	}
	return err
}

func (c *Core) buryLost(ctx context.Context, tx Tx, id, attempt int64) error {
	return c.bury(ctx, tx, id, int(attempt), burial{outcome: "lost", cause: "lost: the lease ended without a word from the worker"})
}

type burial struct {
	outcome, cause string
	failed         int // added to the failures of the job
}

func (c *Core) bury(ctx context.Context, tx Tx, id int64, attempt int, b burial) error {
	now := c.now()
	e := &Ending{attempt: attempt}
	row := tx.QueryRowContext(ctx, `UPDATE jobs SET state = 'dead', failed = failed + $1, place = 3, last_error = $2,
			lease_until = 0, next_at = $3
		WHERE id = $4 AND attempt = $5 AND state = 'running'
		RETURNING seq, handler, generation, line`, b.failed, cut(b.cause, MaxErrorBytes), now, id, attempt)
	err := row.Scan(&e.seq, &e.handler, &e.generation, &e.line)
	if err == sql.ErrNoRows {
		return hook.ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("bury a job: %w", err)
	}
	if err := c.endAttempt(ctx, tx, e, b.outcome, now, b.cause); err != nil {
		return err
	}
	return c.leaveLine(ctx, tx, e.handler, e.line, placeHead, now)
}
