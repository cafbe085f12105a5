package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var _ hook.Previewer = (*Store)(nil)

// PreviewEffect implements hook.Previewer. What changes is told by triggers, which
// every watched table has and which are silent outside a preview; what they tell
// is a setting of the transaction and ends with it. A row that the effect locks is
// locked for no longer than by the effect itself.
func (s *Store) PreviewEffect(ctx context.Context, p hook.Preview, effect hook.Effect) (hook.RowChanges, error) {
	if inside(ctx, s) {
		return hook.RowChanges{}, hook.ErrInsideEffect
	}
	if s.isClosed() {
		return hook.RowChanges{}, errClosed
	}
	if err := s.checkWatched(ctx, p.Tables); err != nil {
		return hook.RowChanges{}, err
	}
	changes := sqlstore.NewChanges(p.Hidden)
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	err := s.transact(ctx, s.work, transaction{}, func(ctx context.Context, tx *unit) error {
		if _, err := tx.ExecContext(ctx, `SELECT set_config('hookkeeper.preview', 'on', true)`); err != nil {
			return fmt.Errorf("begin a preview: %w", err)
		}
		if err := s.runEffects(hook.WithPreview(ctx), tx.conn, nil, effect); err != nil {
			return err
		}
		if err := readChanges(ctx, tx, changes, p.Tables); err != nil {
			return fmt.Errorf("read what changes: %w", err)
		}
		return sqlstore.ErrPreviewed // whatever happens from here on, it is rolled back
	})
	if errors.Is(err, sqlstore.ErrPreviewed) {
		err = nil
	}
	return changes.Rows(), err
}

// checkWatched refuses a preview that would not see what it promises to show.
func (s *Store) checkWatched(ctx context.Context, tables []string) error {
	return s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		missing, err := unwatched(ctx, tx, tables)
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("table %s is not watched: name it in Watched of its department's Tables", missing[0])
		}
		return err
	})
}

// unwatched gives the tables that have no trigger for previews.
func unwatched(ctx context.Context, tx *unit, tables []string) (missing []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT w FROM unnest($1::text[]) AS w WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t
		WHERE t.tgrelid = to_regclass(w) AND t.tgname = 'hookkeeper_preview')`, tables)
	if err != nil {
		return nil, fmt.Errorf("look for watched tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("look for watched tables: %w", err)
		}
		missing = append(missing, name)
	}
	return missing, rows.Err()
}

// watch gives the watched tables of departments their triggers. It is looked for
// first, without a lock: nearly always nothing is to be done.
func watch(ctx context.Context, tx *unit, all []hook.Tables) error {
	var names []string
	for _, t := range all {
		names = append(names, t.Watched...)
	}
	if len(names) == 0 {
		return nil
	}
	missing, err := unwatched(ctx, tx, names)
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := tx.Lock(ctx, "migrate"); err != nil {
		return err
	}
	if missing, err = unwatched(ctx, tx, names); err != nil {
		return err
	}
	for _, table := range missing {
		var statement string
		err := tx.QueryRowContext(ctx, `SELECT format('CREATE TRIGGER hookkeeper_preview AFTER INSERT OR UPDATE OR DELETE ON %s
			FOR EACH ROW WHEN (current_setting(''hookkeeper.preview'', true) = ''on'')
			EXECUTE FUNCTION hookkeeper.note_change(%L)', c.oid::regclass, coalesce((SELECT string_agg(a.attname, ',')
			FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
			WHERE i.indrelid = c.oid AND i.indisprimary), '')) FROM pg_class c WHERE c.oid = to_regclass($1)`, table).Scan(&statement)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("watch table %s: there is no such table", table)
		case err == nil:
			_, err = tx.ExecContext(ctx, statement)
		}
		if err != nil {
			return fmt.Errorf("watch table %s: %w", table, err)
		}
	}
	return nil
}

// changed is what a trigger tells of one row: columns in their order, each with
// its name and its value as text.
type changed struct {
	Table string      `json:"table"`
	Key   string      `json:"key"`
	Old   [][]*string `json:"old"`
	New   [][]*string `json:"new"`
}

// maxNoted is how many writes the triggers note in one transaction.
const maxNoted = 400

func readChanges(ctx context.Context, tx *unit, changes *sqlstore.Changes, tables []string) error {
	var told string
	var n int
	err := tx.QueryRowContext(ctx, `SELECT coalesce(nullif(current_setting('hookkeeper.changed', true), ''), '0')::integer,
		coalesce((SELECT string_agg(current_setting('hookkeeper.changes_' || i, true), '' ORDER BY i)
			FROM generate_series(0, 19) AS i), '')`).Scan(&n, &told)
	if err != nil {
		return err
	}
	if n > maxNoted {
		changes.Cut()
	}
	for dec := json.NewDecoder(strings.NewReader(told)); ; {
		var c changed
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if slices.ContainsFunc(tables, func(t string) bool { return t == c.Table || strings.HasSuffix(t, "."+c.Table) }) {
			changes.Add(c.Table, strings.Split(c.Key, ","), cellsOf(c.Old), cellsOf(c.New))
		}
	}
}

func cellsOf(row [][]*string) []sqlstore.Cell {
	if row == nil {
		return nil
	}
	cells := make([]sqlstore.Cell, 0, len(row))
	for _, pair := range row {
		if len(pair) == 2 && pair[0] != nil {
			cells = append(cells, sqlstore.Cell{Name: *pair[0], Value: pair[1]})
		}
	}
	return cells
}
