package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var _ hook.Vault = (*Store)(nil)

// ErrUnopened is inside the error of Open where the file is encrypted and no key
// was given.
var ErrUnopened = sqlstore.ErrUnopened

// Sealer implements hook.Vault.
func (s *Store) Sealer() hook.Sealer { return s.core.Sealer() }

// DataKeys implements hook.Vault.
func (s *Store) DataKeys(ctx context.Context) (all []hook.DataKey, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		all, err = s.core.DataKeys(ctx, tx)
		return err
	})
	return all, err
}

// RotateKeys implements hook.Vault.
func (s *Store) RotateKeys(ctx context.Context, actor string) (id int64, err error) {
	var adopt func()
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) (err error) {
		id, adopt, err = s.core.RotateKeys(ctx, tx, actor)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rotate keys: %w", err)
	}
	adopt()
	return id, nil
}

// SealStep implements hook.Vault. Pages of the file may hold what was there before,
// until they are written over: see Scrub.
func (s *Store) SealStep(ctx context.Context, cursor string) (hook.SealStep, error) {
	var old *sqlstore.OldRows
	err := s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		old, err = s.core.FindPlain(ctx, tx, cursor)
		return err
	})
	if err != nil {
		return hook.SealStep{}, err
	}
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) error { return s.core.SealRows(ctx, tx, old) })
	return old.Step, err
}

// Scrub writes the file anew without what was deleted or written over in it, and
// empties the log beside it, and removes the index of words: what was stored plainly and is sealed now can be found
// in neither, but for copies that the disk keeps by itself. It needs as much room
// again, and keeps deliveries waiting for as long as it takes: it is for a file that
// no server works with.
func (s *Store) Scrub(ctx context.Context) error {
	if s.side == nil { // the index of words was made of plain bodies; a server makes another
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(sidePath(s.path) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	db, err := sql.Open("sqlite", dsn(s.path))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM`); err != nil {
		return fmt.Errorf("write %s anew: %w", s.path, err)
	}
	_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

// DataKeys gives all data keys; see hook.Vault.
func (r *Reader) DataKeys(ctx context.Context) (all []hook.DataKey, err error) {
	err = snapshot(ctx, r.db, func(ctx context.Context, tx *sql.Tx) error {
		all, err = r.core.DataKeys(ctx, tx)
		return err
	})
	return all, err
}
