package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Rows is a database of the other engine, read whole: sqlite.Dump.
type Rows interface {
	Tables(ctx context.Context) ([]string, error)
	Columns(ctx context.Context, table string) ([]string, error)
	// Rows gives every row as int64, float64, string, []byte or nil.
	Rows(ctx context.Context, table string) iter.Seq2[[]any, error]
}

// Copied is what CopyFrom did.
type Copied struct {
	Rows    map[string]int64 // by table
	Foreign []string         // tables of the source that are not ours, and were left
}

// copyLimit bounds one statement of a copy: all rows of one table.
const copyLimit = 24 * time.Hour

// CopyFrom fills an empty database with everything that from has: events under
// their keys and ids, jobs, history, tokens, cursors, the tables of departments.
// All of it is one transaction: if we die in here, the database is as empty as
// before. It refuses a database that has recorded anything, and a source with
// tables of a department that Open was not given. told hears each table before it
// is copied; nil hears nothing.
func (s *Store) CopyFrom(ctx context.Context, from Rows, told func(table string)) (Copied, error) {
	if told == nil {
		told = func(string) {}
	}
	done := Copied{Rows: map[string]int64{}}
	err := s.transact(ctx, s.work, transaction{limit: copyLimit, script: true}, func(ctx context.Context, tx *unit) error {
		c := copying{tx: tx, core: s.core, from: from, done: &done, told: told}
		return c.run(ctx)
	})
	if err != nil {
		return Copied{}, fmt.Errorf("copy: %w", err)
	}
	err = s.transact(ctx, s.work, transaction{}, func(ctx context.Context, tx *unit) error {
		return s.core.Load(ctx, tx) // the database has another id now
	})
	return done, errors.Join(err, s.loadKeys(ctx))
}

type copying struct {
	tx   *unit
	core *sqlstore.Core
	xid  int64 // of this transaction: cursors stand within it
	from Rows
	done *Copied
	told func(string)
}

// apart are tables that are not copied as they are: what they hold is of the
// engine, of this very node, or written by the copy itself.
var apart = []string{"meta", "departments", "turns", "nodes", "probes", "routes", "unindexed", "words_state"}

func (c *copying) run(ctx context.Context) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	theirs, err := c.from.Tables(ctx)
	if err != nil {
		return err
	}
	ours, err := c.tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range theirs {
		if !slices.Contains(ours, table) && !slices.Contains(apart, table) {
			c.done.Foreign = append(c.done.Foreign, table)
		}
	}
	if err := c.keys(ctx, theirs); err != nil {
		return err
	}
	for _, table := range ours {
		if !slices.Contains(theirs, table) || slices.Contains(apart, table) {
			continue
		}
		if err := c.table(ctx, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	if err := c.database(ctx); err != nil {
		return err
	}
	if err := c.core.CheckKeys(ctx, c.tx); err != nil {
		return err // a copy that nobody can open is none
	}
	return c.sequences(ctx)
}

// keys makes room for the data keys of a source that is encrypted: what is sealed
// is copied as it is. Those that Open has begun here have sealed nothing.
func (c *copying) keys(ctx context.Context, theirs []string) error {
	if !slices.Contains(theirs, "data_keys") {
		return nil
	}
	for _, err := range c.from.Rows(ctx, "data_keys") {
		if err != nil {
			return err
		}
		if !c.core.Encrypts() {
			return sqlstore.ErrUnopened
		}
		_, err := c.tx.ExecContext(ctx, `DELETE FROM data_keys`)
		return err
	}
	return nil
}

// check refuses what could not be told apart afterwards.
func (c *copying) check(ctx context.Context) error {
	var recorded bool
	if err := c.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM event_keys)`).Scan(&recorded); err != nil {
		return err
	}
	if err := c.tx.QueryRowContext(ctx, `SELECT pg_current_xact_id()::text::bigint`).Scan(&c.xid); err != nil {
		return err
	}
	if recorded {
		return errors.New("the database has recorded events already: copy into an empty one")
	}
	has := map[string]int64{}
	rows, err := c.tx.QueryContext(ctx, `SELECT name, version FROM departments`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var version int64
		if err := rows.Scan(&name, &version); err != nil {
			return err
		}
		has[name] = version
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for row, err := range c.from.Rows(ctx, "departments") {
		if err != nil {
			return err
		}
		name, version := fmt.Sprint(row[0]), row[1]
		if has[name] != version {
			return fmt.Errorf("the source has tables of the department %s at version %v, here it is %d: "+
				"give the configuration that it runs with, and the same binary", name, version, has[name])
		}
	}
	return nil
}

// tables gives ours, so ordered that a row comes after those it refers to.
func (c *copying) tables(ctx context.Context) ([]string, error) {
	rows, err := c.tx.QueryContext(ctx, `SELECT c.relname, coalesce((SELECT string_agg(DISTINCT f.relname, ',')
			FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
			WHERE k.contype = 'f' AND k.conrelid = c.oid AND f.oid <> c.oid), '')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'hookkeeper' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	needs := map[string][]string{}
	var names, ordered []string
	for rows.Next() {
		var name, refers string
		if err := rows.Scan(&name, &refers); err != nil {
			return nil, err
		}
		names = append(names, name)
		needs[name] = strings.FieldsFunc(refers, func(r rune) bool { return r == ',' })
	}
	var place func(name string)
	place = func(name string) {
		if slices.Contains(ordered, name) || !slices.Contains(names, name) {
			return
		}
		refers := needs[name]
		needs[name] = nil // two that refer to each other end here
		for _, other := range refers {
			place(other)
		}
		ordered = append(ordered, name)
	}
	for _, name := range names {
		place(name)
	}
	return ordered, rows.Err()
}

// column is one of ours, and where its values come from.
type column struct {
	name, kind string
	at         int // index in the source's row; -1: only here
	constant   any // its value if it is only here
}

// table copies one. Columns that only this engine has get what a row of one node
// would have there.
func (c *copying) table(ctx context.Context, table string) error {
	c.told(table)
	columns, err := c.columns(ctx, table)
	if err != nil {
		return err
	}
	names := make([]string, len(columns))
	for i, col := range columns {
		names[i] = col.name
	}
	next, stop := iter.Pull2(c.from.Rows(ctx, table))
	defer stop()
	source := pgx.CopyFromFunc(func() ([]any, error) {
		row, err, ok := next()
		if !ok || err != nil {
			return nil, err
		}
		out := make([]any, len(columns))
		for i, col := range columns {
			if out[i], err = col.value(row); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
	var n int64
	err = c.tx.conn.Raw(func(dc any) (err error) {
		n, err = dc.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{"hookkeeper", table}, names, source)
		return err
	})
	c.done.Rows[table] = n
	return err
}

func (c *copying) columns(ctx context.Context, table string) ([]column, error) {
	theirs, err := c.from.Columns(ctx, table)
	if err != nil {
		return nil, err
	}
	rows, err := c.tx.QueryContext(ctx, `SELECT column_name, data_type, column_default IS NOT NULL OR is_nullable = 'YES' OR is_identity = 'YES'
		FROM information_schema.columns WHERE table_schema = 'hookkeeper' AND table_name = $1 AND is_generated = 'NEVER'
		ORDER BY ordinal_position`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		col := column{}
		var optional bool
		if err := rows.Scan(&col.name, &col.kind, &optional); err != nil {
			return nil, err
		}
		col.at = slices.Index(theirs, col.name)
		switch {
		case col.at >= 0:
		case optional:
			continue
		case col.name == "slot":
			col.constant = int64(0)
		case col.name == "xid":
			col.constant = c.xid
		default:
			return nil, fmt.Errorf("the source has no column %s", col.name)
		}
		columns = append(columns, col)
	}
	return columns, rows.Err()
}

// value turns the source's value into ours: numbers of microseconds into times,
// numbers into truth.
func (col *column) value(row []any) (any, error) {
	if col.at < 0 {
		return col.constant, nil
	}
	v := row[col.at]
	if v == nil {
		return nil, nil
	}
	switch n, number := v.(int64); {
	case col.kind == "timestamp with time zone" && number:
		return time.UnixMicro(n).UTC(), nil
	case col.kind == "boolean" && number:
		return n != 0, nil
	case number:
		return n, nil
	}
	switch v := v.(type) {
	case string:
		if col.kind == "bytea" {
			return []byte(v), nil
		}
		return clean(v), nil
	case []byte:
		if col.kind != "bytea" {
			return clean(string(v)), nil
		}
		return append([]byte{}, v...), nil // the source uses its buffer again; and no bytes are not null
	case float64:
		return v, nil
	}
	return nil, fmt.Errorf("column %s: cannot copy %T", col.name, v)
}

// database takes over the id from which the ids of events are made.
func (c *copying) database(ctx context.Context) error {
	columns, err := c.from.Columns(ctx, "meta")
	if err != nil {
		return err
	}
	name, value := slices.Index(columns, "name"), slices.Index(columns, "value")
	for row, err := range c.from.Rows(ctx, "meta") {
		if err != nil {
			return err
		}
		if id, ok := row[value].([]byte); ok && row[name] == "database" {
			_, err := c.tx.ExecContext(ctx, `UPDATE meta SET value = $1 WHERE name = 'database'`, bytes.Clone(id))
			return err
		}
	}
	return errors.New("the source names no database id")
}

// sequences go on after the highest number that was copied.
func (c *copying) sequences(ctx context.Context) error {
	_, err := c.tx.ExecContext(ctx, `SELECT setval('numbers', greatest((SELECT max(greatest(claim_no, coalesce(end_no, 0), made_no)) FROM attempts),
		(SELECT max(made_no) FROM jobs), (SELECT max(no) FROM audit), 1))`)
	if err != nil {
		return fmt.Errorf("move the numbers on: %w", err)
	}
	_, err = c.tx.ExecContext(ctx, `DO $$
		DECLARE t record;
		BEGIN
			FOR t IN SELECT table_name, column_name FROM information_schema.columns
				WHERE table_schema = 'hookkeeper' AND is_identity = 'YES' LOOP
				EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), greatest((SELECT max(%I) FROM hookkeeper.%I), 1))',
					'hookkeeper.' || quote_ident(t.table_name), t.column_name, t.column_name, t.table_name);
			END LOOP;
		END $$`)
	if err != nil {
		return fmt.Errorf("move the numbers of rows on: %w", err)
	}
	return nil
}
