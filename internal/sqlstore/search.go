package sqlstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// A search takes the one condition of a filter that leaves the least, goes by its
// index, newest first, and looks at the others on the way: no list walks through
// the table, however rare what is looked for.

// Bounds of a search.
const (
	fewEvents = 2_000 // of a source: so many are walked through for the sake of another condition
	manyTypes = 200   // that a pattern may match; for more it is no condition to go by
	runBits   = 13    // events_subject is in runs of 8192 events
	someRuns  = 64    // that are searched at a time
)

// by is the condition that a search goes by.
type by int

const (
	byNumber by = iota // the log itself, or the jobs that a state names
	byKey
	bySubject
	bySource
	byType
)

// query is a search before it has its bounds.
type query struct {
	parts []string
	args  []any
}

func (q *query) add(cond string, args ...any) {
	for _, a := range args {
		q.args = append(q.args, a)
		cond = strings.Replace(cond, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.parts = append(q.parts, cond)
}

// found gives the numbers of the events that a filter selects, newest first, at
// most limit of those below a mark. The filter's cursor and limit count for nothing.
func (c *Core) found(ctx context.Context, tx Tx, f hook.Filter, below int64, limit int) ([]int64, error) {
	f.Cursor, f.Limit = "", 0
	if _, _, err := c.where(f); err != nil {
		return nil, err // a filter that means nothing
	}
	floor, below, err := c.times(ctx, tx, f, below)
	if err != nil || floor >= below {
		return nil, err
	}
	list, err := c.search(ctx, tx, f, floor, below, limit)
	if err != nil {
		return nil, fmt.Errorf("search events: %w", err)
	}
	return list, nil
}

func (c *Core) search(ctx context.Context, tx Tx, f hook.Filter, floor, below int64, limit int) ([]int64, error) {
	w, err := c.wayOf(ctx, tx, f)
	if err != nil {
		return nil, err
	}
	return c.searchBy(ctx, tx, w, f, floor, below, limit)
}

// way is how a search goes: it is chosen once, however many stretches of the log are
// looked at.
type way struct {
	by    by
	types []string // of byType
}

func (c *Core) wayOf(ctx context.Context, tx Tx, f hook.Filter) (way, error) {
	switch {
	case f.Key != "":
		return way{by: byKey}, nil
	case f.Subject != "":
		return way{by: bySubject}, nil
	case c.fewJobs(f.State):
		return way{by: byNumber}, nil
	}
	few := false
	if f.Source != "" && f.Type != "" {
		n, err := c.scanSeq(ctx, tx, fewEventsSQL, f.Source, fewEvents+1)
		if err != nil {
			return way{}, err
		}
		few = n <= fewEvents
	}
	if f.Type != "" && !few {
		types, err := c.typesOf(ctx, tx, f.Type)
		if err != nil || len(types) <= manyTypes {
			return way{byType, types}, err
		}
	}
	if f.Source != "" {
		return way{by: bySource}, nil
	}
	return way{by: byNumber}, nil
}

func (c *Core) searchBy(ctx context.Context, tx Tx, w way, f hook.Filter, floor, below int64, limit int) ([]int64, error) {
	switch {
	case w.by == byKey:
		return c.searchKey(ctx, tx, f, floor, below, limit)
	case w.by == bySubject && !c.Many:
		return c.searchSubject(ctx, tx, f, floor, below, limit)
	case w.by == byType:
		return c.searchTypes(ctx, tx, f, w.types, floor, below, limit)
	}
	return c.pick(ctx, tx, f, w.by, query{}, floor, below, limit)
}

// fewJobs: states that jobs lead to, or an index of their own.
func (c *Core) fewJobs(s hook.State) bool { return s != "" && s != hook.StateDone }

// times turns the times of a filter into bounds of numbers: exact enough to leave
// out what need not be looked at, for the condition itself stays.
func (c *Core) times(ctx context.Context, tx Tx, f hook.Filter, below int64) (floor, top int64, err error) {
	if c.Many { // where knows them
		return 0, below, nil
	}
	if !f.Since.IsZero() {
		floor, err = c.scanSeq(ctx, tx, `SELECT coalesce((SELECT first_seq FROM hours WHERE hour < $1 ORDER BY hour DESC LIMIT 1), 0)`,
			hourOf(f.Since.UnixMicro()))
	}
	if err == nil && !f.Until.IsZero() { // two hours more: the clock may have gone back
		var until int64
		until, err = c.scanSeq(ctx, tx, `SELECT coalesce((SELECT first_seq FROM hours WHERE hour > $1 ORDER BY hour LIMIT 1), $2)`,
			hourOf(f.Until.UnixMicro())+2, int64(math.MaxInt64))
		below = min(below, until)
	}
	return floor, below, err
}

// pick runs one statement, with more conditions than the filter's.
func (c *Core) pick(ctx context.Context, tx Tx, f hook.Filter, way by, more query, floor, below int64, limit int) ([]int64, error) {
	statement, args, err := c.pickSQL(f, way, more, floor, below, limit)
	if err != nil {
		return nil, err
	}
	var seq int64
	list := []int64{}
	err = eachRow(ctx, tx, statement, args, []any{&seq}, func() bool { list = append(list, seq); return true })
	return list, err
}

func (c *Core) pickSQL(f hook.Filter, way by, more query, floor, below int64, limit int) (string, []any, error) {
	q := more
	parts, args, err := c.conditions(f, way, len(q.args))
	if err != nil {
		return "", nil, err
	}
	q.parts, q.args = append(q.parts, parts...), append(q.args, args...)
	seq := "k.seq"
	switch way {
	case byType, bySubject:
		seq = "e.seq" // the order of the index that is gone by
	case byKey:
		seq = "+k.seq" // a few to sort: no index may tempt by its order
	}
	if floor > 0 {
		q.add(seq+` >= ?`, floor)
	}
	q.add(seq+` < ?`, below)
	where := ` WHERE ` + strings.Join(q.parts, ` AND `)
	q.args = append(q.args, limit)
	return `SELECT k.seq FROM ` + c.joined(way) + where +
		` ORDER BY ` + seq + ` DESC LIMIT $` + strconv.Itoa(len(q.args)), q.args, nil
}

// joined are the two tables of an event. PostgreSQL would join them from both ends
// where its statistics are old, and so read one of them whole: OFFSET 0 makes it
// look up the second for each row of the first.
func (c *Core) joined(way by) string {
	switch {
	case !c.Many:
		return `event_keys k JOIN events e ON e.seq = k.seq`
	case way == byType || way == bySubject:
		return `events e CROSS JOIN LATERAL (SELECT * FROM event_keys WHERE seq = e.seq OFFSET 0) k`
	}
	return `event_keys k CROSS JOIN LATERAL (SELECT * FROM events WHERE seq = k.seq OFFSET 0) e`
}

// The statements that a search asks besides; plan_test looks at their plans.
const (
	fewEventsSQL = `SELECT count(*) FROM (SELECT 1 FROM event_keys WHERE source = $1 ORDER BY seq DESC LIMIT $2) AS few`
	sourcesSQL   = `WITH RECURSIVE s(name) AS (SELECT min(source) FROM event_keys
			UNION ALL SELECT (SELECT min(source) FROM event_keys WHERE source > s.name) FROM s WHERE s.name IS NOT NULL)
		SELECT name FROM s WHERE name IS NOT NULL`
	typesSQL = `WITH RECURSIVE s(name) AS (SELECT min(type) FROM events
			UNION ALL SELECT (SELECT min(type) FROM events WHERE type > s.name) FROM s WHERE s.name IS NOT NULL)
		SELECT name FROM s WHERE name IS NOT NULL LIMIT $1`
	runsSQL = `WITH RECURSIVE runs(run) AS (SELECT $1 UNION ALL SELECT run - 1 FROM runs WHERE run > $2)
		SELECT run FROM runs WHERE EXISTS (SELECT 1 FROM events e WHERE (e.seq >> 13) = run AND e.subject = $3 AND e.subject <> '')
		ORDER BY run DESC LIMIT $4`
)

// searchKey goes by the index of keys, which begins with source and mode: both are
// few, so every one of them is asked.
func (c *Core) searchKey(ctx context.Context, tx Tx, f hook.Filter, floor, below int64, limit int) ([]int64, error) {
	sources := []string{f.Source}
	if f.Source == "" {
		var name string
		sources = nil
		err := eachRow(ctx, tx, sourcesSQL, nil, []any{&name}, func() bool { sources = append(sources, name); return true })
		if err != nil {
			return nil, err
		}
	}
	var all []int64
	for _, source := range sources {
		f.Source = source
		list, err := c.pick(ctx, tx, f, byKey, modes(), floor, below, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return newestOf(all, limit), nil
}

func modes() query {
	return query{parts: []string{`k.mode IN ('` + hook.ModeLive + `', '` + hook.ModeTest + `', '')`}}
}

// searchSubject goes through the runs of events_subject, newest first: first those
// that have the subject, then the events of each until there are enough. An index
// of all subjects would be written to at random, and cost recording more than it is
// worth; a run is a few pages, which are in memory while they are written.
func (c *Core) searchSubject(ctx context.Context, tx Tx, f hook.Filter, floor, below int64, limit int) ([]int64, error) {
	last, err := c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM events`)
	if err != nil {
		return nil, err
	}
	var all []int64
	for top := min(below-1, last) >> runBits; top >= floor>>runBits && len(all) < limit; {
		var run int64
		var runs []int64
		err := eachRow(ctx, tx, runsSQL, []any{top, floor >> runBits, f.Subject, someRuns}, []any{&run},
			func() bool { runs = append(runs, run); return true })
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			one := query{}
			one.add(`(e.seq >> 13) = ?`, run)
			list, err := c.pick(ctx, tx, f, bySubject, one, floor, below, limit-len(all))
			if err != nil {
				return nil, err
			}
			if all = append(all, list...); len(all) >= limit {
				return all, nil
			}
		}
		if len(runs) < someRuns {
			break
		}
		top = run - 1
	}
	return all, nil
}

// typesOf gives the recorded types that a pattern matches; of very many types it
// looks at the first thousand only and says that these are too many.
func (c *Core) typesOf(ctx context.Context, tx Tx, pattern string) ([]string, error) {
	if !strings.Contains(pattern, "*") && !strings.Contains(pattern, ",") {
		return []string{strings.TrimSpace(pattern)}, nil
	}
	const most = 1000
	var name string
	var types []string
	n := 0
	err := eachRow(ctx, tx, typesSQL, []any{most}, []any{&name}, func() bool {
		if n++; hook.Match(pattern, name) {
			types = append(types, name)
		}
		return true
	})
	if n == most {
		return make([]string, manyTypes+1), err
	}
	return types, err
}

// searchTypes takes the newest of each type, and of these the newest.
func (c *Core) searchTypes(ctx context.Context, tx Tx, f hook.Filter, types []string, floor, below int64, limit int) ([]int64, error) {
	var all []int64
	for _, name := range types {
		f.Type = name
		list, err := c.pick(ctx, tx, f, byType, query{}, floor, below, limit)
		if err != nil {
			return nil, err
		}
		if all = newestOf(append(all, list...), limit); len(all) == limit {
			floor = max(floor, all[limit-1]) // older ones are not wanted any more
		}
	}
	return all, nil
}

// newestOf sorts numbers, and leaves out what stands there twice.
func newestOf(list []int64, limit int) []int64 {
	slices.SortFunc(list, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	list = slices.Compact(list)
	return list[:min(len(list), limit)]
}
