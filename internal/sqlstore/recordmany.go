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
func (c *Core) recordMany(ctx context.Context, tx Tx, m Many, groups []*group) error {
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
	if err := c.recordPlain(ctx, m, plain, LockKeys(names...)); err != nil || len(special) == 0 {
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
	return c.insert(ctx, tx, special, c.now(tx))
}

// Opens says that Record begins with Many.First.
func Opens(batch []*Entry) bool { return slices.ContainsFunc(batch, (*Entry).plain) }

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

// recordPlain calls the function record_batch.
func (c *Core) recordPlain(ctx context.Context, m Many, groups []*group, locks []int64) error {
	if len(groups) == 0 {
		return nil
	}
	answers := plainAnswers{c: c, groups: groups, bySeq: make(map[int64]*group, len(groups))}
	err := m.First(ctx, answers.row, `SELECT at_us, seq, fresh, sha256, trust, job, handler FROM hookkeeper.record_batch(
		?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, plainArgs(groups, locks, m.Now())...)
	if err == nil && answers.n < len(groups) {
		err = fmt.Errorf("%d answers are missing", len(groups)-answers.n)
	}
	if err != nil {
		return fmt.Errorf("record events: %w", err)
	}
	return nil
}

// plainArgs are the arguments of record_batch.
func plainArgs(groups []*group, locks []int64, now int64) []any {
	const kinds = "tttbttiiittnibb"
	rows := make([]any, 0, len(groups)*len(kinds))
	jobEvent, jobHandler, jobLine, jobLease, jobNode := []int64{}, []string{}, []string{}, []int64{}, []string{}
	for i, g := range groups {
		rows = g.first.row(rows, g)
		for _, h := range g.handlers {
			jobEvent, jobHandler, jobLine = append(jobEvent, int64(i+1)), append(jobHandler, h), append(jobLine, g.first.line)
			lease := int64(0)
			if g.first.lends(h) {
				lease = g.first.loan.Lease.Microseconds()
			}
			jobLease, jobNode = append(jobLease, lease), append(jobNode, g.first.loan.Node)
		}
	}
	args := []any{nil, locks}
	if now != 0 {
		args[0] = now
	}
	for j := range kinds {
		args = append(args, column(kinds[j], rows[j:], len(kinds)))
	}
	return append(args, jobEvent, jobHandler, jobLine, jobLease, jobNode)
}

// plainAnswers takes the rows of record_batch: one for each group, in order, then one
// for each job that was lent.
type plainAnswers struct {
	c      *Core
	groups []*group
	bySeq  map[int64]*group
	n      int // of groups that have theirs
}

func (a *plainAnswers) row(scan func(...any) error) error {
	var at, seq int64
	var fresh sql.NullBool
	var sum []byte
	var trust, handler sql.NullString
	var job sql.NullInt64
	if err := scan(&at, &seq, &fresh, &sum, &trust, &job, &handler); err != nil {
		return err
	}
	if a.n == len(a.groups) {
		a.c.lent(a.bySeq[seq], job.Int64, handler.String, at)
		return nil
	}
	g := a.groups[a.n]
	a.n++
	g.seq, g.fresh, g.trust = seq, fresh.Bool, hook.Trust(trust.String)
	copy(g.stored[:], sum)
	a.bySeq[seq] = g
	if g.fresh || g.first.SHA256 == g.stored {
		g.first.counted = true
		for _, e := range g.more {
			e.counted = g.repeats(e)
		}
	}
	return nil
}

// repeats says that e, which came with the first of the group, is no more than a
// repeat of it: a duplicate, if the first is not another event's contradiction.
func (g *group) repeats(e *Entry) bool {
	return e.SHA256 == g.first.SHA256 && e.Identity.Type == g.first.Identity.Type
}

// repeated counts the deliveries that repeat the first of the group.
func (g *group) repeated() (n int) {
	for _, e := range g.more {
		if g.repeats(e) && e.Identity.Trust != hook.TrustSenderAPI {
			n++
		}
	}
	return n
}

// row is the entry as a row of the arrays that record_batch takes.
func (e *Entry) row(rows []any, g *group) []any {
	var occurred any
	if !e.Identity.OccurredAt.IsZero() {
		occurred = e.Identity.OccurredAt.UnixMicro()
	}
	return append(rows, e.Delivery.Source, e.Identity.Mode, e.Identity.Key, e.SHA256[:], string(e.Identity.Trust),
		string(g.quarantine), g.deliveries(), g.repeated(), len(g.handlers), e.Identity.Type, e.Identity.Subject, occurred,
		len(e.Delivery.Body), e.headers, e.body)
}
