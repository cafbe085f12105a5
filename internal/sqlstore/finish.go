package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Ending is the row of a job that has just been fenced.
type Ending struct {
	id         int64
	seq, hour  int64
	handler    string
	generation int
	attempt    int
	line       string
	claim      claim
}

// BeginDone takes jobs out of the queue whose attempt still owns them; the
// others are missing in what it returns, and nothing may be written for them. It is
// for a single writer, who deletes their rows at once. Where several write, Fence and
// Fenced stand for it: the rows are locked only, and deleted by Done, for an effect
// comes between, and nobody may wait for it who could wait for their end.
// The engine runs the effects between BeginDone and Done, in the same
// transaction. If the process dies before the commit, neither effects nor ends
// exist, the leases lapse and the jobs are worked again; after it both exist.
func (c *Core) BeginDone(ctx context.Context, tx Tx, jobs []*hook.Job) (map[*hook.Job]*Ending, error) {
	ends := make(map[*hook.Job]*Ending, len(jobs))
	err := bulk(c, jobs, "ii", func(args []any, j *hook.Job) []any {
		return append(args, j.ID, j.Attempt)
	}, func(part []*hook.Job, source string, args []any) error {
		byID := make(map[int64]*hook.Job, len(part))
		for _, j := range part {
			byID[j.ID] = j
		}
		fence := fenceSQL(source)
		if len(part) == 1 && !fault.Mutant("no_fence") {
			fence = fenceOneSQL
		}
		rows, err := tx.QueryContext(ctx, fence, args...)
		if err != nil {
			return fmt.Errorf("end jobs: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			e := &Ending{}
			into := []any{&e.id, &e.seq, &e.hour, &e.line}
			if err := rows.Scan(append(into, e.claim.fields()...)...); err != nil {
				return fmt.Errorf("end jobs: %w", err)
			}
			j := byID[e.id]
			e.handler, e.generation, e.attempt = j.Handler, j.Generation, j.Attempt
			ends[j] = e
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if ends[j] != nil {
			continue
		}
		e, err := c.unfenced(j)
		if err != nil {
			return nil, err
		}
		if e != nil {
			ends[j] = e
		}
	}
	return ends, nil
}

// unfenced counts a job that another attempt owns; it has no end of ours.
func (c *Core) unfenced(j *hook.Job) (e *Ending, err error) {
	if fault.Mutant("no_fence") {
		e = &Ending{id: j.ID, handler: j.Handler, generation: j.Generation, attempt: j.Attempt}
		e.seq, err = c.seqOf(j.Event.ID)
		return e, err
	}
	c.count(c.stale, j.Handler)
	return nil, nil
}

// Fence is the statement by which jobs are fenced where several transactions run at
// once, as text without arguments, so that it can go out with the begin. Fenced takes
// its answer. The row of a single one is looked up by its id, whatever the planner
// thinks of the index of running jobs; lock_jobs does the same for many.
func Fence(jobs []*hook.Job) string {
	if len(jobs) == 1 {
		j := jobs[0]
		return fmt.Sprintf(`SELECT id, seq, hour, line FROM jobs WHERE id = %d AND attempt = %d AND state || '' = 'running' FOR UPDATE`, j.ID, j.Attempt)
	}
	ids, tries := make([]byte, 0, 12*len(jobs)), make([]byte, 0, 2*len(jobs))
	for i, j := range jobs {
		if i > 0 {
			ids, tries = append(ids, ','), append(tries, ',')
		}
		ids, tries = strconv.AppendInt(ids, j.ID, 10), strconv.AppendInt(tries, int64(j.Attempt), 10)
	}
	return fmt.Sprintf(`SELECT id, seq, hour, line FROM lock_jobs('{%s}', '{%s}')`, ids, tries)
}

// Fenced is BeginDone with the answer to Fence, which has no row for a job that
// another attempt owns.
func (c *Core) Fenced(jobs []*hook.Job, rows [][][]byte) (map[*hook.Job]*Ending, error) {
	byID := make(map[int64]*Ending, len(rows))
	for _, row := range rows {
		e := &Ending{line: string(row[3])}
		for i, into := range []*int64{&e.id, &e.seq, &e.hour} {
			n, err := strconv.ParseInt(string(row[i]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("end jobs: %w", err)
			}
			*into = n
		}
		byID[e.id] = e
	}
	ends := make(map[*hook.Job]*Ending, len(jobs))
	for _, j := range jobs {
		e := byID[j.ID]
		if e == nil {
			var err error
			if e, err = c.unfenced(j); err != nil {
				return nil, err
			}
		}
		if e != nil {
			e.handler, e.generation, e.attempt = j.Handler, j.Generation, j.Attempt
			ends[j] = e
		}
	}
	return ends, nil
}

// fenceSQL deletes the rows that are still ours.
func fenceSQL(source string) string {
	fence := ` AND j.attempt = v.column2 AND j.state = 'running'`
	if fault.Mutant("no_fence") {
		fence = ``
	}
	return `DELETE FROM jobs WHERE id IN (SELECT j.id FROM (` + source + `) v
		CROSS JOIN jobs j WHERE j.id = v.column1` + fence + `) RETURNING id, seq, hour, line, ` + claimColumns
}

// fenceOneSQL is fenceSQL for one job.
const fenceOneSQL = `DELETE FROM jobs WHERE id = ? AND attempt = ? AND state = 'running' RETURNING id, seq, hour, line, ` + claimColumns

// Done notes the ends of jobs that BeginDone has fenced.
func (c *Core) Done(ctx context.Context, tx Tx, ends map[*hook.Job]*Ending) error {
	all := slices.Collect(maps.Values(ends))
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *Ending) int { return cmp.Compare(a.seq, b.seq) })
	now := c.now(tx)
	next := func(yes bool) {
		for j := range ends {
			j.Next = j.Next || yes
		}
	}
	if err := c.endAll(ctx, tx, all, now, next); err != nil {
		return err
	}
	for j, e := range ends {
		if err := c.askAfterEnd(ctx, tx, j, e.seq, now); err != nil {
			return err
		}
	}
	return nil
}

// endAll tells next whether the ends have made other jobs due.
func (c *Core) endAll(ctx context.Context, tx Tx, all []*Ending, now int64, next func(bool)) error {
	if m, ok := tx.(Many); ok {
		return endMany(ctx, m, all, now, next)
	}
	if err := c.noteAttempts(ctx, tx, all, ended{outcome: "done", at: now, final: true}); err != nil {
		return err
	}
	moved, err := c.leaveLines(ctx, tx, all, now)
	if err != nil {
		return err
	}
	next(moved)
	return c.countDone(ctx, tx, all)
}

// endMany calls the function end_jobs, or end_job for a single one, which also deletes the rows that BeginDone
// has only locked. The locks of lines come after the effects, which may take their
// time, and not before.
func endMany(ctx context.Context, m Many, ends []*Ending, now int64, next func(bool)) error {
	if len(ends) == 1 {
		e := ends[0]
		err := m.Last(ctx, next, `SELECT end_job(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, now, m.Slot(), LockKeys(lockName(e.line, e.seq))[0],
			e.id, e.seq, e.handler, e.generation, e.attempt, e.line, e.hour)
		if err != nil {
			return fmt.Errorf("end a job: %w", err)
		}
		return nil
	}
	const kinds = "iitiiti"
	names := make([]string, len(ends))
	rows := make([]any, 0, len(ends)*len(kinds))
	for i, e := range ends {
		names[i] = lockName(e.line, e.seq)
		rows = append(rows, e.id, e.seq, e.handler, e.generation, e.attempt, e.line, e.hour)
	}
	args := []any{now, m.Slot(), LockKeys(names...)}
	for j := range kinds {
		args = append(args, column(kinds[j], rows[j:], len(kinds)))
	}
	if err := m.Last(ctx, next, `SELECT end_jobs(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, args...); err != nil {
		return fmt.Errorf("end jobs: %w", err)
	}
	return nil
}

// leaveLines lets the next jobs go on and wakes those that wait for a subject; it
// reports whether there were any.
func (c *Core) leaveLines(ctx context.Context, tx Tx, ends []*Ending, now int64) (moved bool, err error) {
	var left []*Ending
	for _, e := range ends {
		if e.line != "" {
			left = append(left, e)
		}
	}
	if len(left) == 1 && !c.Many {
		var followed bool // most lines have nobody else: one look is cheaper than two updates that change nothing
		row := tx.QueryRowContext(ctx, followedSQL, left[0].handler, left[0].line)
		if err := row.Scan(&followed); err != nil || !followed {
			return false, err
		}
	}
	count := func(res sql.Result, err error) error {
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		moved = moved || n > 0
		return err
	}
	err = bulk(c, left, "tt", func(args []any, e *Ending) []any {
		return append(args, e.handler, e.line)
	}, func(_ []*Ending, source string, args []any) error {
		return count(tx.ExecContext(ctx, promoteManySQL(source), args...))
	})
	if err != nil {
		return false, fmt.Errorf("promote the next in line: %w", err)
	}
	err = bulk(c, left, "t", func(args []any, e *Ending) []any {
		return append(args, e.line)
	}, func(_ []*Ending, source string, args []any) error {
		return count(tx.ExecContext(ctx, c.wakeManySQL(source), append(args, now, now)...))
	})
	if err != nil {
		return false, fmt.Errorf("wake the waiting: %w", err)
	}
	return moved, nil
}

const followedSQL = `SELECT
	EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_line WHERE handler = $1 AND line = $2 AND place = 1)
	OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_waiting WHERE line = $2 AND place = 2 AND state = 'waiting')`

// promoteManySQL promotes in lines that a head has left; a line that has one
// keeps it.
func promoteManySQL(source string) string {
	return `UPDATE jobs SET place = 0 WHERE id IN (SELECT (
			SELECT id FROM jobs j INDEXED BY jobs_line
			WHERE j.handler = v.column1 AND j.line = v.column2 AND j.place = 1 ORDER BY j.seq LIMIT 1)
		FROM (` + source + `) v
		WHERE NOT EXISTS (SELECT 1 FROM jobs h INDEXED BY jobs_head
			WHERE h.handler = v.column1 AND h.line = v.column2 AND h.place = 0 AND h.line <> ''))`
}

func (c *Core) wakeManySQL(source string) string {
	return `WITH lines (line) AS (` + source + `)
		UPDATE jobs SET next_at = ? WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_waiting
			WHERE line IN (SELECT line FROM lines) AND place = 2 AND state = 'waiting' AND next_at > ?` + c.skipLocked() + `)`
}

// countDone moves the ledger's counter in the same transaction: the last job of
// an event makes the event done.
func (c *Core) countDone(ctx context.Context, tx Tx, ends []*Ending) error {
	hours := map[int64][]int64{}
	for i, e := range ends {
		if i == 0 || ends[i-1].seq != e.seq { // sorted: an event counts once
			hours[e.hour] = append(hours[e.hour], e.seq)
		}
	}
	for _, hour := range slices.Sorted(maps.Keys(hours)) {
		err := chunks(hours[hour], func(seqs []int64) error { return c.countHour(ctx, tx, hour, seqs) })
		if err != nil {
			return fmt.Errorf("count done events: %w", err)
		}
	}
	return nil
}

func (c *Core) countHour(ctx context.Context, tx Tx, hour int64, seqs []int64) error {
	args := make([]any, 0, len(seqs)+1)
	for _, seq := range seqs {
		args = append(args, seq)
	}
	_, err := tx.ExecContext(ctx, `UPDATE hours SET done = done + (SELECT count(*) FROM (VALUES `+
		values(len(seqs), 1)+`) v WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE seq = v.column1)) WHERE hour = ?`,
		append(args, hour)...)
	return err
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
	now := c.now(tx)
	next := now + b.after.Microseconds()
	failed := 0
	if b.failed {
		failed = 1
	}
	e := &Ending{handler: job.Handler, generation: job.Generation, attempt: job.Attempt}
	if err := c.lockRunning(ctx, tx, job.ID, job.Attempt); err != nil {
		return err
	}
	var hold sql.NullInt64
	row := tx.QueryRowContext(ctx, `UPDATE jobs SET state = $1, next_at = $2, failed = failed + $3, last_error = $4,
			waiting_since = CASE WHEN $1 = 'waiting' THEN coalesce(waiting_since, $5) ELSE waiting_since END,
			hold_until = CASE WHEN line = '' OR $1 = 'waiting' THEN NULL ELSE coalesce(hold_until, $6) END
		WHERE id = $7 AND attempt = $8 AND state = 'running'
		RETURNING seq, line, hold_until, `+claimColumns,
		string(b.state), next, failed, cut(b.cause, MaxErrorBytes), now, holdUntil(job, now), job.ID, job.Attempt)
	err := row.Scan(append([]any{&e.seq, &e.line, &hold}, e.claim.fields()...)...)
	if err == sql.ErrNoRows {
		c.count(c.stale, job.Handler)
		return hook.ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("put a job back: %w", err)
	}
	if err := c.noteAttempts(ctx, tx, []*Ending{e}, ended{outcome: b.outcome, at: now, cause: b.cause, final: true}); err != nil {
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
	if err := c.lockRunning(ctx, tx, job.ID, job.Attempt); err != nil {
		return err
	}
	err := c.bury(ctx, tx, job.ID, job.Attempt, burial{outcome: "dead", cause: cause.Text, failed: 1})
	if err == hook.ErrLeaseLost {
		c.count(c.stale, job.Handler)
	}
	return err
}

func (c *Core) buryLost(ctx context.Context, tx Tx, id int64, attempt int) error {
	return c.bury(ctx, tx, id, attempt, burial{outcome: "lost", cause: "lost: the lease ended without a word from the worker"})
}

// lockRunning locks a running job and then its line, in the order of Finish. A
// job that another attempt owns is left to the statement that comes next.
func (c *Core) lockRunning(ctx context.Context, tx Tx, id int64, attempt int) error {
	if !c.Many {
		return nil
	}
	var line string
	row := tx.QueryRowContext(ctx, `SELECT line FROM jobs WHERE id = $1 AND attempt = $2 AND state = 'running' FOR UPDATE`,
		id, attempt)
	if err := row.Scan(&line); err != nil || line == "" {
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	}
	return lock(ctx, tx, line)
}

type burial struct {
	outcome, cause string
	failed         int // added to the failures of the job
}

func (c *Core) bury(ctx context.Context, tx Tx, id int64, attempt int, b burial) error {
	now := c.now(tx)
	e := &Ending{attempt: attempt}
	row := tx.QueryRowContext(ctx, `UPDATE jobs SET state = 'dead', failed = failed + $1, place = 3, last_error = $2, next_at = $3
		WHERE id = $4 AND attempt = $5 AND state = 'running'
		RETURNING seq, handler, generation, line, `+claimColumns, b.failed, cut(b.cause, MaxErrorBytes), now, id, attempt)
	err := row.Scan(append([]any{&e.seq, &e.handler, &e.generation, &e.line}, e.claim.fields()...)...)
	if err == sql.ErrNoRows {
		return hook.ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("bury a job: %w", err)
	}
	if err := c.noteAttempts(ctx, tx, []*Ending{e}, ended{outcome: b.outcome, at: now, cause: b.cause, final: true}); err != nil {
		return err
	}
	_, err = c.leaveLines(ctx, tx, []*Ending{e}, now)
	return err
}
