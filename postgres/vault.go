package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

var _ hook.Vault = (*Store)(nil)

// ErrUnopened is inside the error of Open where the database is encrypted and no
// key was given.
var ErrUnopened = sqlstore.ErrUnopened

// keysEvery is how often a node looks for new data keys. One seals only when it has
// been there for longer: by then every node knows it.
const keysEvery = 15 * time.Second

// Sealer implements hook.Vault.
func (s *Store) Sealer() hook.Sealer { return s.core.Sealer() }

// loadKeys reads the data keys, and writes what is needed to seal.
func (s *Store) loadKeys(ctx context.Context) error {
	var adopt func()
	err := s.transact(ctx, s.work, transaction{}, func(ctx context.Context, tx *unit) (err error) {
		adopt, err = s.core.LoadKeys(ctx, tx)
		return err
	})
	if err == nil {
		adopt()
	}
	return err
}

func (s *Store) keyLoop() {
	t := time.NewTicker(keysEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.stop:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), workLimit)
		if err := s.loadKeys(ctx); err != nil {
			s.opt.Logger.Warn("data keys not read, those that are known are used on", "error", err)
		}
		cancel()
	}
}

// DataKeys implements hook.Vault.
func (s *Store) DataKeys(ctx context.Context) (all []hook.DataKey, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		all, err = s.core.DataKeys(ctx, tx)
		return err
	})
	return all, err
}

// RotateKeys implements hook.Vault.
func (s *Store) RotateKeys(ctx context.Context, actor string) (id int64, err error) {
	var adopt func()
	err = s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
		id, adopt, err = s.core.RotateKeys(ctx, tx, actor)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rotate keys: %w", err)
	}
	adopt()
	return id, nil
}

// SealStep implements hook.Vault. What was overwritten leaves the disk when the
// server has vacuumed the tables.
func (s *Store) SealStep(ctx context.Context, cursor string) (hook.SealStep, error) {
	var old *sqlstore.OldRows
	err := s.snapshot(ctx, func(ctx context.Context, tx *unit) (err error) {
		old, err = s.core.FindPlain(ctx, tx, cursor)
		return err
	})
	if err != nil {
		return hook.SealStep{}, err
	}
	err = s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.SealRows(ctx, tx, old) })
	return old.Step, err
}

// Scrub empties an index of words that was made of plain bodies; a node makes
// another. What was written over leaves the disk when the server has vacuumed the
// tables.
func (s *Store) Scrub(ctx context.Context) error {
	return s.working(ctx, func(ctx context.Context, tx *unit) error { return s.core.ForgetWordsMany(ctx, tx) })
}

// DataKeys gives all data keys; see hook.Vault.
func (r *Reader) DataKeys(ctx context.Context) ([]hook.DataKey, error) { return r.s.DataKeys(ctx) }
