package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// newest is the newest generation of one handler's work on one event.
type newest struct {
	id         int64 // 0: no row in jobs, so done or never queued
	state      hook.State
	generation int // 0: never queued
	attempt    int
	nextAt     int64
}

// open says that it is not over, so that no other one may follow it.
func (n newest) open() bool {
	switch n.state {
	case hook.StateReady, hook.StateRunning, hook.StateRetrying, hook.StateWaiting:
		return true
	}
	return false
}

func (c *Core) newestJob(ctx context.Context, tx Tx, seq int64, handler string) (newest, error) {
	var n newest
	row := tx.QueryRowContext(ctx, `SELECT id, state, generation, attempt, next_at FROM jobs
		WHERE seq = $1 AND handler = $2 ORDER BY generation DESC LIMIT 1`, seq, handler)
	err := row.Scan(&n.id, (*string)(&n.state), &n.generation, &n.attempt, &n.nextAt)
	if err == nil {
		return n, nil
	}
	if err != sql.ErrNoRows {
		return n, fmt.Errorf("find a job: %w", err)
	}
	row = tx.QueryRowContext(ctx, `SELECT generation, attempt FROM attempts
		WHERE seq = $1 AND handler = $2 ORDER BY generation DESC, attempt DESC LIMIT 1`, seq, handler)
	err = row.Scan(&n.generation, &n.attempt)
	if err == nil {
		n.state = hook.StateDone
		return n, nil
	} else if err != sql.ErrNoRows {
		return n, fmt.Errorf("find attempts: %w", err)
	}
	row = tx.QueryRowContext(ctx, `SELECT generation, attempt FROM ended_jobs WHERE seq = $1 AND handler = $2`, seq, handler)
	err = row.Scan(&n.generation, &n.attempt)
	if err == nil {
		n.state = hook.StateDone
	} else if err != sql.ErrNoRows {
		return n, fmt.Errorf("find the end of a job: %w", err)
	}
	return n, nil
}

type newJob struct {
	seq           int64
	handler       string
	was           newest
	nextAt        int64
	actor, action string
	reason        string
}

// addJob queues the next generation of a handler's work on an event and notes
// who ordered it. Nothing or all of it is there after a crash.
func (c *Core) addJob(ctx context.Context, tx Tx, n newJob) (added bool, err error) {
	if n.was.open() {
		return false, nil
	}
	now := c.now(tx)
	if err := c.reopen(ctx, tx, n); err != nil {
		return false, err
	}
	line, err := c.eventLine(ctx, tx, n.seq)
	if err != nil {
		return false, err
	}
	place, err := c.enter(ctx, tx, n.handler, line, n.seq)
	if err != nil {
		return false, err
	}
	no, err := c.draw(ctx, tx, 2)
	if err != nil {
		return false, err
	}
	if err := c.audit(ctx, tx, no.take(), n); err != nil {
		return false, err
	}
	id := c.jobID()
	_, err = tx.ExecContext(ctx, `INSERT INTO jobs (`+id.column+`seq, handler, generation, line, place, state, backlog, made_no,
			made_at, hour, next_at)
		VALUES (`+id.value("$6")+`$1, $2, $3, $4, $5, 'ready', 1, $6, $7, coalesce(`+c.hourOfSeq()+`, 0), $8)`,
		n.seq, n.handler, n.was.generation+1, line, place, no.take(), now, n.nextAt)
	if err != nil {
		return false, fmt.Errorf("queue a generation: %w", err)
	}
	return true, nil
}

// eventLine reads the line that an event's jobs stand in.
func (c *Core) eventLine(ctx context.Context, tx Tx, seq int64) (string, error) {
	var source, mode, subject string
	row := tx.QueryRowContext(ctx, `SELECT k.source, k.mode, e.subject FROM event_keys k JOIN events e ON e.seq = k.seq
		WHERE k.seq = $1`, seq)
	err := row.Scan(&source, &mode, &subject)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read the event: %w", err)
	}
	return lineOf(source, mode, subject), nil
}

// lockEvent keeps others from ending, queueing or discarding jobs of an event
// while this transaction decides about them.
func (c *Core) lockEvent(ctx context.Context, tx Tx, seq int64) error {
	if !c.Many {
		return nil
	}
	line, err := c.eventLine(ctx, tx, seq)
	if err != nil {
		return err
	}
	return lock(ctx, tx, lockName(line, seq))
}

// reopen takes the old generation's row away and the event out of the count of
// done ones, or counts one more handler where there was none.
func (c *Core) reopen(ctx context.Context, tx Tx, n newJob) error {
	if n.was.generation == 0 {
		_, err := tx.ExecContext(ctx, `UPDATE event_keys SET jobs_total = jobs_total + 1 WHERE seq = $1`, n.seq)
		if err != nil {
			return fmt.Errorf("count a job: %w", err)
		}
	}
	// Done means: it had jobs, and none of them is left. A handler that joins a
	// done event later reopens it as well.
	if err := c.uncountDone(ctx, tx, n.seq); err != nil {
		return fmt.Errorf("reopen an event: %w", err)
	}
	if n.was.id != 0 {
		if _, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE id = $1`, n.was.id); err != nil {
			return fmt.Errorf("replace a generation: %w", err)
		}
	}
	return nil
}

// hourOfSeq is the hour under which the event $1 counts.
func (c *Core) hourOfSeq() string {
	if c.Many {
		return `(SELECT received_at / 3600000000 FROM event_keys WHERE seq = $1)`
	}
	return `(SELECT max(hour) FROM hours WHERE first_seq <= $1)`
}

func (c *Core) uncountDone(ctx context.Context, tx Tx, seq int64) error {
	const wasDone = `NOT EXISTS (SELECT 1 FROM jobs WHERE seq = $1) AND
		(EXISTS (SELECT 1 FROM attempts WHERE seq = $1) OR EXISTS (SELECT 1 FROM ended_jobs WHERE seq = $1))`
	if m, ok := tx.(Many); ok {
		_, err := tx.ExecContext(ctx, `INSERT INTO hours (hour, slot, done) SELECT `+c.hourOfSeq()+`, $2, -1 WHERE `+wasDone+`
			ON CONFLICT (hour, slot) DO UPDATE SET done = hours.done - 1`, seq, m.Slot())
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE hours SET done = done - 1 WHERE hour = `+c.hourOfSeq()+` AND `+wasDone, seq)
	return err
}

func (c *Core) audit(ctx context.Context, tx Tx, no int64, n newJob) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (no, at, actor, action, seq, handler, generation, was, attempt, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		no, c.now(tx), n.actor, n.action, n.seq, n.handler, n.was.generation, string(n.was.state), n.was.attempt,
		cut(n.reason, MaxErrorBytes))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Replay queues new generations; see hook.Ledger.
func (c *Core) Replay(ctx context.Context, tx Tx, id string, r hook.Replay) (int, error) {
	if r.Reason == "" {
		return 0, fmt.Errorf("replay %s: a reason is required: %w", id, hook.ErrRefused)
	}
	seq, handlers, err := c.replayTargets(ctx, tx, id, r.Handlers)
	if err != nil {
		return 0, err
	}
	if err := c.lockEvent(ctx, tx, seq); err != nil {
		return 0, err
	}
	if err := c.stillKept(ctx, tx, seq, id); err != nil {
		return 0, err
	}
	jobs := 0
	for _, h := range handlers {
		was, err := c.newestJob(ctx, tx, seq, h)
		if err != nil {
			return 0, err
		}
		added, err := c.addJob(ctx, tx, newJob{seq: seq, handler: h, was: was, nextAt: c.now(tx),
			actor: r.Actor, action: "replay", reason: r.Reason})
		if err != nil {
			return 0, fmt.Errorf("replay %s: %w", id, err)
		}
		if added {
			jobs++
		}
	}
	if jobs == 0 {
		return 0, fmt.Errorf("replay %s: its jobs are still open: %w", id, hook.ErrRefused)
	}
	return jobs, nil
}

// stillKept refuses an event that was erased, or whose body was removed while its
// lock was waited for.
func (c *Core) stillKept(ctx context.Context, tx Tx, seq int64, id string) (err error) {
	var kept bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM bodies WHERE seq = $1)
		AND EXISTS (SELECT 1 FROM event_keys WHERE seq = $1 AND erased_at IS NULL)`, seq).Scan(&kept)
	if err == nil && !kept {
		err = fmt.Errorf("replay %s: its body is no longer kept: %w", id, hook.ErrRefused)
	}
	return err
}

func (c *Core) replayTargets(ctx context.Context, tx Tx, id string, named []string) (int64, []string, error) {
	seq, err := c.seqOf(id)
	if err != nil {
		return 0, nil, err
	}
	e := &hook.Event{}
	if _, err := c.scanEvent(tx.QueryRowContext(ctx, eventSQL+`= $1`, seq), e); err == sql.ErrNoRows {
		return 0, nil, fmt.Errorf("event %s: %w", id, hook.ErrNotFound)
	} else if err != nil {
		return 0, nil, fmt.Errorf("event %s: %w", id, err)
	}
	handlers, err := c.targets(e, named)
	return seq, handlers, err
}

// targets are the handlers that may work an event again: the named ones, or all that
// want it.
func (c *Core) targets(e *hook.Event, named []string) ([]string, error) {
	if e.Unreadable != nil {
		return nil, fmt.Errorf("replay: %w: %w", hook.ErrRefused, e.Unreadable)
	}
	if e.Body == nil {
		return nil, fmt.Errorf("replay %s: its body is no longer kept: %w", e.ID, hook.ErrRefused)
	}
	known := map[string]bool{}
	var wanting []string
	for _, r := range *c.routes.Load() {
		known[r.Name] = true
		if r.Wants(e.Source, e.Type, e.Trust) {
			wanting = append(wanting, r.Name)
		}
	}
	if len(named) == 0 {
		named = wanting
	}
	for _, h := range named {
		if !known[h] {
			return nil, fmt.Errorf("replay %s: no handler is named %.64q: %w", e.ID, h, hook.ErrRefused)
		}
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("replay %s: no handler wants it: %w", e.ID, hook.ErrRefused)
	}
	return named, nil
}

// Discard lays a dead job aside; see hook.Ledger.
func (c *Core) Discard(ctx context.Context, tx Tx, id, handler, actor, reason string) error {
	seq, err := c.seqOf(id)
	if err != nil {
		return err
	}
	if reason == "" {
		return fmt.Errorf("discard %s: a reason is required: %w", id, hook.ErrRefused)
	}
	if err := c.lockEvent(ctx, tx, seq); err != nil {
		return err
	}
	was, err := c.newestJob(ctx, tx, seq, handler)
	if err != nil {
		return err
	}
	if was.state != hook.StateDead {
		return fmt.Errorf("discard %s: its job for %.64q is not dead: %w", id, handler, hook.ErrRefused)
	}
	no, err := c.draw(ctx, tx, 1)
	if err != nil {
		return err
	}
	if err := c.audit(ctx, tx, no.take(), newJob{seq: seq, handler: handler, was: was,
		actor: actor, action: "discard", reason: reason}); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET state = 'discarded' WHERE id = $1`, was.id); err != nil {
		return fmt.Errorf("discard %s: %w", id, err)
	}
	return nil
}
