package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// sweepStep bounds what one sweeping transaction changes, so that reception
// waits for it no longer than for any other.
const sweepStep = 500

// Age marks old open jobs as backlog; more reports whether there may be more.
func (c *Core) Age(ctx context.Context, tx Tx) (n int, more bool, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, made_at FROM jobs WHERE id > $1 ORDER BY id LIMIT $2`, c.aged, sweepStep)
	if err != nil {
		return 0, false, fmt.Errorf("age jobs: %w", err)
	}
	limit := c.now() - BacklogAge.Microseconds()
	last := c.aged
	for rows.Next() {
		var id, made int64
		if err := rows.Scan(&id, &made); err != nil {
			rows.Close()
			return 0, false, err
		}
		if made > limit {
			break
		}
		last = id
		n++
	}
	rows.Close()
	if err := rows.Err(); err != nil || n == 0 {
		return 0, false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE jobs SET backlog = 1 WHERE id > $1 AND id <= $2 AND backlog = 0`, c.aged, last)
	if err != nil {
		return 0, false, fmt.Errorf("age jobs: %w", err)
	}
	c.aged = last // if the commit fails these jobs stay live, which harms nobody
	return n, n == sweepStep, nil
}

// Prune removes bodies that retention no longer keeps; never those of open or
// dead work, never a key.
func (c *Core) Prune(ctx context.Context, tx Tx, rules hook.SweepRules) (n int, more bool, err error) {
	for _, rule := range []struct {
		keep int64
		cond string
	}{
		{rules.KeepHints.Microseconds(), ` AND k.trust = 'hint'`},
		{rules.KeepBodies.Microseconds(), ``},
	} {
		if rule.keep <= 0 {
			continue
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM bodies WHERE seq IN (
			SELECT b.seq FROM bodies b CROSS JOIN event_keys k
			WHERE k.seq = b.seq AND k.received_at < $1`+rule.cond+`
			  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.seq = b.seq AND j.state <> 'discarded')
			ORDER BY b.seq LIMIT $2)`, c.now()-rule.keep, sweepStep)
		if err != nil {
			return n, false, fmt.Errorf("prune bodies: %w", err)
		}
		gone, err := res.RowsAffected()
		if err != nil {
			return n, false, err
		}
		n += int(gone)
		more = more || gone == sweepStep
	}
	return n, more, nil
}

// Imbalance recomputes the ledger of the last hours: for each, the events
// recorded must be those done, those with a job left, and those without any.
// It only reads, in one snapshot.
func (c *Core) Imbalance(ctx context.Context, tx Tx, hours int64) (int, error) {
	var off int
	row := tx.QueryRowContext(ctx, `
		WITH h AS (
			SELECT hour, first_seq, done,
				coalesce(lead(first_seq) OVER (ORDER BY hour), (SELECT coalesce(max(seq), 0) + 1 FROM event_keys)) AS next_seq
			FROM hours WHERE hour > $1
		)
		SELECT coalesce(sum(abs(
			(SELECT count(*) FROM event_keys k WHERE k.seq >= h.first_seq AND k.seq < h.next_seq AND k.jobs_total > 0)
			- h.done
			- (SELECT count(DISTINCT j.seq) FROM jobs j WHERE j.seq >= h.first_seq AND j.seq < h.next_seq))), 0)
		FROM h`, hourOf(c.now())-hours)
	if err := row.Scan(&off); err != nil {
		return 0, fmt.Errorf("balance the ledger: %w", err)
	}
	return off, nil
}

// Counts gives totals; see hook.Ledger.
func (c *Core) Counts(ctx context.Context, tx Tx) (hook.Counts, error) {
	n := hook.Counts{Jobs: map[string]map[hook.State]int64{}, StoreTime: c.Clock().UTC()}
	c.mu.Lock()
	n.Stale, n.TakenOver, n.LastEvent = maps.Clone(c.stale), maps.Clone(c.takenOver), maps.Clone(c.lastEvent)
	c.mu.Unlock()
	n.OldestJob = map[string]time.Time{}
	rows, err := tx.QueryContext(ctx, `SELECT handler, state, count(*), min(made_at) FROM jobs GROUP BY handler, state`)
	if err != nil {
		return n, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var handler string
		var state hook.State
		var count, made int64
		if err := rows.Scan(&handler, (*string)(&state), &count, &made); err != nil {
			return n, fmt.Errorf("count jobs: %w", err)
		}
		if n.Jobs[handler] == nil {
			n.Jobs[handler] = map[hook.State]int64{}
		}
		n.Jobs[handler][state] = count
		at := fromMicros(made)
		if old, ok := n.OldestJob[handler]; !state.Final() && (!ok || at.Before(old)) {
			n.OldestJob[handler] = at
		}
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("count jobs: %w", err)
	}
	row := tx.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0) FROM counters WHERE outcome IN ('recorded', 'quarantined')`)
	if err := row.Scan(&n.Events); err != nil {
		return n, fmt.Errorf("count events: %w", err)
	}
	return n, nil
}

// Rejections gives the newest notes; see hook.Ledger.
func (c *Core) Rejections(ctx context.Context, tx Tx, source string, limit int) ([]*hook.Rejection, error) {
	rows, err := tx.QueryContext(ctx, `SELECT at, source, reason, detail, remote, size, headers, body FROM rejections
		WHERE $1 = '' OR source = $1 ORDER BY id DESC LIMIT $2`, source, limit)
	if err != nil {
		return nil, fmt.Errorf("list rejections: %w", err)
	}
	defer rows.Close()
	notes := []*hook.Rejection{}
	for rows.Next() {
		r := &hook.Rejection{}
		var at int64
		var headers []byte
		if err := rows.Scan(&at, &r.Source, (*string)(&r.Reason), &r.Detail, &r.Remote, &r.Size, &headers, &r.Body); err != nil {
			return nil, fmt.Errorf("list rejections: %w", err)
		}
		r.At, r.Headers = fromMicros(at), decodeHeader(headers)
		notes = append(notes, r)
	}
	return notes, rows.Err()
}
