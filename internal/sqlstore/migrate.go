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

// Migrations returns the steps for one engine, in order.
func Migrations(engine string) ([]Migration, error) {
	files, err := fs.Glob(schemas, "schema/"+engine+"/*.sql")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no schema for engine %s: %v", engine, err)
	}
	steps := make([]Migration, 0, len(files))
	for i, f := range files {
		text, err := schemas.ReadFile(f)
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
