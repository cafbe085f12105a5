package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Dump is a file that is read whole, row by row, to be moved elsewhere. While it
// is open no server can work the file, so nothing is recorded that the move would
// miss.
type Dump struct {
	db     *sql.DB
	tx     *sql.Tx // one snapshot
	unlock func()
	path   string
}

// OpenDump opens the file at path for reading and keeps others from working it.
// It is ErrInUse while a server does, and refuses a schema that this binary would
// first have to change: see migrate up.
func OpenDump(ctx context.Context, path string) (*Dump, error) {
	r, err := OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(path, 0)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		unlock()
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), r.Close())
	}
	return &Dump{db: r.db, tx: tx, unlock: unlock, path: path}, nil
}

// Close lets go of the file. It changes nothing.
func (d *Dump) Close() error {
	err := d.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) {
		err = nil // OpenDump's context has ended it
	}
	err = errors.Join(err, d.db.Close())
	d.unlock()
	return err
}

// Tables gives the names of all tables, those of departments and of the user's
// own effects too.
func (d *Dump) Tables(ctx context.Context) ([]string, error) {
	rows, err := d.tx.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table'
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Columns gives the columns of a table, in the order in which Rows gives values.
func (d *Dump) Columns(ctx context.Context, table string) ([]string, error) {
	rows, err := d.tx.QueryContext(ctx, `SELECT name FROM pragma_table_info($1) ORDER BY cid`, table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %s: %w", d.path, table, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Rows gives every row of a table as int64, float64, string, []byte or nil. The
// slice is used again for the next row; an error ends the sequence.
func (d *Dump) Rows(ctx context.Context, table string) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		columns, err := d.Columns(ctx, table)
		if err != nil {
			yield(nil, err)
			return
		}
		// The driver turns columns that are declared as times into strings of its
		// own; an expression has no declared type, so + leaves numbers as they are.
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = "iif(typeof(" + quoted(c) + ") = 'integer', +" + quoted(c) + ", " + quoted(c) + ")"
		}
		rows, err := d.tx.QueryContext(ctx, `SELECT `+strings.Join(list, ", ")+` FROM `+quoted(table))
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %s: %w", d.path, table, err))
			return
		}
		defer rows.Close()
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			err := rows.Scan(into...)
			if !yield(values, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, fmt.Errorf("read %s: %s: %w", d.path, table, err))
		}
	}
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
