package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// findAll locks the due jobs of all handlers, the usual claim. It reports care if
// jobs must be moved or taken over first; then Claim does all of it step by step.
func (c *Core) findAll(ctx context.Context, tx Tx, ask hook.Ask, now int64) (ids []int64, care bool, err error) {
	for _, h := range ask.Handlers {
		if len(ids) >= ask.Max {
			break
		}
		found, care, err := c.find(ctx, tx, h, ask, ask.Max-len(ids), now, true)
		if err != nil || care {
			return nil, care, err
		}
		ids = append(ids, found...)
	}
	return ids, false, nil
}

// find calls the function find_jobs.
func (c *Core) find(ctx context.Context, tx Tx, handler string, ask hook.Ask, room int, now int64, look bool) (ids []int64, care bool, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT care, id, old, size FROM find_jobs(?, ?, ?, ?)`, now, handler, room, look)
	if err != nil {
		return nil, false, fmt.Errorf("look for due jobs: %w", err)
	}
	defer rows.Close()
	var live, backlog []int64
	sizes := map[int64]int64{}
	for rows.Next() {
		var id, size sql.NullInt64
		var old sql.NullBool
		if err := rows.Scan(&care, &id, &old, &size); err != nil {
			return nil, false, fmt.Errorf("look for due jobs: %w", err)
		}
		switch {
		case care:
			return nil, true, nil
		case old.Bool:
			backlog = append(backlog, id.Int64)
		default:
			live = append(live, id.Int64)
		}
		sizes[id.Int64] = size.Int64
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("look for due jobs: %w", err)
	}
	if c.liveOnly(room, len(live)) {
		backlog = nil
	}
	return fitting(mixed(live, backlog, room), sizes, ask.MaxBytes), false, nil
}

// lendMany calls the function lend_jobs, for jobs that this transaction has locked.
// They come with their events: what cannot be read is not lent.
func (c *Core) lendMany(ctx context.Context, tx Tx, ids []int64, node string, now, until int64) ([]*hook.Job, error) {
	rows, err := tx.QueryContext(ctx, `SELECT * FROM lend_jobs(?, ?, ?, ?)`, now, until, node, ids)
	if err != nil {
		return nil, fmt.Errorf("lend jobs: %w", err)
	}
	defer rows.Close()
	jobs := make([]*hook.Job, 0, len(ids))
	for rows.Next() {
		j := &hook.Job{Event: &hook.Event{}, LeaseUntil: fromMicros(until)}
		var made int64
		var waiting sql.NullInt64
		_, err := c.scanEvent(behind{rows, []any{&j.ID, &j.Handler, &j.Generation, &j.Attempt, &j.Failed, &made, &waiting}}, j.Event)
		if err != nil {
			return nil, fmt.Errorf("lend jobs: %w", err)
		}
		j.FirstAt = fromMicros(made)
		if waiting.Valid {
			j.WaitingSince = fromMicros(waiting.Int64)
		}
		jobs = append(jobs, j)
	}
	if err := rows.Err(); err != nil || len(jobs) < len(ids) {
		return nil, fmt.Errorf("lend jobs: %d of %d can be read: %v", len(jobs), len(ids), err)
	}
	order := make(map[int64]int, len(ids))
	for i, id := range ids {
		order[id] = i
	}
	slices.SortFunc(jobs, func(a, b *hook.Job) int { return cmp.Compare(order[a.ID], order[b.ID]) })
	return jobs, nil
}

// behind scans columns that stand before those of somebody else.
type behind struct {
	row    scanner
	before []any
}

func (b behind) Scan(dest ...any) error { return b.row.Scan(append(b.before, dest...)...) }
