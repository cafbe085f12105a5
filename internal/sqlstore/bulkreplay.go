package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of bulk replays.
const (
	maxBulks        = 16     // that are not over
	maxBulkStep     = 25     // events in one transaction: a few milliseconds of a single writer
	maxBulkStepMany = 100    // where a step is a dozen statements, however many events it has
	maxBulkCount    = 10_001 // events that are counted before one starts
	maxBulkRate     = 1000
)

// candidate is an event that a bulk replay comes to.
type candidate struct {
	seq      int64
	handlers []string // empty: all that want it
	mark     int64
}

// candidates gives the next ones below a mark, at most limit. done says that
// nothing is left; passed is the mark down to which all were looked at.
func (c *Core) candidates(ctx context.Context, tx Tx, o *hook.BulkOrder, mark int64, limit int) (list []candidate, passed int64, done bool, err error) {
	if ofBodies(o.Filter) { // such a search may end early, and the index lag
		return nil, 0, false, fmt.Errorf("bulk replay: a search of bodies cannot be replayed as a whole: %w", hook.ErrBadFilter)
	}
	if o.OnlyDead {
		return c.deadCandidates(ctx, tx, o, mark, limit)
	}
	seqs, err := c.found(ctx, tx, o.Filter, mark, limit)
	if err != nil {
		return nil, 0, false, err
	}
	passed = mark
	for _, passed = range seqs {
		list = append(list, candidate{passed, o.Handlers, passed})
	}
	return list, passed, len(list) < limit, nil
}

// deadCandidates goes through dead jobs by their numbers. What is not wanted
// counts against the limit, so that a step is short.
func (c *Core) deadCandidates(ctx context.Context, tx Tx, o *hook.BulkOrder, mark int64, limit int) (list []candidate, passed int64, done bool, err error) {
	f := o.Filter
	f.Cursor, f.Limit, f.State = "", 0, ""
	where, args, err := c.where(f)
	if err != nil {
		return nil, 0, false, err
	}
	if where == "" {
		where = " WHERE TRUE"
	}
	for _, h := range o.Handlers {
		args = append(args, h)
		where += ` AND j.handler = $` + strconv.Itoa(len(args))
	}
	args = append(args, mark, limit)
	rows, err := tx.QueryContext(ctx, `SELECT j.id, j.seq, j.handler, coalesce(j.last_error, '')
		FROM jobs j JOIN event_keys k ON k.seq = j.seq JOIN events e ON e.seq = j.seq`+where+
		` AND j.place = 3 AND j.state = 'dead' AND j.id < $`+strconv.Itoa(len(args)-1)+
		` ORDER BY j.id DESC LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, 0, false, fmt.Errorf("choose dead jobs: %w", err)
	}
	defer rows.Close()
	passed = mark
	n := 0
	for rows.Next() {
		var seq int64
		var handler, cause string
		if err := rows.Scan(&passed, &seq, &handler, &cause); err != nil {
			return nil, 0, false, fmt.Errorf("choose dead jobs: %w", err)
		}
		n++
		if o.Cause == "" || hook.CauseKey(cause) == o.Cause {
			list = append(list, candidate{seq, []string{handler}, passed})
		}
	}
	return list, passed, n < limit, rows.Err()
}

// CountBulk counts what an order would look at; see hook.BulkKeeper.
func (c *Core) CountBulk(ctx context.Context, tx Tx, o hook.BulkOrder) (int64, []*hook.EventInfo, error) {
	list, _, _, err := c.candidates(ctx, tx, &o, math.MaxInt64, maxBulkCount)
	if err != nil {
		return 0, nil, err
	}
	sample := []*hook.EventInfo{}
	shown := map[int64]bool{}
	for _, found := range list {
		if len(sample) == 5 || shown[found.seq] {
			continue
		}
		shown[found.seq] = true
		page, seqs, err := c.infos(ctx, tx, ` WHERE k.seq = $1`, found.seq)
		if err == nil {
			err = c.addJobs(ctx, tx, page, seqs)
		}
		if err != nil {
			return 0, nil, err
		}
		sample = append(sample, page...)
	}
	return int64(len(list)), sample, nil
}

// AddBulk keeps an order; see hook.BulkKeeper. If we die before the commit there
// is none, and nobody was told otherwise.
func (c *Core) AddBulk(ctx context.Context, tx Tx, o hook.BulkOrder) (int64, error) {
	switch {
	case strings.TrimSpace(o.Reason) == "":
		return 0, fmt.Errorf("bulk replay: a reason is required: %w", hook.ErrRefused)
	case o.Rate < 1 || o.Rate > maxBulkRate:
		return 0, fmt.Errorf("bulk replay: a rate is 1 to %d events a second, not %d: %w", maxBulkRate, o.Rate, hook.ErrRefused)
	}
	if err := lock(ctx, tx, "bulk replays"); err != nil {
		return 0, fmt.Errorf("bulk replay: %w", err)
	}
	var open int
	row := tx.QueryRowContext(ctx, `SELECT count(*) FROM bulk_replays WHERE state IN ('running', 'paused')`)
	if err := row.Scan(&open); err != nil {
		return 0, fmt.Errorf("bulk replay: %w", err)
	}
	if open >= maxBulks {
		return 0, fmt.Errorf("bulk replay: %d others are not over yet: %w", open, hook.ErrRefused)
	}
	now := c.now(tx)
	if o.Filter.Until.IsZero() || o.Filter.Until.UnixMicro() > now {
		o.Filter.Until = fromMicros(now + 1) // what is recorded at this very moment belongs to it
	}
	n, _, err := c.CountBulk(ctx, tx, o)
	if err != nil {
		return 0, err
	}
	mark := int64(math.MaxInt64)
	if o.OnlyDead { // a job that dies again later has a higher number
		row := tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM jobs`)
		if err := row.Scan(&mark); err != nil {
			return 0, fmt.Errorf("bulk replay: %w", err)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("bulk replay: %w", err)
	}
	var id int64
	row = tx.QueryRowContext(ctx, `INSERT INTO bulk_replays (state, ordered, total, mark, made_at, moved_at, next_at)
		VALUES ('running', $1, $2, $3, $4, $4, $4) RETURNING id`, string(text), n, mark, now)
	if err := row.Scan(&id); err != nil {
		return 0, fmt.Errorf("bulk replay: %w", err)
	}
	return id, c.Note(ctx, tx, hook.AuditNote{Actor: o.Actor, Action: "bulk_start", Object: bulkName(id), Reason: o.Reason})
}

func bulkName(id int64) string { return "bulk #" + strconv.FormatInt(id, 10) }

const bulkSQL = `SELECT id, state, ordered, total, seen, jobs, left_out, mark, made_at, moved_at FROM bulk_replays`

func scanBulk(scan func(...any) error) (*hook.Bulk, int64, error) {
	b := &hook.Bulk{}
	var ordered string
	var mark, made, moved int64
	if err := scan(&b.ID, (*string)(&b.State), &ordered, &b.Total, &b.Seen, &b.Jobs, &b.Left, &mark, &made, &moved); err != nil {
		return nil, 0, err
	}
	b.At, b.Moved = fromMicros(made), fromMicros(moved)
	return b, mark, json.Unmarshal([]byte(ordered), &b.Order)
}

// Bulks gives the newest bulk replays; see hook.BulkKeeper.
func (c *Core) Bulks(ctx context.Context, tx Tx, limit int) ([]*hook.Bulk, error) {
	rows, err := tx.QueryContext(ctx, bulkSQL+` ORDER BY id DESC LIMIT $1`, pageOf(limit, 50))
	if err != nil {
		return nil, fmt.Errorf("list bulk replays: %w", err)
	}
	defer rows.Close()
	all := []*hook.Bulk{}
	for rows.Next() {
		b, _, err := scanBulk(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list bulk replays: %w", err)
		}
		all = append(all, b)
	}
	return all, rows.Err()
}

// Bulk gives one bulk replay; see hook.BulkKeeper.
func (c *Core) Bulk(ctx context.Context, tx Tx, id int64) (*hook.Bulk, error) {
	b, _, err := scanBulk(tx.QueryRowContext(ctx, bulkSQL+` WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%s: %w", bulkName(id), hook.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", bulkName(id), err)
	}
	return b, nil
}

// SteerBulk changes the state of a bulk replay; see hook.BulkKeeper.
func (c *Core) SteerBulk(ctx context.Context, tx Tx, id int64, to hook.BulkState, actor string) error {
	action := map[hook.BulkState]string{hook.BulkPaused: "bulk_pause", hook.BulkRunning: "bulk_resume",
		hook.BulkCancelled: "bulk_cancel"}[to]
	if action == "" {
		return fmt.Errorf("%s: it cannot be made %.20q: %w", bulkName(id), to, hook.ErrRefused)
	}
	was, err := c.Bulk(ctx, tx, id)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `UPDATE bulk_replays SET state = $1 WHERE id = $2 AND state IN ('running', 'paused') AND state <> $1`,
		string(to), id)
	if err != nil {
		return fmt.Errorf("%s: %w", bulkName(id), err)
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		if was.State == to {
			return nil
		}
		return fmt.Errorf("%s is over: %w", bulkName(id), hook.ErrRefused)
	}
	return c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: action, Object: bulkName(id), Reason: was.Order.Reason})
}

// bulkDueSQL finds a bulk replay whose turn has come.
const bulkDueSQL = bulkSQL + ` WHERE state = 'running' AND next_at <= $1 ORDER BY next_at LIMIT 1`

// BulkDue reports whether StepBulk would find something to do; a reader may ask.
func (c *Core) BulkDue(ctx context.Context, tx Tx) (bool, error) {
	_, _, err := scanBulk(tx.QueryRowContext(ctx, bulkDueSQL, c.now(tx)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// StepBulk gets on with one bulk replay; see hook.BulkKeeper. The jobs and the mark
// commit together: if we die before, the same events are met again; after, they
// are not. The row is held meanwhile, so that two nodes never take the same step.
func (c *Core) StepBulk(ctx context.Context, tx Tx) (busy bool, err error) {
	now := c.now(tx)
	b, mark, err := scanBulk(tx.QueryRowContext(ctx, bulkDueSQL+c.skipLocked(), now).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("choose a bulk replay: %w", err)
	}
	most := maxBulkStep
	if c.Many {
		most = maxBulkStepMany
	}
	step := max(1, min(most, b.Order.Rate/4))
	list, passed, done, err := c.candidates(ctx, tx, &b.Order, mark, step)
	if err != nil {
		return false, fmt.Errorf("%s: %w", bulkName(b.ID), err)
	}
	replay := c.replayEach
	if c.Many {
		replay = c.queueAll
	}
	queued, left, err := replay(ctx, tx, list, b.Order.Actor, bulkName(b.ID)+": "+b.Order.Reason)
	if err != nil {
		return false, fmt.Errorf("%s: %w", bulkName(b.ID), err)
	}
	state := hook.BulkRunning
	if done {
		state = hook.BulkDone
	}
	pause := time.Duration(step) * time.Second / time.Duration(b.Order.Rate)
	_, err = tx.ExecContext(ctx, `UPDATE bulk_replays SET state = $1, seen = seen + $2, jobs = jobs + $3, left_out = left_out + $4,
			mark = $5, moved_at = $6, next_at = $7 WHERE id = $8`,
		string(state), len(list), queued, left, passed, now, now+pause.Microseconds(), b.ID)
	if err != nil {
		return false, fmt.Errorf("%s: %w", bulkName(b.ID), err)
	}
	return true, nil
}

// replayEach replays one event after the other, as a single writer does best.
func (c *Core) replayEach(ctx context.Context, tx Tx, list []candidate, actor, reason string) (queued, left int, err error) {
	for _, found := range list {
		n, err := c.Replay(ctx, tx, c.eventID(found.seq), hook.Replay{Handlers: found.handlers, Actor: actor, Reason: reason})
		switch {
		case errors.Is(err, hook.ErrRefused), errors.Is(err, hook.ErrNotFound):
			left++
		case err != nil:
			return 0, 0, err
		default:
			queued += n
		}
	}
	return queued, left, nil
}
