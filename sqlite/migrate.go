package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// migrate brings the schema up to date. SQLite keeps the version in the file's
// header (user_version), written by the same transaction as the step.
func migrate(ctx context.Context, db *sql.DB) error {
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	steps, err := sqlstore.Pending("sqlite", version)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := migrateStep(ctx, db, step); err != nil {
			return err
		}
	}
	return nil
}

// migrateDepartments runs the steps that departments lack, each in one
// transaction with its version.
func migrateDepartments(ctx context.Context, db *sql.DB, all []hook.Tables) error {
	for _, t := range all {
		if t.Files == nil {
			continue
		}
		steps, err := sqlstore.DepartmentPending(ctx, db, "sqlite", t)
		if err != nil {
			return err
		}
		for _, step := range steps {
			if err := departmentStep(ctx, db, t.Name, step); err != nil {
				return err
			}
		}
	}
	return nil
}

func departmentStep(ctx context.Context, db *sql.DB, name string, step sqlstore.Migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := sqlstore.ApplyDepartment(ctx, tx, name, step); err != nil {
		return err
	}
	return tx.Commit()
}

func schemaVersion(ctx context.Context, db *sql.DB) (version int, err error) {
	err = db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return version, nil
}

func migrateStep(ctx context.Context, db *sql.DB, step sqlstore.Migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := step.Apply(ctx, tx); err != nil {
		return err
	}
	if step.Number == 1 {
		id := make([]byte, 5)
		rand.Read(id)
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('database', $1)`, id); err != nil {
			return err
		}
		if fault.Mutant("check_then_insert") {
			if _, err := tx.ExecContext(ctx, `DROP INDEX event_keys_key;
				CREATE INDEX event_keys_key ON event_keys (source, mode, key)`); err != nil {
				return err
			}
		}
	}
	if err := fault.Point("mid-migration"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, step.Number)); err != nil {
		return err
	}
	return tx.Commit()
}

// Schema is the state of a file's schema.
type Schema struct {
	Version int // of the file; 0 for a new one
	Known   int // the newest that this binary knows
}

// SchemaOf reads the version of the schema at path without changing anything.
func SchemaOf(ctx context.Context, path string) (Schema, error) {
	steps, err := sqlstore.Migrations("sqlite")
	if err != nil {
		return Schema{}, err
	}
	r, err := openReaders(path)
	if err != nil {
		return Schema{}, err
	}
	defer r.Close()
	version, err := schemaVersion(ctx, r)
	return Schema{Version: version, Known: len(steps)}, err
}

// KnownSchema is the newest version of the schema that this binary knows.
func KnownSchema() int {
	steps, err := sqlstore.Migrations("sqlite")
	if err != nil {
		panic(err) // the embedded files are broken; the tests of sqlstore read them all
	}
	return len(steps)
}
