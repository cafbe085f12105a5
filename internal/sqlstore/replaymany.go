package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// queueAll does for many events what Replay does for one, with each statement once
// for all of them, and says how many jobs it queued and how many candidates it left
// out. If we die before the commit nothing of it happened.
func (c *Core) queueAll(ctx context.Context, tx Tx, list []candidate, actor, reason string) (queued, left int, err error) {
	events, err := c.candidateEvents(ctx, tx, list)
	if err != nil {
		return 0, 0, err
	}
	kept, err := c.lockKept(ctx, tx, events)
	if err != nil {
		return 0, 0, err
	}
	var jobs []*queuedJob
	asked := map[wantedJob]bool{}
	of := map[*candidate][]*queuedJob{}
	for i := range list {
		found := &list[i]
		e := events[found.seq]
		if e == nil || !kept[found.seq] {
			continue
		}
		handlers, err := c.targets(e, found.handlers)
		if err != nil && !errors.Is(err, hook.ErrRefused) {
			return 0, 0, err
		}
		for _, h := range handlers {
			if w := (wantedJob{found.seq, h}); !asked[w] {
				asked[w] = true
				j := &queuedJob{wanted: w, line: lineOf(e.Source, e.Mode, e.Subject), hour: hourOf(e.RecordedAt.UnixMicro())}
				jobs, of[found] = append(jobs, j), append(of[found], j)
			}
		}
	}
	if err := c.newestJobs(ctx, tx, jobs); err != nil {
		return 0, 0, err
	}
	for i := range list {
		added := 0
		for _, j := range of[&list[i]] {
			if !j.was.open() {
				added++
			}
		}
		if queued += added; added == 0 {
			left++
		}
	}
	jobs = slices.DeleteFunc(jobs, func(j *queuedJob) bool { return j.was.open() })
	return queued, left, c.queueJobs(ctx, tx, jobs, actor, reason)
}

// wantedJob is one handler's work on one event.
type wantedJob struct {
	seq     int64
	handler string
}

// queuedJob is the next generation of it.
type queuedJob struct {
	wanted wantedJob
	was    newest
	line   string
	hour   int64
	place  int
}

// candidateEvents reads the events of all candidates that there are, one by one: of
// the bodies, which may be large, only whether they can be read is kept.
func (c *Core) candidateEvents(ctx context.Context, tx Tx, list []candidate) (map[int64]*hook.Event, error) {
	seqs := make([]int64, len(list))
	for i, found := range list {
		seqs[i] = found.seq
	}
	rows, err := tx.QueryContext(ctx, eventSQL+`= ANY($1::bigint[])`, seqs)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	events := map[int64]*hook.Event{}
	for rows.Next() {
		e := &hook.Event{}
		seq, err := c.scanEvent(rows, e)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if e.Header = nil; e.Body != nil {
			e.Body = []byte{}
		}
		events[seq] = e
	}
	return events, rows.Err()
}

// lockKept takes the locks of all events at once, in the order that everybody keeps,
// and says which of them may be replayed: while a lock was waited for a body may have
// been removed.
func (c *Core) lockKept(ctx context.Context, tx Tx, events map[int64]*hook.Event) (kept map[int64]bool, err error) {
	var seqs []int64
	var names []string
	for seq, e := range events {
		seqs, names = append(seqs, seq), append(names, lockName(lineOf(e.Source, e.Mode, e.Subject), seq))
	}
	if err := lock(ctx, tx, names...); err != nil {
		return nil, err
	}
	kept = map[int64]bool{}
	var seq int64
	err = eachRow(ctx, tx, `SELECT k.seq FROM event_keys k JOIN bodies b ON b.seq = k.seq
		WHERE k.seq = ANY($1::bigint[]) AND b.seq = ANY($1::bigint[]) AND k.erased_at IS NULL`, []any{seqs}, []any{&seq}, func() bool {
		kept[seq] = true
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read which bodies are kept: %w", err)
	}
	return kept, nil
}

// newestJobsSQL finds the newest generation of each handler's work: in jobs, else
// among the attempts, else what is kept when they are gone; see newestJob.
const newestJobsSQL = `SELECT u.n, coalesce(j.id, 0),
		coalesce(j.state, CASE WHEN coalesce(a.generation, d.generation) IS NULL THEN '' ELSE 'done' END),
		coalesce(j.generation, a.generation, d.generation, 0), coalesce(j.attempt, a.attempt, d.attempt, 0), coalesce(j.next_at, 0)
	FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS u (seq, handler, n)
	LEFT JOIN LATERAL (SELECT * FROM jobs WHERE seq = u.seq AND handler = u.handler ORDER BY generation DESC LIMIT 1) j ON true
	LEFT JOIN LATERAL (SELECT generation, attempt FROM attempts WHERE seq = u.seq AND handler = u.handler
		ORDER BY generation DESC, attempt DESC LIMIT 1) a ON true
	LEFT JOIN ended_jobs d ON d.seq = u.seq AND d.handler = u.handler`

func (c *Core) newestJobs(ctx context.Context, tx Tx, jobs []*queuedJob) error {
	if len(jobs) == 0 {
		return nil
	}
	seqs, handlers := make([]int64, len(jobs)), make([]string, len(jobs))
	for i, j := range jobs {
		seqs[i], handlers[i] = j.wanted.seq, j.wanted.handler
	}
	var n int
	var was newest
	err := eachRow(ctx, tx, newestJobsSQL, []any{seqs, handlers},
		[]any{&n, &was.id, (*string)(&was.state), &was.generation, &was.attempt, &was.nextAt}, func() bool {
			jobs[n-1].was = was
			return true
		})
	if err != nil {
		return fmt.Errorf("find jobs: %w", err)
	}
	return nil
}

// queueJobs queues the next generations and notes who ordered them; see addJob.
func (c *Core) queueJobs(ctx context.Context, tx Tx, jobs []*queuedJob, actor, reason string) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := c.reopenAll(ctx, tx, jobs); err != nil {
		return err
	}
	if err := c.enterAll(ctx, tx, jobs); err != nil {
		return err
	}
	no, err := c.draw(ctx, tx, 2*len(jobs))
	if err != nil {
		return err
	}
	now := c.now(tx)
	reason = cut(reason, MaxErrorBytes)
	err = bulk(c, jobs, "iittititit", func(args []any, j *queuedJob) []any {
		return append(args, no.take(), now, actor, "replay", j.wanted.seq, j.wanted.handler, j.was.generation, string(j.was.state),
			j.was.attempt, reason)
	}, func(_ []*queuedJob, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO audit (no, at, actor, action, seq, handler, generation, was, attempt, reason) `+source, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	err = bulk(c, jobs, "itititiiiii", func(args []any, j *queuedJob) []any {
		return append(args, j.wanted.seq, j.wanted.handler, j.was.generation+1, j.line, j.place, "ready", 1, no.take(), now, j.hour, now)
	}, func(_ []*queuedJob, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO jobs (seq, handler, generation, line, place, state, backlog, made_no, made_at, hour, next_at) `+
			source, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("queue generations: %w", err)
	}
	return nil
}

// Done means: it had jobs, and none of them is left.
const uncountAllSQL = `INSERT INTO hours (hour, slot, done)
	SELECT k.received_at / 3600000000, $2, -count(*) FROM event_keys k
	WHERE k.seq = ANY($1::bigint[]) AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.seq = k.seq)
		AND (EXISTS (SELECT 1 FROM attempts a WHERE a.seq = k.seq) OR EXISTS (SELECT 1 FROM ended_jobs d WHERE d.seq = k.seq))
	GROUP BY 1 ORDER BY 1
	ON CONFLICT (hour, slot) DO UPDATE SET done = hours.done + excluded.done`

// countJobsSQL locks the keys in the order in which reception does.
const countJobsSQL = `WITH locked AS MATERIALIZED (SELECT seq FROM event_keys WHERE seq = ANY($1::bigint[]) ORDER BY source, mode, key FOR UPDATE)
	UPDATE event_keys k SET jobs_total = k.jobs_total + u.n
	FROM (SELECT l.seq, (SELECT count(*) FROM unnest($1::bigint[]) AS x (seq) WHERE x.seq = l.seq) AS n FROM locked l) u WHERE k.seq = u.seq`

// reopenAll takes the rows of old generations away and the events out of the count of
// done ones, and counts handlers that had no job yet; see reopen.
func (c *Core) reopenAll(ctx context.Context, tx Tx, jobs []*queuedJob) error {
	var seqs, fresh, old []int64
	for _, j := range jobs {
		seqs = append(seqs, j.wanted.seq)
		if j.was.generation == 0 {
			fresh = append(fresh, j.wanted.seq)
		}
		if j.was.id != 0 {
			old = append(old, j.was.id)
		}
	}
	if len(fresh) > 0 {
		if _, err := tx.ExecContext(ctx, countJobsSQL, fresh); err != nil {
			return fmt.Errorf("count jobs: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, uncountAllSQL, seqs, tx.(Many).Slot()); err != nil {
		return fmt.Errorf("reopen events: %w", err)
	}
	if len(old) > 0 {
		if _, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE id = ANY($1::bigint[])`, old); err != nil {
			return fmt.Errorf("replace generations: %w", err)
		}
	}
	return nil
}

// headOf is the head of a line before jobs enter it.
type headOf struct{ id, seq int64 }

// enterAll finds the places of jobs that enter their lines together; see enter. Of
// those of one line the earliest is the head, if there is none that runs or is
// earlier still.
func (c *Core) enterAll(ctx context.Context, tx Tx, jobs []*queuedJob) error {
	first := map[wantedLine]*queuedJob{}
	for _, j := range jobs {
		if j.line == "" {
			j.place = placeHead
			continue
		}
		j.place = placeLine
		w := wantedLine{j.wanted.handler, j.line}
		if first[w] == nil || j.wanted.seq < first[w].wanted.seq {
			first[w] = j
		}
	}
	heads, err := c.heads(ctx, tx, first)
	if err != nil {
		return err
	}
	var before []int64 // heads that are later
	for w, j := range first {
		if h, ok := heads[w]; ok && h.seq > j.wanted.seq {
			before = append(before, h.id)
		}
	}
	gone := map[int64]bool{}
	if len(before) > 0 {
		// One that runs, or is in the hands of a claim, stays.
		ids, err := c.ids(ctx, tx, `UPDATE jobs SET place = 1 WHERE id IN (
			SELECT id FROM jobs WHERE id = ANY($1::bigint[]) AND place = 0 AND state <> 'running' FOR UPDATE SKIP LOCKED) RETURNING id`, before)
		if err != nil {
			return fmt.Errorf("give way in lines: %w", err)
		}
		for _, id := range ids {
			gone[id] = true
		}
	}
	for w, j := range first {
		if h, ok := heads[w]; !ok || gone[h.id] {
			j.place = placeHead
		}
	}
	return nil
}

func (c *Core) heads(ctx context.Context, tx Tx, of map[wantedLine]*queuedJob) (map[wantedLine]headOf, error) {
	if len(of) == 0 {
		return nil, nil
	}
	var handlers, lines []string
	for w := range of {
		handlers, lines = append(handlers, w.handler), append(lines, w.line)
	}
	heads := map[wantedLine]headOf{}
	var w wantedLine
	var h headOf
	err := eachRow(ctx, tx, `SELECT j.handler, j.line, j.id, j.seq
		FROM unnest($1::text[], $2::text[]) AS u (handler, line)
		CROSS JOIN LATERAL (SELECT * FROM jobs WHERE handler = u.handler AND line = u.line AND place = 0 AND line <> '' LIMIT 1) j`,
		[]any{handlers, lines}, []any{&w.handler, &w.line, &h.id, &h.seq}, func() bool {
			heads[w] = h
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("find the heads of lines: %w", err)
	}
	return heads, nil
}
