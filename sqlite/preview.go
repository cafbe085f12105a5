package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	driver "modernc.org/sqlite"
)

var _ hook.Previewer = (*Store)(nil)

// PreviewEffect implements hook.Previewer. It holds the writer for as long as the
// effect runs. What changes is told by the driver's pre-update hook: triggers of
// the transaction would make every statement that is kept prepared be prepared
// anew, twice.
func (s *Store) PreviewEffect(ctx context.Context, p hook.Preview, effect hook.Effect) (hook.RowChanges, error) {
	layouts, err := s.layouts(ctx, p.Tables)
	if err != nil {
		return hook.RowChanges{}, err
	}
	changes := sqlstore.NewChanges(p.Hidden)
	err = s.submit(ctx, false, func(_ context.Context, tx *unit) error {
		if err := s.listen(func(d driver.SQLitePreUpdateData) { note(changes, layouts, &d) }); err != nil {
			return err
		}
		err := s.runPreview(tx, effect)
		if err := s.listen(nil); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		return sqlstore.ErrPreviewed
	})
	if errors.Is(err, sqlstore.ErrPreviewed) {
		err = nil
	}
	return changes.Rows(), err
}

// runPreview runs the effect as runEffects does, but prepares each statement of it
// anew: one that was prepared without a listener may empty a whole table at once,
// of which the listener hears nothing.
func (s *Store) runPreview(u *unit, effect hook.Effect) error {
	ctx := hook.WithPreview(hook.WithSealer(context.WithValue(context.Background(), insideKey{s}, true), s.core.Sealer()))
	own := newStatements(s.conn, maxEffects)
	err := sqlstore.Effects{
		Budget:  s.opt.EffectBudget,
		Through: func(g *sqlstore.Gate) hook.Tx { return &guard{gate: g, tx: u.Tx, writes: own} },
	}.Run(ctx, effect)
	return errors.Join(err, own.close())
}

// listen is told of every row that the writer's connection is about to change; nil
// ends that.
func (s *Store) listen(f driver.PreUpdateHookFn) error {
	return s.conn.Raw(func(dc any) error {
		c, ok := dc.(driver.HookRegisterer)
		if !ok {
			return errors.New("the driver tells of no changes")
		}
		c.RegisterPreUpdateHook(f)
		return nil
	})
}

// layout is what is known of a table.
type layout struct{ columns, key []string }

// layouts reads the columns of tables, beside the writer.
func (s *Store) layouts(ctx context.Context, tables []string) (map[string]layout, error) {
	all := map[string]layout{}
	err := s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, table := range tables {
			rows, err := tx.QueryContext(ctx, `SELECT name, pk FROM pragma_table_info($1)`, table)
			if err != nil {
				return err
			}
			l, err := readLayout(rows)
			if err != nil {
				return fmt.Errorf("read the columns of %s: %w", table, err)
			}
			all[table] = l
		}
		return nil
	})
	return all, err
}

func readLayout(rows *sql.Rows) (l layout, err error) {
	defer rows.Close()
	for rows.Next() {
		var name string
		var pk int
		if err := rows.Scan(&name, &pk); err != nil {
			return l, err
		}
		l.columns = append(l.columns, name)
		if pk > 0 {
			l.key = append(l.key, name)
		}
	}
	if err := rows.Err(); err != nil {
		return l, err
	}
	if len(l.columns) == 0 {
		return l, errors.New("there is no such table")
	}
	return l, nil
}

// note takes one row that is about to change. An error leaves it out and says so.
func note(changes *sqlstore.Changes, layouts map[string]layout, d *driver.SQLitePreUpdateData) {
	l, watched := layouts[d.TableName]
	if !watched || d.DatabaseName != "main" {
		return
	}
	before, err := cells(l, d.Op != opInsert, d.Old)
	after, err2 := cells(l, d.Op != opDelete, d.New)
	if err != nil || err2 != nil {
		changes.Cut()
		return
	}
	changes.Add(d.TableName, l.key, before, after)
}

// What SQLite says happens to a row; an update is neither.
const opInsert, opDelete = 18, 9

func cells(l layout, there bool, read func(dest ...any) error) ([]sqlstore.Cell, error) {
	if !there {
		return nil, nil
	}
	values := make([]any, len(l.columns))
	if err := read(values...); err != nil {
		return nil, err
	}
	row := make([]sqlstore.Cell, len(values))
	for i, v := range values {
		row[i] = sqlstore.Cell{Name: l.columns[i], Value: valueText(l.columns[i], v)}
	}
	return row, nil
}

// valueText writes a value for people. The numbers in columns that by their name
// are times are microseconds, as everywhere in this engine.
func valueText(column string, v any) *string {
	text := ""
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		text = strconv.FormatInt(v, 10)
		if slices.ContainsFunc(timeColumns[:], func(end string) bool { return strings.HasSuffix(column, end) }) && v > 1e14 {
			text = time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.999999Z")
		}
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		text = fmt.Sprintf("(%d bytes)", len(v))
	default:
		text = fmt.Sprint(v)
	}
	return &text
}

var timeColumns = [...]string{"_at", "_until", "_start", "_end"}
