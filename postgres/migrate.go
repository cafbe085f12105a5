package postgres

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

//go:embed rights.sql
var rights string

// migrating is a transaction of one step. Several nodes that start at once wait
// for each other in it, and find the step done.
func migrating() transaction {
	return transaction{lockWait: time.Minute, limit: 10 * time.Minute, script: true, bare: true}
}

// migrate brings the schema up to date, then the tables of departments: each step
// in one transaction with its version. If the process dies in one, the schema is
// that before it.
func (s *Store) migrate(ctx context.Context) error {
	for more := true; more; {
		err := s.transact(ctx, s.work, migrating(), func(ctx context.Context, tx *unit) (err error) {
			more, err = step(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, t := range s.opt.Tables {
		if t.Files == nil {
			continue
		}
		for more := true; more; {
			err := s.transact(ctx, s.work, migrating(), func(ctx context.Context, tx *unit) (err error) {
				more, err = departmentStep(ctx, tx, t)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	err := s.transact(ctx, s.work, migrating(), func(ctx context.Context, tx *unit) error { return watch(ctx, tx, s.opt.Tables) })
	if err != nil {
		return err
	}
	return s.transact(ctx, s.work, migrating(), mendTransactions)
}

// step runs the next step that the schema lacks, if any.
func step(ctx context.Context, tx *unit) (more bool, err error) {
	if err := tx.Lock(ctx, "migrate"); err != nil {
		return false, err
	}
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return false, err
	}
	missing, err := sqlstore.Pending("postgres", version)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	if version == 0 {
		if err := createSchema(ctx, tx); err != nil {
			return false, err
		}
	}
	next := missing[0]
	if err := next.Apply(ctx, tx); err != nil {
		return false, err
	}
	if next.Number == 1 {
		if err := firstStep(ctx, tx); err != nil {
			return false, err
		}
	}
	if err := fault.Point("mid-migration"); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, rights); err != nil {
		return false, fmt.Errorf("take away rights: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE schema_version SET version = $1`, next.Number)
	return len(missing) > 1, err
}

func createSchema(ctx context.Context, tx *unit) error {
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regnamespace('hookkeeper') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.ExecContext(ctx, `CREATE SCHEMA hookkeeper`); err != nil {
			return fmt.Errorf("create the schema hookkeeper: %w", err)
		}
	}
	_, err := tx.ExecContext(ctx, `CREATE TABLE hookkeeper.schema_version (version integer NOT NULL);
		INSERT INTO hookkeeper.schema_version VALUES (0)`)
	return err
}

func firstStep(ctx context.Context, tx *unit) error {
	id := make([]byte, 5)
	rand.Read(id)
	if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('database', $1)`, id); err != nil {
		return err
	}
	if fault.Mutant("check_then_insert") {
		_, err := tx.ExecContext(ctx, `ALTER TABLE event_keys DROP CONSTRAINT event_keys_pkey;
			CREATE INDEX event_keys_key ON event_keys (source, mode, key)`)
		return err
	}
	return nil
}

// schemaVersion is 0 where there is no schema yet.
func schemaVersion(ctx context.Context, tx *unit) (version int, err error) {
	var there bool
	row := tx.QueryRowContext(ctx, `SELECT to_regclass('hookkeeper.schema_version') IS NOT NULL`)
	if err := row.Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT version FROM hookkeeper.schema_version`).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return version, nil
}

func departmentStep(ctx context.Context, tx *unit, t hook.Tables) (more bool, err error) {
	if err := tx.Lock(ctx, "migrate"); err != nil {
		return false, err
	}
	missing, err := sqlstore.DepartmentPending(ctx, tx, "postgres", t)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	if err := sqlstore.ApplyDepartment(ctx, tx, t.Name, missing[0]); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, rights)
	return len(missing) > 1, err
}

// mendTransactions makes feeds go on in a database that was restored into another
// server: numbers of transactions begin anew there, and what is stored would seem
// to lie in the future. All that is stored has ended, so it counts as the oldest.
func mendTransactions(ctx context.Context, tx *unit) error {
	const ahead = `> pg_snapshot_xmax(pg_current_snapshot())::text::bigint`
	var restored bool
	row := tx.QueryRowContext(ctx, `SELECT coalesce((SELECT max(xid) FROM event_keys), 0) `+ahead)
	if err := row.Scan(&restored); err != nil || !restored {
		return err
	}
	if err := tx.Lock(ctx, "migrate"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE cursors c SET xid = 0, seq = coalesce(
		(SELECT min(k.seq) - 1 FROM event_keys k WHERE (k.xid, k.seq) > (c.xid, c.seq)), $1)`, int64(math.MaxInt64))
	if err != nil {
		return fmt.Errorf("mend cursors of a restored database: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE event_keys SET xid = 0`); err != nil {
		return fmt.Errorf("mend events of a restored database: %w", err)
	}
	return nil
}

// Schema is the state of a database's schema.
type Schema struct {
	Version int // of the database; 0 for one without
	Known   int // the newest that this binary knows
}

// SchemaOf reads the version of the schema of the database at url and changes
// nothing.
func SchemaOf(ctx context.Context, url string) (Schema, error) {
	s, err := connect(url, Options{})
	if err != nil {
		return Schema{}, err
	}
	schema := Schema{Known: KnownSchema()}
	err = s.reading(ctx, transaction{readOnly: true, bare: true}, func(ctx context.Context, tx *unit) error {
		schema.Version, err = schemaVersion(ctx, tx)
		return err
	})
	if err != nil {
		err = fmt.Errorf("open %s: %w", s.place, err)
	}
	return schema, errors.Join(err, s.disconnect())
}

// Migrate brings the schema of the database at url, and the tables of departments,
// up to date. It may run on many nodes at once.
func Migrate(ctx context.Context, url string, tables []hook.Tables) error {
	s, err := connect(url, Options{Tables: tables})
	if err != nil {
		return err
	}
	err = s.checkServer(ctx)
	if err == nil {
		err = s.migrate(ctx)
	}
	if err != nil {
		err = fmt.Errorf("migrate %s: %w", s.place, err)
	}
	return errors.Join(err, s.disconnect())
}

// KnownSchema is the newest version of the schema that this binary knows.
func KnownSchema() int {
	steps, err := sqlstore.Migrations("postgres")
	if err != nil {
		panic(err) // the embedded files are broken; the tests read them all
	}
	return len(steps)
}
