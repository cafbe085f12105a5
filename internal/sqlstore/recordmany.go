package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// recordMany records beside other transactions. All lines are locked before any
// key, and keys are claimed in their order: two that take the same locks in two
// orders would wait for each other. What needs no look at other events goes in one
// round trip; keys of the others are of other sources or types, so that they, too,
// come in the same order everywhere.
func (c *Core) recordMany(ctx context.Context, tx Tx, m Many, groups []*group, now int64) error {
	if !fault.Mutant("unsorted_batch") {
		slices.SortFunc(groups, func(a, b *group) int { return a.first.key().compare(b.first.key()) })
	}
	var names []string
	var plain, special []*group
	for _, g := range groups {
		names = g.first.lockNames(names)
		if g.first.plain() {
			plain = append(plain, g)
		} else {
			special = append(special, g)
		}
	}
	if err := c.recordPlain(ctx, tx, plain, LockKeys(names...), now); err != nil || len(special) == 0 {
		return err
	}
	if len(plain) == 0 {
		if err := m.Lock(ctx, names...); err != nil {
			return err
		}
	}
	seqs, err := m.Draw(ctx, SequenceEvents, len(special))
	if err != nil {
		return err
	}
	for i, g := range special {
		g.seq = seqs[i]
	}
	return c.insert(ctx, tx, special, now)
}

// plain says that recording the entry looks at no other event.
func (e *Entry) plain() bool {
	return e.Identity.Trust != hook.TrustHint && !e.Identity.KeyUnsigned && !fault.Mutant("check_then_insert")
}

// lockNames adds what a batch with this entry locks: the line that its jobs
// enter, and the body that may be a copy.
func (e *Entry) lockNames(names []string) []string {
	if e.line != "" && (len(e.Handlers) > 0 || e.Identity.Trust == hook.TrustHint) {
		names = append(names, e.line)
	}
	if e.Identity.KeyUnsigned {
		names = append(names, "body/"+e.Delivery.Source+"/"+string(e.SHA256[:]))
	}
	return names
}

// recordPlain calls the function record_and_lend.
func (c *Core) recordPlain(ctx context.Context, tx Tx, groups []*group, locks []int64, now int64) error {
	if len(groups) == 0 {
		return nil
	}
	const kinds = "tttbttiittnibb"
	rows := make([]any, 0, len(groups)*len(kinds))
	jobEvent, jobHandler, jobLine, jobUntil, jobNode := []int64{}, []string{}, []string{}, []int64{}, []string{}
	for i, g := range groups {
		rows = g.first.row(rows, g)
		for _, h := range g.handlers {
			jobEvent, jobHandler, jobLine = append(jobEvent, int64(i+1)), append(jobHandler, h), append(jobLine, g.first.line)
			until := int64(0)
			if g.first.lends(h) {
				until = g.first.until(now)
			}
			jobUntil, jobNode = append(jobUntil, until), append(jobNode, g.first.loan.Node)
		}
	}
	args := []any{SeqAt(now), now, locks}
	for j := range kinds {
		args = append(args, column(kinds[j], rows[j:], len(kinds)))
	}
	args = append(args, jobEvent, jobHandler, jobLine, jobUntil, jobNode)
	found, err := tx.QueryContext(ctx, `SELECT seq, fresh, sha256, trust, job, handler FROM record_and_lend(
		?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, args...)
	if err != nil {
		return fmt.Errorf("record events: %w", err)
	}
	defer found.Close()
	bySeq := make(map[int64]*group, len(groups))
	var job sql.NullInt64
	var handler sql.NullString
	for _, g := range groups {
		if !found.Next() {
			return fmt.Errorf("record events: an answer is missing: %v", found.Err())
		}
		var sum []byte
		if err := found.Scan(&g.seq, &g.fresh, &sum, (*string)(&g.trust), &job, &handler); err != nil {
			return fmt.Errorf("record events: %w", err)
		}
		copy(g.stored[:], sum)
		bySeq[g.seq] = g
	}
	for found.Next() { // the jobs that were lent
		var seq int64
		var fresh sql.NullBool
		var sum []byte
		var trust sql.NullString
		if err := found.Scan(&seq, &fresh, &sum, &trust, &job, &handler); err != nil {
			return fmt.Errorf("record events: %w", err)
		}
		c.lent(bySeq[seq], job.Int64, handler.String, now)
	}
	return found.Err()
}

// row is the entry as a row of the arrays that record_and_lend takes.
func (e *Entry) row(rows []any, g *group) []any {
	var occurred any
	if !e.Identity.OccurredAt.IsZero() {
		occurred = e.Identity.OccurredAt.UnixMicro()
	}
	return append(rows, e.Delivery.Source, e.Identity.Mode, e.Identity.Key, e.SHA256[:], string(e.Identity.Trust),
		string(g.quarantine), g.deliveries(), len(g.handlers), e.Identity.Type, e.Identity.Subject, occurred,
		len(e.Delivery.Body), e.headers, e.body)
}
