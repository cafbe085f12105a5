package sqlstore

import (
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// The places of a job; 3 is that of dead and discarded ones. DESIGN.md has the
// picture.
const (
	placeHead  = 0 // may be claimed when due; at most one per handler and line
	placeLine  = 1 // behind a head
	placeAside = 2 // waiting, or retried for longer than it may hold its line
)

type wantedLine struct{ handler, line string }

// occupied returns which of the wanted lines have a head.
func (c *Core) occupied(ctx context.Context, tx Tx, wanted []wantedLine) (map[wantedLine]bool, error) {
	heads := map[wantedLine]bool{}
	err := bulk(c, wanted, "tt", func(args []any, w wantedLine) []any {
		return append(args, w.handler, w.line)
	}, func(_ []wantedLine, source string, args []any) error {
		rows, err := tx.QueryContext(ctx, occupiedSQL(source), args...)
		if err != nil {
			return fmt.Errorf("look for heads: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var w wantedLine
			if err := rows.Scan(&w.handler, &w.line); err != nil {
				return fmt.Errorf("look for heads: %w", err)
			}
			heads[w] = true
		}
		return rows.Err()
	})
	return heads, err
}

func occupiedSQL(source string) string {
	return `WITH want (handler, line) AS (` + source + `)
		SELECT j.handler, j.line FROM want
		CROSS JOIN jobs j INDEXED BY jobs_head
		WHERE j.handler = want.handler AND j.line = want.line AND j.place = 0 AND j.line <> ''`
}

// enter finds the place of a job that (again) wants to be worked: head if its
// line has none; also before a head that is later than it and not yet running.
func (c *Core) enter(ctx context.Context, tx Tx, handler, line string, seq int64) (place int, err error) {
	if line == "" {
		return placeHead, nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, seq, state FROM jobs
		WHERE handler = $1 AND line = $2 AND place = 0 AND line <> ''`, handler, line)
	if err != nil {
		return 0, fmt.Errorf("find the head of a line: %w", err)
	}
	var headID, headSeq int64
	var state string
	found := rows.Next()
	if found {
		err = rows.Scan(&headID, &headSeq, &state)
	}
	rows.Close()
	switch {
	case err != nil:
		return 0, fmt.Errorf("find the head of a line: %w", err)
	case !found:
		return placeHead, nil
	case state == "running" || headSeq < seq:
		return placeLine, nil
	}
	gave, err := c.giveWay(ctx, tx, headID)
	if err != nil {
		return 0, fmt.Errorf("give way in a line: %w", err)
	}
	if !gave {
		return placeLine, nil
	}
	return placeHead, nil
}

// giveWay puts a head that does not run back into its line. With several writers it may
// be in the hands of a claim: then it runs.
func (c *Core) giveWay(ctx context.Context, tx Tx, head int64) (gave bool, err error) {
	if c.Many {
		err = tx.QueryRowContext(ctx, `SELECT give_way($1)`, head).Scan(&gave)
		return gave, err
	}
	res, err := tx.ExecContext(ctx, `UPDATE jobs SET place = 1 WHERE id = $1 AND place = 0 AND state <> 'running'`, head)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// promote makes the earliest job in line the head. Call it when a head has left.
func (c *Core) promote(ctx context.Context, tx Tx, handler, line string) error {
	if line == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, promoteSQL, handler, line)
	if err != nil {
		return fmt.Errorf("promote the next in line: %w", err)
	}
	return nil
}

const promoteSQL = `UPDATE jobs SET place = 0 WHERE id = (
	SELECT id FROM jobs INDEXED BY jobs_line
	WHERE handler = $1 AND line = $2 AND place = 1 ORDER BY seq LIMIT 1)`

// stepUp brings jobs that stood aside and are due back into their lines.
func (c *Core) stepUp(ctx context.Context, tx Tx, now int64) error {
	due, err := c.lineJobs(ctx, tx, asideSQL, now)
	if err != nil {
		return err
	}
	for _, j := range due {
		if mine, err := c.hold(ctx, tx, j, ` AND place = 2 AND next_at <= $2`, now); err != nil {
			return err
		} else if !mine {
			continue // the next claim finds it again
		}
		place, err := c.enter(ctx, tx, j.handler, j.line, j.seq)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET place = $1 WHERE id = $2`, place, j.id); err != nil {
			return fmt.Errorf("step up: %w", err)
		}
	}
	return nil
}

const asideSQL = `SELECT id, handler, line, seq FROM jobs INDEXED BY jobs_aside
	WHERE place = 2 AND next_at <= $1 ORDER BY next_at LIMIT 256`

// stepAside moves retried heads that have held their line for long enough, so
// that later events of the subject go on.
func (c *Core) stepAside(ctx context.Context, tx Tx, now int64) error {
	held, err := c.lineJobs(ctx, tx, holdSQL, now)
	if err != nil {
		return err
	}
	for _, j := range held {
		if mine, err := c.hold(ctx, tx, j, ` AND place = 0 AND state = 'retrying' AND next_at > $2`, now); err != nil {
			return err
		} else if !mine {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET place = 2 WHERE id = $1`, j.id); err != nil {
			return fmt.Errorf("step aside: %w", err)
		}
		if err := c.promote(ctx, tx, j.handler, j.line); err != nil {
			return err
		}
	}
	return nil
}

// A head that is due anyway is left to the claim.
const holdSQL = `SELECT id, handler, line, seq FROM jobs INDEXED BY jobs_hold
	WHERE place = 0 AND hold_until IS NOT NULL AND hold_until <= $1 AND state = 'retrying' AND next_at > $1
	ORDER BY hold_until LIMIT 256`

// hold makes sure that nobody else moves a job between looking and moving it. A
// single writer has nobody beside it.
func (c *Core) hold(ctx context.Context, tx Tx, j lineJob, still string, now int64) (mine bool, err error) {
	if !c.Many {
		return true, nil
	}
	if mine, err = tryLock(ctx, tx, j.line); err != nil || !mine {
		return false, err
	}
	ids, err := c.ids(ctx, tx, `SELECT id FROM jobs WHERE id = $1`+still+c.skipLocked(), j.id, now)
	return len(ids) > 0, err
}

type lineJob struct {
	id            int64
	handler, line string
	seq           int64
}

func (c *Core) lineJobs(ctx context.Context, tx Tx, query string, now int64) ([]lineJob, error) {
	rows, err := tx.QueryContext(ctx, query, now)
	if err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	defer rows.Close()
	var jobs []lineJob
	for rows.Next() {
		var j lineJob
		if err := rows.Scan(&j.id, &j.handler, &j.line, &j.seq); err != nil {
			return nil, fmt.Errorf("read lines: %w", err)
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// queued is a job on its way into the queue.
type queued struct {
	g     *group
	want  wantedLine
	place int
}

// insertJobs queues one job per handler for each fresh event, and lends those that
// are asked for and first of their line.
func (c *Core) insertJobs(ctx context.Context, tx Tx, fresh []*group, now int64) error {
	var jobs []*queued
	var wanted []wantedLine
	for _, g := range fresh {
		for _, h := range g.handlers {
			q := &queued{g: g, want: wantedLine{h, g.first.line}}
			jobs = append(jobs, q)
			if q.want.line != "" {
				wanted = append(wanted, q.want)
			}
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	heads, err := c.occupied(ctx, tx, wanted)
	if err != nil {
		return err
	}
	var ready, lent []*queued
	for _, q := range jobs {
		if q.want.line != "" {
			if heads[q.want] {
				q.place = placeLine
			}
			heads[q.want] = true
		}
		if q.place == placeHead && q.g.first.lends(q.want.handler) {
			lent = append(lent, q)
		} else {
			ready = append(ready, q)
		}
	}
	if err := c.insertReady(ctx, tx, ready, now); err != nil {
		return err
	}
	return c.insertLent(ctx, tx, lent, now)
}

func (c *Core) insertReady(ctx context.Context, tx Tx, jobs []*queued, now int64) error {
	if len(jobs) == 0 {
		return nil
	}
	no, err := c.draw(ctx, tx, len(jobs))
	if err != nil {
		return err
	}
	hour := c.hour(now)
	id := c.jobID()
	err = bulk(c, jobs, id.kind+"ititiiiiit", func(args []any, q *queued) []any {
		made := no.take()
		return append(id.append(args, made), q.g.seq, q.want.handler, 1, q.want.line, q.place, made, now, hour, now, "ready")
	}, func(_ []*queued, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO jobs (`+id.column+`seq, handler, generation, line, place, made_no, made_at, hour,
			next_at, state) `+source, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

// jobID is how a new job gets its id. (id, attempt) must stand for one attempt for
// ever, also for one that says something long after its job has ended. SQLite would
// give the id of a row that is gone again; there the job's number in the history,
// which never comes again, is the id as well. PostgreSQL's sequence never goes back.
type jobID struct{ column, kind string }

func (c *Core) jobID() jobID {
	if c.Many {
		return jobID{}
	}
	return jobID{"id, ", "i"}
}

// append adds the id of a job with this number.
func (id jobID) append(args []any, made int64) []any {
	if id.kind == "" {
		return args
	}
	return append(args, made)
}

// value is the id where the parameter is the job's number.
func (id jobID) value(parameter string) string {
	if id.kind == "" {
		return ""
	}
	return parameter + ", "
}

// hour is the hour of an event recorded now. With one writer, which draws the
// numbers in order, hours never run backwards either, whatever the clock does.
func (c *Core) hour(now int64) int64 {
	if c.Many {
		return hourOf(now)
	}
	return max(hourOf(now), c.lastHour)
}

// waitingBlocks is a known mistake for the tests: a waiting job keeps its line.
func waitingBlocks() bool { return fault.Mutant("waiting_blocks") }
