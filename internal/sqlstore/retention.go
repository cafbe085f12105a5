package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The classes of what retention removes; they are stored.
const (
	classBodies   = "bodies"
	classHints    = "hints"
	classAttempts = "attempts"
	classKeys     = "keys"
)

// Bounds of retention.
const (
	prunedAtOnce     = 500 // events looked at in one transaction
	prunedAtOnceMany = 200 // the same where each costs a lock
	seenAgain        = 200 // events kept back that one sweep looks at again
)

// partitionLag is how much later than it may the longest of all rules removes
// bodies one by one where they go by partition, a week at a time: what is left then
// has outlived its partition.
const partitionLag = 8 * 24 * time.Hour

// prunedByRow is the longest time of keeping for which bodies do not wait for
// their partition.
const prunedByRow = 14 * 24 * time.Hour

// RetentionLock is the name that whoever removes something, or forbids that, locks.
const RetentionLock = "retention"

// held is true for an event, a row of event_keys k and events e, on which there is
// a legal hold.
const held = `(SELECT h.id FROM legal_holds h WHERE h.released_at IS NULL AND h.source = k.source
	AND (h.seq = k.seq OR h.seq IS NULL AND (h.subject = '' OR h.subject = e.subject)
		AND k.received_at >= h.since AND k.received_at < h.until) LIMIT 1) IS NOT NULL`

// worked is true for an event whose work is not over: a dead letter may be replayed.
// No subquery here is an EXISTS: PostgreSQL would turn that into a join, and so read
// whole tables where its statistics are old.
const worked = `(SELECT j.id FROM jobs j WHERE j.seq = k.seq AND j.state <> 'discarded' LIMIT 1) IS NOT NULL`

// needed is true for an event whose body somebody may still ask for.
const needed = `(` + worked + ` OR k.jobs_total = 0 AND k.quarantine <> '' OR ` + held + `)`

// Needed is the condition for a body b to outlive its partition.
func Needed() string {
	return `EXISTS (SELECT 1 FROM event_keys k JOIN events e ON e.seq = k.seq WHERE k.seq = b.seq AND ` + needed + `)`
}

// class says how one class is removed.
type class struct {
	name string
	of   string // which events of a source it concerns: a condition on event_keys
	hint bool   // it goes by the index of hints
	free string // may go; a condition on event_keys k and events e; ? is the time before which all must lie
	left string // there is something to remove
	keep func(hook.Keep) time.Duration
	run  func(c *Core, ctx context.Context, tx Tx, seqs []int64) error
}

func classes() []class {
	const someBody = `((SELECT b.seq FROM bodies b WHERE b.seq = k.seq) IS NOT NULL
		OR (SELECT x.seq FROM conflicts x WHERE x.seq = k.seq LIMIT 1) IS NOT NULL)`
	const tried = `(SELECT a.seq FROM attempts a WHERE a.seq = k.seq`
	return []class{
		{name: classHints, of: `trust = 'hint'`, hint: true, free: `NOT ` + needed, left: someBody,
			keep: func(k hook.Keep) time.Duration { return k.Hints }, run: (*Core).removeBodies},
		{name: classBodies, of: `trust <> 'hint'`, free: `NOT ` + needed, left: someBody,
			keep: func(k hook.Keep) time.Duration { return k.Bodies }, run: (*Core).removeBodies},
		{name: classAttempts, of: `jobs_total > 0`, left: tried + ` LIMIT 1) IS NOT NULL`,
			free: `NOT (` + worked + ` OR ` + held + ` OR ` + tried + ` AND a.started_at >= ? LIMIT 1) IS NOT NULL)`,
			keep: func(k hook.Keep) time.Duration { return k.Attempts }, run: (*Core).removeAttempts},
		{name: classKeys, of: `trust <> 'hint'`, left: `TRUE`,
			free: `NOT (` + needed + ` OR ` + tried + ` AND a.started_at >= ? LIMIT 1) IS NOT NULL)
				AND k.seq < (SELECT max(seq) FROM event_keys)`, // the newest number must not be given twice
			keep: func(k hook.Keep) time.Duration { return k.Keys }, run: (*Core).removeKeys},
	}
}

// chore is one class of one source, up to a time.
type chore struct {
	class
	source string
	before int64
}

// chores lists what the rules ask for in every source that has recorded anything.
func (c *Core) chores(ctx context.Context, tx Tx, rules hook.SweepRules) ([]chore, error) {
	if err := c.byIndex(ctx, tx); err != nil {
		return nil, err
	}
	var all []chore
	sources, err := c.sources(ctx, tx)
	if err != nil {
		return nil, err
	}
	longest := rules.Keep.Longest()
	for _, source := range sources {
		keep := rules.Keep.Of(source)
		for _, cl := range classes() {
			after := cl.keep(keep)
			if after <= 0 {
				continue
			}
			if c.Many && cl.name == classBodies && after == longest && after >= prunedByRow {
				after += partitionLag
			}
			all = append(all, chore{cl, source, c.now(tx) - after.Microseconds()})
		}
	}
	return all, nil
}

// sources are those of recorded events.
func (c *Core) sources(ctx context.Context, tx Tx) (names []string, err error) {
	var name string
	err = eachRow(ctx, tx, sourcesSQL, nil, []any{&name}, func() bool { names = append(names, name); return true })
	if err != nil {
		return nil, fmt.Errorf("list the sources: %w", err)
	}
	return names, nil
}

// aheadSQL gives the next events of a source behind a mark; plan_test looks at it.
func aheadSQL(cl class) string {
	index := "event_keys_source"
	if cl.hint {
		index = "event_keys_hint"
	}
	return `SELECT seq, received_at FROM event_keys INDEXED BY ` + index + `
		WHERE source = $1 AND seq > $2 AND ` + cl.of + ` ORDER BY seq LIMIT $3`
}

// ahead gives the next events that a chore has to look at.
func (c *Core) ahead(ctx context.Context, tx Tx, ch chore, limit int) ([]int64, error) {
	var mark int64
	row := tx.QueryRowContext(ctx, `SELECT seq FROM retention_marks WHERE class = $1 AND source = $2`, ch.name, ch.source)
	if err := row.Scan(&mark); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read how far retention is: %w", err)
	}
	var seqs []int64
	var seq, at int64
	err := eachRow(ctx, tx, aheadSQL(ch.class), []any{ch.source, mark, limit}, []any{&seq, &at}, func() bool {
		if at < ch.before {
			seqs = append(seqs, seq)
		}
		return at < ch.before // one that is too young holds back those behind it
	})
	if err != nil {
		return nil, fmt.Errorf("look for what retention removes: %w", err)
	}
	return seqs, nil
}

// PruneDue says which steps of retention would find something to do.
type PruneDue struct {
	Ahead bool // Prune
	Again bool // PruneAgain
	Notes bool // PruneRejections
}

// PruneDue looks which steps of retention have something to do; a reader may ask.
func (c *Core) PruneDue(ctx context.Context, tx Tx, rules hook.SweepRules) (due PruneDue, err error) {
	all, err := c.chores(ctx, tx, rules)
	if err != nil {
		return due, err
	}
	for _, ch := range all {
		seqs, err := c.ahead(ctx, tx, ch, 1)
		if err != nil {
			return due, err
		}
		due.Ahead = due.Ahead || len(seqs) > 0
	}
	if len(all) > 0 {
		if due.Again, err = c.keptBack(ctx, tx); err != nil {
			return due, err
		}
	}
	old, err := c.oldNotes(ctx, tx, rules, 1)
	due.Notes = len(old) > 0
	return due, err
}

// PruneStep is one step of retention, in a transaction that writes; more says whether
// to call it again.
type PruneStep = func(ctx context.Context, tx Tx) (n int, more bool, err error)

// PruneSteps gives the steps that have something to do; a reader may ask. recount is
// called when notes on rejections have been removed.
func (c *Core) PruneSteps(ctx context.Context, tx Tx, rules hook.SweepRules, recount func()) (steps []PruneStep, err error) {
	due, err := c.PruneDue(ctx, tx, rules)
	if err != nil {
		return nil, err
	}
	if due.Ahead {
		steps = append(steps, func(ctx context.Context, tx Tx) (int, bool, error) { return c.Prune(ctx, tx, rules) })
	}
	if due.Again {
		steps = append(steps, func(ctx context.Context, tx Tx) (int, bool, error) { return c.PruneAgain(ctx, tx, rules) })
	}
	if due.Notes {
		steps = append(steps, func(ctx context.Context, tx Tx) (int, bool, error) {
			_, more, err := c.PruneRejections(ctx, tx, rules)
			recount()
			return 0, more, err
		})
	}
	return steps, nil
}

// Prune gets on with one rule in one source; more says that there may be more to do.
// What goes and the note of how far it has come commit together: if we die before,
// the same events are looked at again. Never removed is what open or dead work, a
// quarantine or a hold needs: its events are kept back and looked at by PruneAgain.
func (c *Core) Prune(ctx context.Context, tx Tx, rules hook.SweepRules) (n int, more bool, err error) {
	all, err := c.chores(ctx, tx, rules)
	if err != nil {
		return 0, false, err
	}
	limit := prunedAtOnce
	if c.Many {
		limit = prunedAtOnceMany
	}
	if mine, err := tryLock(ctx, tx, RetentionLock); err != nil || !mine { // another node is at it
		return 0, false, err
	}
	for _, ch := range all {
		seqs, err := c.ahead(ctx, tx, ch, limit)
		if err != nil {
			return 0, false, err
		}
		if len(seqs) == 0 {
			continue
		}
		if n, err = c.prune(ctx, tx, ch, seqs); err != nil {
			return 0, false, fmt.Errorf("remove %s of %s: %w", ch.name, ch.source, err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO retention_marks (class, source, seq) VALUES ($1, $2, $3)
			ON CONFLICT (class, source) DO UPDATE SET seq = excluded.seq`, ch.name, ch.source, seqs[len(seqs)-1])
		if err != nil {
			return 0, false, fmt.Errorf("note how far retention is: %w", err)
		}
		return n, true, nil
	}
	return 0, false, nil
}

// PruneAgain looks at some of the events that something needed when their time had
// come, from where it stopped the last time.
func (c *Core) PruneAgain(ctx context.Context, tx Tx, rules hook.SweepRules) (n int, more bool, err error) {
	all, err := c.chores(ctx, tx, rules)
	if err != nil || len(all) == 0 {
		return 0, false, err
	}
	if mine, err := tryLock(ctx, tx, RetentionLock); err != nil || !mine { // another node is at it
		return 0, false, err
	}
	var name, source, last string
	var seq, at, count int64
	due := map[string][]int64{} // by class and source
	err = eachRow(ctx, tx, `SELECT b.class, b.seq, k.source, k.received_at FROM kept_back b JOIN event_keys k ON k.seq = b.seq
		WHERE b.class > $1 OR b.class = $1 AND b.seq > $2 ORDER BY b.class, b.seq LIMIT $3`,
		[]any{c.again.class, c.again.seq, seenAgain}, []any{&name, &seq, &source, &at}, func() bool {
			for _, ch := range all {
				if ch.name == name && ch.source == source && at < ch.before {
					due[name+"/"+source] = append(due[name+"/"+source], seq)
				}
			}
			last, count = name, count+1
			return true
		})
	if err != nil {
		return 0, false, fmt.Errorf("look again at what was kept: %w", err)
	}
	for _, ch := range all {
		gone, err := c.prune(ctx, tx, ch, due[ch.name+"/"+ch.source])
		if err != nil {
			return n, false, fmt.Errorf("remove %s of %s: %w", ch.name, ch.source, err)
		}
		n += gone
	}
	c.again.class, c.again.seq = last, seq
	if count < seenAgain {
		c.again.class, c.again.seq = "", 0 // from the start at the next sweep
	}
	return n, false, nil
}

// keptBack reports whether anything is kept back.
func (c *Core) keptBack(ctx context.Context, tx Tx) (some bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM kept_back)`).Scan(&some)
	return some, err
}

// prune removes what may go of some events and keeps the others back. Where several
// transactions run at once it first takes the locks of all lines: nobody then
// replays or ends what it looks at.
func (c *Core) prune(ctx context.Context, tx Tx, ch chore, seqs []int64) (n int, err error) {
	if len(seqs) == 0 {
		return 0, nil
	}
	if err := c.lockEvents(ctx, tx, seqs); err != nil {
		return 0, err
	}
	free, err := c.which(ctx, tx, seqs, ch.free+` AND `+ch.left, ch.before)
	if err != nil {
		return 0, err
	}
	kept, err := c.which(ctx, tx, seqs, `NOT (`+ch.free+`) AND (`+ch.left+` OR `+worked+`)`, ch.before)
	if err != nil {
		return 0, err
	}
	if err := ch.run(c, ctx, tx, free); err != nil {
		return 0, err
	}
	if err := c.forgetKept(ctx, tx, ch.name, seqs); err != nil {
		return 0, err
	}
	err = bulk(c, kept, "i", func(args []any, seq int64) []any { return append(args, seq) },
		func(_ []int64, source string, args []any) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO kept_back (class, seq) SELECT '`+ch.name+`', v.column1 FROM (`+source+`) v WHERE TRUE`, args...)
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("keep events back: %w", err)
	}
	return len(free), nil
}

// which gives those of some events for which a condition on k and e holds; every
// ? in it stands for a time.
func (c *Core) which(ctx context.Context, tx Tx, seqs []int64, cond string, at int64) (list []int64, err error) {
	err = parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		for range strings.Count(cond, "?") {
			args = append(args, at)
		}
		var seq int64
		return eachRow(ctx, tx, `SELECT k.seq FROM `+c.joined(byNumber)+` WHERE k.seq `+in+
			` AND (`+cond+`) ORDER BY k.seq`, args, []any{&seq}, func() bool { list = append(list, seq); return true })
	})
	if err != nil {
		return nil, fmt.Errorf("look whether events are needed: %w", err)
	}
	return list, nil
}

// each runs a statement that ends in a condition on numbers of events.
func (c *Core) each(ctx context.Context, tx Tx, seqs []int64, statement string) error {
	return parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		_, err := tx.ExecContext(ctx, statement+` `+in, args...)
		return err
	})
}
