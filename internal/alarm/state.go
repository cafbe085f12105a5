package alarm

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// keptFor is how long resolved alarms are kept.
const keptFor = 90 * 24 * time.Hour

// row is an alarm as the database has it. Without raised it has not lasted for
// long enough, with calm it is well again but not for long.
type row struct {
	id                    string
	about                 about
	since, moved          hook.Timestamp
	raised, calm, resolve hook.Timestamp
	value, mark           int64
	told                  int
}

const rowColumns = `id, rule, object, since, moved_at, raised_at, calm_since, resolved_at, value, mark, told`

func (r *row) into() []any {
	return []any{&r.id, &r.about.rule, &r.about.object, &r.since, &r.moved, &r.raised, &r.calm, &r.resolve, &r.value, &r.mark, &r.told}
}

// last is what is remembered of the alarms about one thing that are over.
type last struct {
	mark int64
	end  hook.Timestamp
}

// memory is what the database knows.
type memory struct {
	open map[about]*row
	last map[about]last
}

func readRows(ctx context.Context, tx hook.Tx, condition string, args ...any) ([]*row, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+rowColumns+` FROM alarms WHERE `+condition, args...)
	if err != nil {
		return nil, fmt.Errorf("read alarms: %w", err)
	}
	defer rows.Close()
	var all []*row
	for rows.Next() {
		r := &row{}
		if err := rows.Scan(r.into()...); err != nil {
			return nil, fmt.Errorf("read alarms: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func (w *Watch) load(ctx context.Context) (*memory, error) {
	m := &memory{}
	err := w.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		m.open, m.last = map[about]*row{}, map[about]last{}
		open, err := readRows(ctx, tx, `resolved_at IS NULL`)
		if err != nil {
			return err
		}
		for _, r := range open {
			m.open[r.about] = r
		}
		rows, err := tx.QueryContext(ctx, `SELECT rule, object, max(mark), max(resolved_at) FROM alarms
			WHERE resolved_at IS NOT NULL GROUP BY rule, object`)
		if err != nil {
			return fmt.Errorf("read alarms: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var a about
			var l last
			if err := rows.Scan(&a.rule, &a.object, &l.mark, &l.end); err != nil {
				return fmt.Errorf("read alarms: %w", err)
			}
			m.last[a] = l
		}
		return rows.Err()
	})
	return m, err
}

// change is one statement that moves an alarm. Each says itself from which state
// it leads, so that of two nodes one moves it and the other does nothing.
type change struct {
	query string
	args  []any
}

// decide compares what was found with what is known.
func (w *Watch) decide(found findings, known *memory, now time.Time) []change {
	var changes []change
	watched := map[string]*rule{}
	for i := range w.rules {
		watched[w.rules[i].name] = &w.rules[i]
	}
	for a, r := range known.open {
		f, ok := found[a]
		if rule := watched[a.rule]; rule == nil || !ok {
			changes = append(changes, toward(r, finding{level: calm}, now)...) // it is no longer there, or no longer watched
		} else {
			changes = append(changes, w.move(rule, r, f, now)...)
		}
	}
	for a, f := range found {
		rule := watched[a.rule]
		if rule == nil || known.open[a] != nil || f.level != bad {
			continue
		}
		before := known.last[a]
		if f.mark > 0 && f.mark <= before.mark || !f.seen.IsZero() && before.end.Valid && !f.seen.After(before.end.Time) {
			continue // told already
		}
		changes = append(changes, begin(rule, a, f, now))
	}
	return changes
}

// begin makes the row, raised at once where the rule does not wait.
func begin(r *rule, a about, f finding, now time.Time) change {
	since := f.since
	if since.IsZero() {
		since = now
	}
	raised := any(now)
	if r.after > 0 {
		raised = nil
	}
	id := "al_" + strings.ToLower(rand.Text())
	return change{`INSERT INTO alarms (id, rule, object, since, raised_at, moved_at, value, mark)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (rule, object) WHERE resolved_at IS NULL DO NOTHING`,
		[]any{id, a.rule, a.object, since, raised, now, f.value, f.mark}}
}

// move brings an open row to where it belongs.
func (w *Watch) move(rule *rule, r *row, f finding, now time.Time) []change {
	if rule.quiet > 0 && f.level == bad && f.mark <= r.mark && now.Sub(r.moved.Time) >= rule.quiet {
		f.level = calm
	}
	if !f.seen.IsZero() && r.raised.Valid && !f.seen.After(r.raised.Time) && f.level != bad {
		f.level = unclear // looked at before it was raised
	}
	if f.level != bad {
		return toward(r, f, now)
	}
	if !r.raised.Valid {
		if now.Sub(r.moved.Time) < rule.after {
			return nil
		}
		return []change{{`UPDATE alarms SET raised_at = $1, value = $2 WHERE id = $3 AND raised_at IS NULL AND resolved_at IS NULL`,
			[]any{now, f.value, r.id}}}
	}
	if f.value == r.value && f.mark <= r.mark && !r.calm.Valid {
		return nil
	}
	moved := r.moved.Time
	if f.mark > r.mark {
		moved = now
	}
	return []change{{`UPDATE alarms SET value = $1, mark = $2, moved_at = $3, calm_since = NULL WHERE id = $4 AND resolved_at IS NULL`,
		[]any{f.value, max(f.mark, r.mark), moved, r.id}}}
}

// toward leads back to calm, which must last for a while.
func toward(r *row, f finding, now time.Time) []change {
	switch {
	case !r.raised.Valid && f.level == calm:
		return []change{{`DELETE FROM alarms WHERE id = $1 AND raised_at IS NULL`, []any{r.id}}}
	case !r.raised.Valid:
		return nil
	case f.level != calm && r.calm.Valid:
		return []change{{`UPDATE alarms SET calm_since = NULL WHERE id = $1 AND resolved_at IS NULL`, []any{r.id}}}
	case f.level != calm:
		return nil
	case !r.calm.Valid:
		return []change{{`UPDATE alarms SET calm_since = $1 WHERE id = $2 AND resolved_at IS NULL AND calm_since IS NULL`,
			[]any{now, r.id}}}
	case now.Sub(r.calm.Time) < rest:
		return nil
	}
	return []change{{`UPDATE alarms SET resolved_at = $1 WHERE id = $2 AND resolved_at IS NULL AND calm_since = $3`,
		[]any{now, r.id, r.calm.Time}}}
}

// write makes the changes, all or none; nobody has been told of them yet. Old
// alarms go with them, except the newest that knows a mark.
func (w *Watch) write(ctx context.Context, now time.Time, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	changes = append(changes, change{`DELETE FROM alarms WHERE told = 2 AND resolved_at < $1 AND (mark = 0 OR EXISTS (
		SELECT 1 FROM alarms n WHERE n.rule = alarms.rule AND n.object = alarms.object AND n.mark > alarms.mark))`,
		[]any{now.Add(-keptFor)}})
	err := w.cfg.Store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		for _, c := range changes {
			if _, err := tx.ExecContext(ctx, c.query, c.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep alarms: %w", err)
	}
	return nil
}
