package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed schema
var schemas embed.FS

// ErrNewerSchema is inside the error of an open that finds a schema newer than
// this binary: it touches nothing.
var ErrNewerSchema = errors.New("the database's schema is newer than this binary: use the newer hookkeeper")

// A Migration is one step of the schema; Number counts from 1.
type Migration struct {
	Number int
	Name   string
	SQL    string
}

// Migrations returns the steps of our own schema for one engine, in order.
func Migrations(engine string) ([]Migration, error) {
	own, err := fs.Sub(schemas, "schema")
	if err != nil {
		return nil, err
	}
	return readSteps(own, engine)
}

func readSteps(files fs.FS, engine string) ([]Migration, error) {
	names, err := fs.Glob(files, engine+"/*.sql")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no schema for engine %s: %v", engine, err)
	}
	steps := make([]Migration, 0, len(names))
	for i, f := range names {
		text, err := fs.ReadFile(files, f)
		if err != nil {
			return nil, err
		}
		base := strings.TrimSuffix(path.Base(f), ".sql")
		number, name, _ := strings.Cut(base, "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != i+1 {
			return nil, fmt.Errorf("schema file %s: expected number %d", f, i+1)
		}
		steps = append(steps, Migration{Number: n, Name: name, SQL: string(text)})
	}
	return steps, nil
}

// Pending checks the present version and returns the steps that are missing.
func Pending(engine string, version int) ([]Migration, error) {
	steps, err := Migrations(engine)
	if err != nil {
		return nil, err
	}
	if version > len(steps) {
		return nil, fmt.Errorf("schema %d, this binary knows %d: %w", version, len(steps), ErrNewerSchema)
	}
	return steps[version:], nil
}

// Apply runs one step. The engine runs it in a transaction that also writes the
// new version: a crash leaves the schema before or after the step, never
// between.
func (m Migration) Apply(ctx context.Context, tx Tx) error {
	if _, err := tx.ExecContext(ctx, m.SQL); err != nil {
		return fmt.Errorf("migration %d (%s): %w", m.Number, m.Name, err)
	}
	return nil
}

// DepartmentPending returns the steps that the tables of a department lack in
// the database behind tx.
func DepartmentPending(ctx context.Context, tx Tx, engine string, t hook.Tables) ([]Migration, error) {
	if !cursorName(t.Name) {
		return nil, fmt.Errorf("department %.80q: a name has 1 to 64 of a-z, 0-9, _ and -", t.Name)
	}
	steps, err := readSteps(t.Files, engine)
	if err != nil {
		return nil, fmt.Errorf("department %s: %w", t.Name, err)
	}
	var version int
	row := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM departments WHERE name = $1`, t.Name)
	if err := row.Scan(&version); err != nil {
		return nil, fmt.Errorf("department %s: read the version of its tables: %w", t.Name, err)
	}
	if version > len(steps) {
		return nil, fmt.Errorf("department %s: schema %d, this binary knows %d: %w", t.Name, version, len(steps), ErrNewerSchema)
	}
	return steps[version:], nil
}

// ApplyDepartment runs one step of a department and notes it; the engine commits
// both together.
func ApplyDepartment(ctx context.Context, tx Tx, name string, step Migration) error {
	if err := step.Apply(ctx, tx); err != nil {
		return fmt.Errorf("department %s: %w", name, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO departments (name, version) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version`, name, step.Number)
	if err != nil {
		return fmt.Errorf("department %s: note the version of its tables: %w", name, err)
	}
	return nil
}
