package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// byIndex keeps PostgreSQL, for the rest of a transaction, from reading tables whole
// where its statistics are old: each statement of retention asks for few rows.
func (c *Core) byIndex(ctx context.Context, tx Tx) error {
	if !c.Many {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
		set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`)
	return err
}

// lockEvents takes the locks of all lines that some events stand in, in the order
// that everybody keeps; a single writer has them all.
func (c *Core) lockEvents(ctx context.Context, tx Tx, seqs []int64) error {
	if !c.Many {
		return nil
	}
	var names []string
	err := parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		var seq int64
		var source, mode, subject string
		return eachRow(ctx, tx, `SELECT k.seq, k.source, k.mode, e.subject FROM `+c.joined(byNumber)+` WHERE k.seq `+in, args,
			[]any{&seq, &source, &mode, &subject}, func() bool {
				names = append(names, lockName(lineOf(source, mode, subject), seq))
				return true
			})
	})
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return lock(ctx, tx, names...)
}

// forgetKept takes events out of those that are kept back in a class.
func (c *Core) forgetKept(ctx context.Context, tx Tx, class string, seqs []int64) error {
	if some, err := c.keptBack(ctx, tx); err != nil || !some {
		return err
	}
	if err := c.each(ctx, tx, seqs, `DELETE FROM kept_back WHERE class = '`+class+`' AND seq`); err != nil {
		return fmt.Errorf("forget what was kept back: %w", err)
	}
	return nil
}

// removeBodies removes bodies, other bytes under the same keys, and what a search
// knows of them.
func (c *Core) removeBodies(ctx context.Context, tx Tx, seqs []int64) error {
	for _, table := range []string{"bodies", "conflicts"} {
		if err := c.each(ctx, tx, seqs, `DELETE FROM `+table+` WHERE seq`); err != nil {
			return fmt.Errorf("remove %s: %w", table, err)
		}
	}
	return c.Unindex(ctx, tx, seqs)
}

// removeAttempts keeps the end of each handler's newest job: by it an operator sees
// what was done, and a replay finds the generation that it follows.
func (c *Core) removeAttempts(ctx context.Context, tx Tx, seqs []int64) error {
	err := parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		_, err := tx.ExecContext(ctx, `INSERT INTO ended_jobs (seq, handler, generation, attempt, ended_at)
			SELECT a.seq, a.handler, a.generation, a.attempt, coalesce(a.ended_at, a.started_at) FROM attempts a
			WHERE a.seq `+in+` AND a.outcome = 'done'
				AND a.generation = (SELECT max(b.generation) FROM attempts b WHERE b.seq = a.seq AND b.handler = a.handler)
			ON CONFLICT (seq, handler) DO UPDATE SET generation = excluded.generation, attempt = excluded.attempt,
				ended_at = excluded.ended_at`, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the ends of jobs: %w", err)
	}
	if err := c.each(ctx, tx, seqs, `DELETE FROM attempts WHERE seq`); err != nil {
		return fmt.Errorf("remove attempts: %w", err)
	}
	return nil
}

// removeKeys removes everything of some events. Those that are done leave the count
// of their hour, so that the ledger stays in balance; of the others a job that was
// laid aside goes with its event.
func (c *Core) removeKeys(ctx context.Context, tx Tx, seqs []int64) error {
	done, err := c.which(ctx, tx, seqs, `k.jobs_total > 0 AND (SELECT j.id FROM jobs j WHERE j.seq = k.seq LIMIT 1) IS NULL`, 0)
	if err != nil {
		return err
	}
	for _, seq := range done {
		if err := c.uncountHour(ctx, tx, seq); err != nil {
			return fmt.Errorf("take an event out of its hour: %w", err)
		}
	}
	for _, table := range []string{"bodies", "conflicts", "jobs", "attempts", "ended_jobs", "kept_back", "erasure_events", "events", "event_keys"} {
		if err := c.each(ctx, tx, seqs, `DELETE FROM `+table+` WHERE seq`); err != nil {
			return fmt.Errorf("remove events from %s: %w", table, err)
		}
	}
	return c.Unindex(ctx, tx, seqs)
}

// uncountHour takes a done event out of the count of its hour.
func (c *Core) uncountHour(ctx context.Context, tx Tx, seq int64) error {
	if m, ok := tx.(Many); ok {
		_, err := tx.ExecContext(ctx, `INSERT INTO hours (hour, slot, done) SELECT `+c.hourOfSeq()+`, $2, -1
			ON CONFLICT (hour, slot) DO UPDATE SET done = hours.done - 1`, seq, m.Slot())
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE hours SET done = done - 1 WHERE hour = `+c.hourOfSeq(), seq)
	return err
}

// endedJobs fills in done jobs whose attempts are no longer kept.
func (c *Core) endedJobs(ctx context.Context, tx Tx, seqs []int64, bySeq map[int64]*hook.EventInfo) error {
	in, args := c.in(seqs)
	var seq int64
	var j hook.JobInfo
	var ended sql.NullInt64
	err := eachRow(ctx, tx, `SELECT d.seq, d.handler, d.generation, d.attempt, d.ended_at,
			coalesce((SELECT max_attempts FROM routes WHERE name = d.handler), 0)
		FROM ended_jobs d WHERE d.seq `+in+` ORDER BY d.seq, d.handler`, args,
		[]any{&seq, &j.Handler, &j.Generation, &j.Attempt, &ended, &j.MaxAttempts}, func() bool {
			e := bySeq[seq]
			for _, known := range e.Jobs {
				if known.Handler == j.Handler {
					return true // worked again since
				}
			}
			j.State, j.FinishedAt = hook.StateDone, timePtr(ended)
			e.Jobs = append(e.Jobs, j)
			return true
		})
	if err != nil {
		return fmt.Errorf("list jobs that ended long ago: %w", err)
	}
	return nil
}

// PruneRejections removes notes on refused deliveries that are older than the rules
// of their source say; what a hold on the whole source covers stays as long as the
// ring has room.
func (c *Core) PruneRejections(ctx context.Context, tx Tx, rules hook.SweepRules) (n int, more bool, err error) {
	old, err := c.oldNotes(ctx, tx, rules, sweepStep)
	if err == nil {
		err = c.each(ctx, tx, old, `DELETE FROM rejections WHERE id`)
	}
	if err != nil {
		return 0, false, fmt.Errorf("remove old notes on rejections: %w", err)
	}
	return len(old), len(old) >= sweepStep, nil
}

// oldNotes gives notes that may go, at most limit of each source.
func (c *Core) oldNotes(ctx context.Context, tx Tx, rules hook.SweepRules, limit int) (old []int64, err error) {
	var name string
	var sources []string
	if err := eachRow(ctx, tx, noteSourcesSQL, nil, []any{&name}, func() bool { sources = append(sources, name); return true }); err != nil {
		return nil, fmt.Errorf("list sources that refused: %w", err)
	}
	for _, source := range sources {
		keep := rules.Keep.Of(source).Rejections
		if keep <= 0 {
			continue
		}
		before := c.now(tx) - keep.Microseconds()
		var id, at int64
		err := eachRow(ctx, tx, oldNotesSQL, []any{source, limit}, []any{&id, &at}, func() bool {
			if at < before {
				old = append(old, id)
			}
			return at < before
		})
		if err != nil {
			return nil, fmt.Errorf("look for old notes on rejections: %w", err)
		}
	}
	return old, nil
}

// The statements by which notes on refused deliveries go; plan_test looks at them.
const (
	noteSourcesSQL = `WITH RECURSIVE s(name) AS (SELECT min(source) FROM rejections
			UNION ALL SELECT (SELECT min(source) FROM rejections WHERE source > s.name) FROM s WHERE s.name IS NOT NULL)
		SELECT name FROM s WHERE name IS NOT NULL`
	oldNotesSQL = `SELECT r.id, r.at FROM rejections r INDEXED BY rejections_source
		WHERE r.source = $1 AND (SELECT h.id FROM legal_holds h WHERE h.released_at IS NULL AND h.source = r.source
			AND h.seq IS NULL AND h.subject = '' AND r.at >= h.since AND r.at < h.until LIMIT 1) IS NULL
		ORDER BY r.id LIMIT $2`
)
