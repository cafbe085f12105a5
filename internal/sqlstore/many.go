package sqlstore

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Many is what a transaction can do besides on an engine where several run at
// once, in this process and in others. There the database, and not the memory of
// one writer, tells the time, numbers what is written and keeps two transactions
// from changing one line. DESIGN.md of package postgres tells the order of locks.
type Many interface {
	// Now is the database's clock at the begin, in microseconds; zero before First has
	// begun the transaction.
	Now() int64
	// First runs a query that goes out with the begin of a transaction that has not
	// yet begun. row hears each of its rows, by the function that reads its columns.
	First(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) error
	// Slot is a small number that no other transaction is likely to use at the
	// same time: totals that all of them move are kept apart by it.
	Slot() int64
	// Draw gives n numbers of a sequence.
	Draw(ctx context.Context, sequence string, n int) ([]int64, error)
	// Lock waits until no other open transaction has locked any of these names,
	// and keeps them to the end of this one.
	Lock(ctx context.Context, names ...string) error
	// Last hands in a statement whose result is not needed before the COMMIT: it may
	// go out with that, and an error of it may come from there. answer, if it is not
	// nil, hears the only column of the only row, before the transaction is known to
	// stand.
	Last(ctx context.Context, answer func(bool), query string, args ...any) error
	// TryLock takes a name if nobody has it, and never waits.
	TryLock(ctx context.Context, name string) (bool, error)
}

// LockKeys are the numbers under which names are locked, in the order in which every
// transaction takes them. Two names of one number only wait for each other for
// nothing.
func LockKeys(names ...string) []int64 {
	keys := make([]int64, len(names))
	for i, name := range names {
		h := fnv.New64a()
		h.Write([]byte("hookkeeper\x00"))
		h.Write([]byte(name))
		keys[i] = int64(h.Sum64())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// The sequences that Draw knows.
const (
	SequenceEvents  = "event_seq"
	SequenceNumbers = "numbers"
)

// drawn are numbers on their way into rows, in ascending order.
type drawn struct {
	next int64
	list []int64
}

func (d *drawn) take() int64 {
	if d.list != nil {
		n := d.list[0]
		d.list = d.list[1:]
		return n
	}
	d.next++
	return d.next - 1
}

// draw gives n numbers of the history. With several writers call it after the
// rows that it is about are locked: then it numbers them in commit order.
func (c *Core) draw(ctx context.Context, tx Tx, n int) (*drawn, error) {
	if m, ok := tx.(Many); ok {
		list, err := m.Draw(ctx, SequenceNumbers, n)
		return &drawn{list: list}, err
	}
	first, err := c.numbers.draw(n)
	return &drawn{next: first}, err
}

// lock takes names where several transactions run at once.
func lock(ctx context.Context, tx Tx, names ...string) error {
	if m, ok := tx.(Many); ok && len(names) > 0 {
		return m.Lock(ctx, names...)
	}
	return nil
}

// tryLock takes the lock of a line if it is free; a single writer has them all,
// and no line needs none.
func tryLock(ctx context.Context, tx Tx, line string) (bool, error) {
	if m, ok := tx.(Many); ok && line != "" {
		return m.TryLock(ctx, line)
	}
	return true, nil
}

// lockName is what two transactions must not end, queue or replay at the same
// time: jobs of one line, and jobs of one event that has none.
func lockName(line string, seq int64) string {
	if line != "" {
		return line
	}
	return "event/" + strconv.FormatInt(seq, 10)
}

// skipLocked ends a statement that picks rows to change: with several writers
// it passes by those that another transaction holds.
func (c *Core) skipLocked() string {
	if c.Many {
		return ` FOR UPDATE SKIP LOCKED`
	}
	return ``
}

// bulk calls run with rows as the source of a statement, a select of the columns
// column1, column2 …, and with its arguments. kinds has a letter for each column:
// i a number, n one that may be nil, t text, o text that may be nil, b bytes. SQLite gets VALUES, in parts
// whose sizes are powers of two, so that few statements have to be prepared;
// PostgreSQL arrays, all in one, so that the text never varies.
func bulk[T any](c *Core, all []T, kinds string, row func(args []any, t T) []any,
	run func(part []T, source string, args []any) error) error {
	if !c.Many {
		return chunks(all, func(part []T) error {
			args := make([]any, 0, len(part)*len(kinds))
			for _, t := range part {
				args = row(args, t)
			}
			return run(part, `VALUES `+values(len(part), len(kinds)), args)
		})
	}
	if len(all) == 0 {
		return nil
	}
	args := make([]any, 0, len(all)*len(kinds))
	for _, t := range all {
		args = row(args, t)
	}
	arrays := make([]any, len(kinds))
	for j := range kinds {
		arrays[j] = column(kinds[j], args[j:], len(kinds))
	}
	return run(all, unnest(kinds), arrays)
}

// parts calls f for parts of all that one statement takes.
func parts[T any](c *Core, all []T, f func([]T) error) error {
	switch {
	case !c.Many:
		return chunks(all, f)
	case len(all) > 0:
		return f(all)
	}
	return nil
}

// in writes "is one of these", with its arguments.
func (c *Core) in(ids []int64) (cond string, args []any) {
	if c.Many {
		return `= ANY(?::bigint[])`, []any{ids}
	}
	args = make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return `IN ` + values(1, len(ids)), args
}

// column gathers every step-th value of a row-wise list into an array.
func column(kind byte, args []any, step int) any {
	switch kind {
	case 't':
		return gather[string](args, step)
	case 'b':
		return gather[[]byte](args, step)
	case 'n':
		list := make([]*int64, 0, len(args)/step+1)
		for i := 0; i < len(args); i += step {
			var p *int64
			if n, ok := args[i].(int64); ok {
				p = &n
			}
			list = append(list, p)
		}
		return list
	case 'o':
		list := make([]*string, 0, len(args)/step+1)
		for i := 0; i < len(args); i += step {
			var p *string
			if t, ok := args[i].(string); ok {
				p = &t
			}
			list = append(list, p)
		}
		return list
	}
	list := make([]int64, 0, len(args)/step+1)
	for i := 0; i < len(args); i += step {
		switch n := args[i].(type) {
		case int64:
			list = append(list, n)
		case int:
			list = append(list, int64(n))
		}
	}
	return list
}

func gather[T any](args []any, step int) []T {
	list := make([]T, 0, len(args)/step+1)
	for i := 0; i < len(args); i += step {
		v, _ := args[i].(T)
		list = append(list, v)
	}
	return list
}

func unnest(kinds string) string {
	types := map[byte]string{'i': "bigint", 'n': "bigint", 't': "text", 'o': "text", 'b': "bytea"}
	var arrays, names []string
	for j := range kinds {
		arrays = append(arrays, "?::"+types[kinds[j]]+"[]")
		names = append(names, "column"+strconv.Itoa(j+1))
	}
	return `SELECT * FROM unnest(` + strings.Join(arrays, ", ") + `) AS u (` + strings.Join(names, ", ") + `)`
}

// extendMany is Extend where several transactions run at once: a row that another
// one holds is just being ended, or lent anew, and is not waited for.
func (c *Core) extendMany(ctx context.Context, tx Tx, jobs []*hook.Job, lease time.Duration) (lost []*hook.Job, err error) {
	type fence struct{ id, attempt int64 }
	fences := make([]fence, len(jobs))
	for i, j := range jobs {
		fences[i] = fence{j.ID, int64(j.Attempt)}
	}
	until := c.now(tx) + lease.Microseconds()
	ours := map[fence]bool{}
	row := func(args []any, f fence) []any { return append(args, f.id, f.attempt) }
	err = bulk(c, fences, "ii", row, func(_ []fence, source string, args []any) error {
		// Each is looked up by its id; see the function lock_jobs.
		own := `FROM (SELECT * FROM (` + source + `) s ORDER BY column1) v CROSS JOIN LATERAL (SELECT k.id, k.attempt FROM jobs k
			WHERE k.id = v.column1 AND k.attempt = v.column2 AND k.state || '' = 'running'`
		rows, err := tx.QueryContext(ctx, `SELECT j.id, j.attempt `+own+`) j`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var f fence
			if err := rows.Scan(&f.id, &f.attempt); err != nil {
				return err
			}
			ours[f] = true
		}
		if err := rows.Err(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `WITH held AS (SELECT j.id `+own+` FOR UPDATE SKIP LOCKED) j)
			UPDATE jobs SET lease_until = ? FROM held WHERE jobs.id = held.id`,
			append(args, until)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("extend leases: %w", err)
	}
	for i, j := range jobs {
		if !ours[fences[i]] {
			lost = append(lost, j)
		}
	}
	return lost, nil
}
