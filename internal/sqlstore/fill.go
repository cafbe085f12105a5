package sqlstore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// A receiver learns of a new route within five seconds, and a delivery that it had
// taken before waits for its transaction no longer than another five. After
// fillAfter all of them can be seen; those within fillWindow may lack a job.
const (
	fillWindow = 15 * time.Second
	fillAfter  = 20 * time.Second
)

// FillJobs queues the jobs that receivers have left out because they did not know
// a new route yet; more says whether to call it again. The look moves on in the
// transaction that queues: nothing is passed by, and nothing queued twice.
func (c *Core) FillJobs(ctx context.Context, tx Tx) (n int, more bool, err error) {
	now := c.now(tx)
	var r keptRoute
	routes, err := c.keptRoutes(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	for _, kept := range routes {
		if kept.filled != math.MaxInt64 && kept.since+fillAfter.Microseconds() <= now {
			r = kept
			break
		}
	}
	if r.Name == "" {
		return 0, false, nil
	}
	if err := lock(ctx, tx, "fill/"+r.Name); err != nil {
		return 0, false, err
	}
	page, err := c.fillPage(ctx, tx, &r)
	if err != nil {
		return 0, false, err
	}
	next, over := int64(math.MaxInt64), len(page) < sweepStep
	for _, e := range page {
		if e.received > r.since+2*fillWindow.Microseconds() {
			over = true
			break
		}
		if e.has || e.quarantine != "" || !r.Wants(e.source, e.kind, e.trust) {
			continue
		}
		added, err := c.fillJob(ctx, tx, &r.Route, e.seq)
		if err != nil {
			return 0, false, fmt.Errorf("queue what route %s lacks: %w", r.Name, err)
		}
		n += added
	}
	if !over {
		next = page[len(page)-1].seq
	}
	_, err = tx.ExecContext(ctx, `UPDATE routes SET filled_seq = $1 WHERE name = $2 AND filled_seq = $3`, next, r.Name, r.filled)
	return n, true, err
}

// looked is an event that may lack a job of a new route.
type looked struct {
	seq, received            int64
	source, kind, quarantine string
	trust                    hook.Trust
	has                      bool // a job, or had one
}

// fillSQL looks at the next events, one after the other, and at their jobs by the
// index: nearly all of them have one.
const fillSQL = `SELECT k.seq, k.received_at, k.source, e.type, k.quarantine, k.trust,
		(SELECT j.id FROM jobs j WHERE j.seq = k.seq AND j.handler = $1 LIMIT 1) IS NOT NULL
		OR (SELECT a.seq FROM attempts a WHERE a.seq = k.seq AND a.handler = $1 LIMIT 1) IS NOT NULL
		OR (SELECT d.seq FROM ended_jobs d WHERE d.seq = k.seq AND d.handler = $1 LIMIT 1) IS NOT NULL
	FROM (SELECT seq, received_at, source, quarantine, trust FROM event_keys WHERE seq > $2 ORDER BY seq LIMIT $3) k
	JOIN events e ON e.seq = k.seq ORDER BY k.seq`

func (c *Core) fillPage(ctx context.Context, tx Tx, r *keptRoute) ([]looked, error) {
	rows, err := tx.QueryContext(ctx, fillSQL, r.Name, r.filled, sweepStep)
	if err != nil {
		return nil, fmt.Errorf("look for events without a job of route %s: %w", r.Name, err)
	}
	defer rows.Close()
	var page []looked
	for rows.Next() {
		var e looked
		if err := rows.Scan(&e.seq, &e.received, &e.source, &e.kind, &e.quarantine, (*string)(&e.trust), &e.has); err != nil {
			return nil, fmt.Errorf("look for events without a job of route %s: %w", r.Name, err)
		}
		page = append(page, e)
	}
	return page, rows.Err()
}

// fillJob queues a job of the route, unless somebody has done so since the look.
func (c *Core) fillJob(ctx context.Context, tx Tx, r *hook.Route, seq int64) (added int, err error) {
	if err := c.lockEvent(ctx, tx, seq); err != nil {
		return 0, err
	}
	was, err := c.newestJob(ctx, tx, seq, r.Name)
	if err != nil || was.generation > 0 {
		return 0, err
	}
	_, err = c.addJob(ctx, tx, newJob{seq: seq, handler: r.Name, nextAt: c.now(tx),
		actor: "hookkeeper", action: "fill", reason: "recorded by a node that did not know the route yet"})
	return 1, err
}

// MendLines promotes in lines that have jobs and no head. There are none unless
// something is wrong: it is the second net.
func (c *Core) MendLines(ctx context.Context, tx Tx) (n int, more bool, err error) {
	if !c.Many {
		return 0, false, nil
	}
	lost, err := c.headless(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	for _, l := range lost {
		if mine, err := tryLock(ctx, tx, l.line); err != nil || !mine {
			if err != nil {
				return n, false, err
			}
			continue
		}
		err := bulk(c, []wantedLine{l}, "tt", func(args []any, l wantedLine) []any {
			return append(args, l.handler, l.line)
		}, func(_ []wantedLine, source string, args []any) error {
			res, err := tx.ExecContext(ctx, promoteManySQL(source), args...)
			if err != nil {
				return err
			}
			promoted, err := res.RowsAffected()
			n += int(promoted)
			return err
		})
		if err != nil {
			return n, false, fmt.Errorf("mend a line: %w", err)
		}
	}
	return n, false, nil
}

func (c *Core) headless(ctx context.Context, tx Tx) ([]wantedLine, error) {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT j.handler, j.line FROM jobs j WHERE j.place = 1
		AND NOT EXISTS (SELECT 1 FROM jobs h WHERE h.handler = j.handler AND h.line = j.line AND h.place = 0 AND h.line <> '')
		LIMIT $1`, sweepStep)
	if err != nil {
		return nil, fmt.Errorf("look for lines without a head: %w", err)
	}
	defer rows.Close()
	var lost []wantedLine
	for rows.Next() {
		var l wantedLine
		if err := rows.Scan(&l.handler, &l.line); err != nil {
			return nil, fmt.Errorf("look for lines without a head: %w", err)
		}
		lost = append(lost, l)
	}
	return lost, rows.Err()
}
