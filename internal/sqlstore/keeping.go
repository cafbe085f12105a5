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
	limit := c.now(tx) - BacklogAge.Microseconds()
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
	age := `UPDATE jobs SET backlog = 1 WHERE id > $1 AND id <= $2 AND backlog = 0`
	if c.Many { // waits for nobody: not for one that is being ended, lent or woken
		age = `UPDATE jobs SET backlog = 1 WHERE id IN (SELECT id FROM jobs WHERE id > $1 AND id <= $2 AND backlog = 0
			AND place < 2 AND state <> 'running' ORDER BY id FOR UPDATE SKIP LOCKED)`
	}
	_, err = tx.ExecContext(ctx, age, c.aged, last)
	if err != nil {
		return 0, false, fmt.Errorf("age jobs: %w", err)
	}
	c.aged = last // if the commit fails these jobs stay live, which harms nobody
	return n, n == sweepStep, nil
}

// Imbalance recomputes the ledger of the last hours: for each, the events
// recorded must be those done, those with a job left, and those without any.
// It only reads, in one snapshot.
func (c *Core) Imbalance(ctx context.Context, tx Tx, hours int64) (int, error) {
	var off int
	after := hourOf(c.now(tx)) - hours
	if c.Many {
		row := tx.QueryRowContext(ctx, imbalanceManySQL, after, SeqAt((after+1)*3_600_000_000))
		if err := row.Scan(&off); err != nil {
			return 0, fmt.Errorf("balance the ledger: %w", err)
		}
		return off, nil
	}
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
		FROM h`, after)
	if err := row.Scan(&off); err != nil {
		return 0, fmt.Errorf("balance the ledger: %w", err)
	}
	return off, nil
}

// imbalanceManySQL takes the hour of an event from its time: numbers of several
// writers do not follow the clock, and those copied from the other engine know no
// day at all.
const imbalanceManySQL = `
	WITH h AS (SELECT hour, sum(done) AS n FROM hours WHERE hour > $1 GROUP BY hour),
	k AS (SELECT hour, count(*) AS n FROM (
			SELECT received_at / 3600000000 AS hour FROM event_keys
			WHERE seq >= $2 AND received_at / 3600000000 > $1 AND jobs_total > 0
			UNION ALL
			SELECT received_at / 3600000000 FROM event_keys
			WHERE seq < 100000000000 AND received_at >= ($1::bigint + 1) * 3600000000 AND jobs_total > 0) copied GROUP BY hour),
	j AS (SELECT hour, count(DISTINCT seq) AS n FROM jobs WHERE hour > $1 GROUP BY hour)
	SELECT coalesce(sum(abs(coalesce(k.n, 0) - coalesce(h.n, 0) - coalesce(j.n, 0))), 0)::bigint
	FROM k FULL JOIN h USING (hour) FULL JOIN j USING (hour)`

// Counts gives totals; see hook.Ledger.
func (c *Core) Counts(ctx context.Context, tx Tx) (hook.Counts, error) {
	n := hook.Counts{Jobs: map[string]map[hook.State]int64{}, StoreTime: fromMicros(c.now(tx))}
	if c.Many { // others record too
		if err := c.loadLastEvents(ctx, tx); err != nil {
			return n, err
		}
	}
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
	row := tx.QueryRowContext(ctx, `SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM counters WHERE outcome IN ('recorded', 'quarantined')`)
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
		r.At = fromMicros(at)
		if r.Headers, r.Body, err = c.open(rejectionPlace(r.Source, at), headers, r.Body); err != nil {
			r.Headers, r.Detail = map[string][]string{}, r.Detail+" (headers and body cannot be read: "+err.Error()+")"
		}
		notes = append(notes, r)
	}
	return notes, rows.Err()
}
