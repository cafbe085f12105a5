package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// A job can be lent by the transaction that records it: it is written as one that
// runs, under its first attempt, as if a claim had come right behind the commit. It
// saves the claim and reading back what this process has in its hands. If the
// process dies after the commit the lease lapses, as after any claim; if it dies
// before, there is neither event nor job.

// Lend notes what of the entry's jobs would be taken at once.
func (e *Entry) Lend(loan hook.Loan) { e.loan = loan }

// lends says whether the handler's job of the entry goes out at once, if it is the
// first of its line.
func (e *Entry) lends(handler string) bool { return slices.Contains(e.loan.Handlers, handler) }

// until is the end of the loan's lease, in microseconds.
func (e *Entry) until(now int64) int64 { return now + e.loan.Lease.Microseconds() }

// lent adds a job of the entry that has been written as running. The event is what
// a claim would read.
func (c *Core) lent(g *group, id int64, handler string, now int64) {
	e := g.first
	var event *hook.Event
	if len(e.Lent) > 0 {
		event = e.Lent[0].Event
	} else {
		event = c.eventOf(g, now)
	}
	e.Lent = append(e.Lent, &hook.Job{ID: id, Event: event, Handler: handler, Generation: 1, Attempt: 1,
		FirstAt: fromMicros(now), LeaseUntil: fromMicros(e.until(now))})
}

// eventOf is a fresh event as scanEvent would read it.
func (c *Core) eventOf(g *group, now int64) *hook.Event {
	e := g.first
	var occurred time.Time
	if !e.Identity.OccurredAt.IsZero() {
		occurred = fromMicros(e.Identity.OccurredAt.UnixMicro())
	}
	return &hook.Event{ID: c.eventID(g.seq), Source: e.Delivery.Source, Mode: e.Identity.Mode, Trust: e.Identity.Trust,
		Key: e.Identity.Key, Type: e.Identity.Type, Subject: e.Identity.Subject, OccurredAt: occurred,
		Header: decodeHeader(e.header), Body: e.Delivery.Body, RecordedAt: fromMicros(now)}
}

// insertLent writes jobs that are lent at once. The number of a claim follows that
// of its job.
func (c *Core) insertLent(ctx context.Context, tx Tx, jobs []*queued, now int64) error {
	if len(jobs) == 0 {
		return nil
	}
	no, err := c.draw(ctx, tx, 2*len(jobs))
	if err != nil {
		return err
	}
	type place struct {
		seq     int64
		handler string
	}
	index := make(map[place]*queued, len(jobs))
	hour := c.hour(now)
	to := c.jobID()
	err = bulk(c, jobs, to.kind+"ititiiiiitiiiit", func(args []any, q *queued) []any {
		index[place{q.g.seq, q.want.handler}] = q
		made := no.take()
		return append(to.append(args, made), q.g.seq, q.want.handler, 1, q.want.line, placeHead, made, now, hour, now, string(hook.StateRunning),
			1, no.take(), now, q.g.first.until(now), q.g.first.loan.Node)
	}, func(_ []*queued, source string, args []any) error {
		rows, err := tx.QueryContext(ctx, `INSERT INTO jobs (`+to.column+`seq, handler, generation, line, place, made_no, made_at, hour,
			next_at, state, attempt, claim_no, started_at, lease_until, lease_by) `+source+` RETURNING id, seq, handler`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var p place
			if err := rows.Scan(&id, &p.seq, &p.handler); err != nil {
				return err
			}
			c.lent(index[p].g, id, p.handler, now)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}
