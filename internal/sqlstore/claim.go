package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Due reports whether a claim for these handlers would find anything to do, so
// that an idle queue costs no writing transaction.
func (c *Core) Due(ctx context.Context, tx Tx, handlers []string) (bool, error) {
	now := c.now(tx)
	var due bool
	row := tx.QueryRowContext(ctx, `SELECT
		EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_aside WHERE place = 2 AND next_at <= $1)
		OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_hold
			WHERE place = 0 AND hold_until IS NOT NULL AND hold_until <= $1 AND state = 'retrying')`, now)
	if err := row.Scan(&due); err != nil || due {
		return due, err
	}
	for _, h := range handlers {
		row := tx.QueryRowContext(ctx, dueSQL, now, h)
		if err := row.Scan(&due); err != nil || due {
			return due, err
		}
	}
	return false, nil
}

const dueSQL = `SELECT
	EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_due
		WHERE place = 0 AND state <> 'running' AND handler = $2 AND backlog = 0 AND next_at <= $1)
	OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_due
		WHERE place = 0 AND state <> 'running' AND handler = $2 AND backlog = 1 AND next_at <= $1)
	OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_leased
		WHERE state = 'running' AND handler = $2 AND lease_until <= $1)`

// Claim lends jobs. If the process dies before the commit, nothing was lent; if
// it dies after it, the leases lapse and the jobs are claimed again under the
// next attempt. With one writer the jobs come without their events: see LoadEvents.
func (c *Core) Claim(ctx context.Context, tx Tx, ask hook.Ask) ([]*hook.Job, error) {
	now := c.now(tx)
	if c.Many {
		ids, care, err := c.findAll(ctx, tx, ask, now)
		if err != nil {
			return nil, err
		}
		if !care {
			return c.lend(ctx, tx, ids, ask, now)
		}
	}
	if err := c.stepUp(ctx, tx, now); err != nil {
		return nil, err
	}
	if err := c.stepAside(ctx, tx, now); err != nil {
		return nil, err
	}
	var ids []int64
	for _, h := range ask.Handlers {
		lapsed, err := c.takeOver(ctx, tx, h, ask, ask.Max-len(ids), now)
		if err != nil {
			return nil, err
		}
		ids = append(ids, lapsed...)
		due, err := c.dueJobs(ctx, tx, h, ask, ask.Max-len(ids), now)
		if err != nil {
			return nil, err
		}
		ids = append(ids, due...)
	}
	return c.lend(ctx, tx, ids, ask, now)
}

// dueJobs takes live work before backlog, but leaves a quarter of the slots to
// the backlog when there is any: nothing starves.
func (c *Core) dueJobs(ctx context.Context, tx Tx, handler string, ask hook.Ask, room int, now int64) ([]int64, error) {
	if room <= 0 {
		return nil, nil
	}
	if c.Many {
		ids, _, err := c.find(ctx, tx, handler, ask, room, now, false)
		return ids, err
	}
	live, err := c.ids(ctx, tx, claimSQL, handler, 0, now, room)
	if err != nil {
		return nil, err
	}
	var old []int64
	if !c.liveOnly(room, len(live)) {
		if old, err = c.ids(ctx, tx, claimSQL, handler, 1, now, max(room-len(live), (room+3)/4)); err != nil {
			return nil, err
		}
	}
	return c.within(ctx, tx, mixed(live, old, room), ask.MaxBytes)
}

// liveOnly says that this turn of the only slot is not the backlog's, which has
// every fourth.
func (c *Core) liveOnly(room, live int) bool {
	return room == 1 && live == 1 && c.claims.Add(1)%4 != 0
}

// mixed puts the backlog in the place of the last live ones.
func mixed(live, old []int64, room int) []int64 {
	if over := len(live) + len(old) - room; over > 0 {
		live = live[:len(live)-over]
	}
	return slices.Concat(live, old)
}

const claimSQL = `SELECT id FROM jobs INDEXED BY jobs_due
	WHERE place = 0 AND state <> 'running' AND handler = $1 AND backlog = $2 AND next_at <= $3
	ORDER BY next_at LIMIT $4`

const lapsedSQL = `SELECT id FROM jobs INDEXED BY jobs_leased
	WHERE state = 'running' AND handler = $1 AND lease_until <= $2
	ORDER BY lease_until LIMIT $3`

func (c *Core) ids(ctx context.Context, tx Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("look for due jobs: %w", err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// takeOver ends attempts whose lease has lapsed. A job that has lost or failed
// as often as it may is dead, cause lost; the others are returned to be lent.
func (c *Core) takeOver(ctx context.Context, tx Tx, handler string, ask hook.Ask, room int, now int64) ([]int64, error) {
	if room <= 0 {
		return nil, nil
	}
	lapsed, err := c.ids(ctx, tx, lapsedSQL+c.skipLocked(), handler, now, room)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, id := range lapsed {
		var failed int64
		e := &Ending{id: id, handler: handler}
		row := tx.QueryRowContext(ctx, `SELECT seq, generation, attempt, failed + 1, line, `+claimColumns+` FROM jobs WHERE id = $1`, id)
		if err := row.Scan(append([]any{&e.seq, &e.generation, &e.attempt, &failed, &e.line}, e.claim.fields()...)...); err != nil {
			return nil, fmt.Errorf("take over a lease: %w", err)
		}
		lost := ask.MaxAttempts > 0 && failed >= int64(ask.MaxAttempts)
		if lost {
			if mine, err := tryLock(ctx, tx, e.line); err != nil {
				return nil, fmt.Errorf("take over a lease: %w", err)
			} else if !mine {
				continue // somebody changes its line just now: the next claim finds it again
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET failed = failed + 1 WHERE id = $1`, id); err != nil {
			return nil, fmt.Errorf("take over a lease: %w", err)
		}
		c.count(c.takenOver, handler)
		if lost {
			if err := c.buryLost(ctx, tx, id, e.attempt); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.noteAttempts(ctx, tx, []*Ending{e}, ended{outcome: "lost", at: now}); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// lend marks the jobs as running. Their rows are locked by then, so that the
// numbers drawn here follow those of whoever had them.
func (c *Core) lend(ctx context.Context, tx Tx, ids []int64, ask hook.Ask, now int64) ([]*hook.Job, error) {
	jobs := make([]*hook.Job, 0, len(ids))
	err := parts(c, ids, func(part []int64) error {
		lent, err := c.lendSome(ctx, tx, part, ask, now)
		jobs = append(jobs, lent...)
		return err
	})
	return jobs, err
}

func (c *Core) lendSome(ctx context.Context, tx Tx, ids []int64, ask hook.Ask, now int64) ([]*hook.Job, error) {
	until := now + ask.Lease.Microseconds()
	if c.Many {
		return c.lendMany(ctx, tx, ids, ask.Node, now, until)
	}
	no, err := c.draw(ctx, tx, len(ids))
	if err != nil {
		return nil, err
	}
	jobs := make([]*hook.Job, 0, len(ids))
	err = bulk(c, ids, "ii", func(args []any, id int64) []any {
		return append(args, id, no.take())
	}, func(_ []int64, source string, args []any) error {
		lent, err := c.markRunning(ctx, tx, source, append([]any{ask.Node, now, until}, args...), until)
		jobs = append(jobs, lent...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lend jobs: %w", err)
	}
	place := make(map[int64]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	slices.SortFunc(jobs, func(a, b *hook.Job) int { return place[a.ID] - place[b.ID] })
	return jobs, nil
}

// lendSQL notes the attempts in the rows of the jobs; they get rows of their own
// when they end.
func lendSQL(source string) string {
	return `UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_by = ?, started_at = ?, lease_until = ?,
			claim_no = v.column2
		FROM (` + source + `) v WHERE jobs.id = v.column1
		RETURNING id, seq, handler, generation, attempt, failed, made_at, waiting_since`
}

func (c *Core) markRunning(ctx context.Context, tx Tx, source string, args []any, until int64) ([]*hook.Job, error) {
	rows, err := tx.QueryContext(ctx, lendSQL(source), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var jobs []*hook.Job
	for rows.Next() {
		j := &hook.Job{Event: &hook.Event{}, LeaseUntil: fromMicros(until)}
		var seq, made int64
		var waiting sql.NullInt64
		if err := rows.Scan(&j.ID, &seq, &j.Handler, &j.Generation, &j.Attempt, &j.Failed, &made, &waiting); err != nil {
			return nil, err
		}
		j.FirstAt = fromMicros(made)
		if waiting.Valid {
			j.WaitingSince = fromMicros(waiting.Int64)
		}
		j.Event.ID = c.eventID(seq)
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// LoadEvents fills in the events of claimed jobs; it only reads.
func (c *Core) LoadEvents(ctx context.Context, tx Tx, jobs []*hook.Job) error {
	return parts(c, jobs, func(part []*hook.Job) error {
		bySeq := make(map[int64][]*hook.Job, len(part))
		seqs := make([]int64, len(part))
		for i, j := range part {
			seq, err := c.seqOf(j.Event.ID)
			if err != nil {
				return err
			}
			seqs[i] = seq
			bySeq[seq] = append(bySeq[seq], j)
		}
		in, args := c.in(seqs)
		rows, err := tx.QueryContext(ctx, eventSQL+in, args...)
		if err != nil {
			return fmt.Errorf("load events: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			e := &hook.Event{}
			seq, err := c.scanEvent(rows, e)
			if err != nil {
				return fmt.Errorf("load events: %w", err)
			}
			for _, j := range bySeq[seq] {
				j.Event = e
			}
			delete(bySeq, seq)
		}
		if err := rows.Err(); err != nil || len(bySeq) > 0 {
			return fmt.Errorf("load events: %d missing: %v", len(bySeq), err)
		}
		return nil
	})
}

const eventSQL = `SELECT k.seq, k.source, k.mode, k.trust, k.key, e.type, e.subject, e.occurred_at,
		k.received_at, e.headers, b.body
	FROM event_keys k JOIN events e ON e.seq = k.seq LEFT JOIN bodies b ON b.seq = k.seq WHERE k.seq `

type scanner interface{ Scan(dest ...any) error }

func (c *Core) scanEvent(row scanner, e *hook.Event) (seq int64, err error) {
	var occurred sql.NullInt64
	var received int64
	var headers []byte
	err = row.Scan(&seq, &e.Source, &e.Mode, (*string)(&e.Trust), &e.Key, &e.Type, &e.Subject, &occurred,
		&received, &headers, &e.Body)
	if err != nil {
		return 0, err
	}
	e.ID = c.eventID(seq)
	if occurred.Valid {
		e.OccurredAt = fromMicros(occurred.Int64)
	}
	e.RecordedAt = fromMicros(received)
	place := eventKey{e.Source, e.Mode, e.Key}.place()
	if e.Header, e.Body, err = c.open(place, headers, e.Body); err != nil {
		e.Unreadable = fmt.Errorf("event %s cannot be read: %w", e.ID, err) // its neighbours can
	}
	return seq, nil
}

// Extend renews leases and returns the jobs whose lease is lost to another attempt.
func (c *Core) Extend(ctx context.Context, tx Tx, jobs []*hook.Job, lease time.Duration) (lost []*hook.Job, err error) {
	if c.Many {
		return c.extendMany(ctx, tx, jobs, lease)
	}
	until := c.now(tx) + lease.Microseconds()
	for _, j := range jobs {
		res, err := tx.ExecContext(ctx, `UPDATE jobs SET lease_until = $1
			WHERE id = $2 AND attempt = $3 AND state = 'running'`, until, j.ID, j.Attempt)
		if err != nil {
			return nil, fmt.Errorf("extend leases: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return nil, err
		} else if n == 0 {
			lost = append(lost, j)
		}
	}
	return lost, nil
}
