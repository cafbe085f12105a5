//go:build hktest

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hookkeeper/hookkeeper/hook"
)

// effectsFlag lists what the test handler wrote, for a checker.
type effectsFlag struct {
	Effects bool `help:"Write the rows of the test handler's table instead. Needs --database."`
}

// effectRow is one row of the test handler's table.
type effectRow struct {
	Source     string `json:"source"`
	Mode       string `json:"mode"`
	Key        string `json:"key"`
	Handler    string `json:"handler"`
	Generation int    `json:"generation"`
	Attempt    int    `json:"attempt"`
	At         int64  `json:"at"`
}

// export writes the rows as JSON lines if the flag was given.
func (f effectsFlag) export(w io.Writer, database string) (asked bool, err error) {
	if !f.Effects {
		return false, nil
	}
	c := config{Database: database}
	var p problems
	if c.checkDatabase(&p); len(p) > 0 {
		return true, usage("--effects reads the table itself: give --database")
	}
	r, err := engineOf(database).reader(context.Background())
	if err != nil {
		return true, err
	}
	v, ok := r.(hook.Viewer)
	if !ok {
		return true, errors.Join(errors.New("this engine shows no tables"), r.Close())
	}
	err = v.View(context.Background(), func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT source, mode, key, handler, generation, attempt, at FROM hk_effects`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e effectRow
			if err := rows.Scan(&e.Source, &e.Mode, &e.Key, &e.Handler, &e.Generation, &e.Attempt, &e.At); err != nil {
				return err
			}
			if err := printJSON(w, e); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return true, errors.Join(err, r.Close())
}

// createEffects makes the test handler's table. Without a unique constraint: one
// would hide the second effect that the tests look for. Nodes that start together
// may get into each other's way, so a failure is tried again.
func createEffects(store hook.Store) (err error) {
	for range 5 {
		err = store.Apply(context.Background(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS hk_effects (source TEXT, mode TEXT, key TEXT,
				handler TEXT, generation INTEGER, attempt INTEGER, at BIGINT)`)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS hk_effects_key ON hk_effects (source, mode, key)`)
			return err
		})
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("make the table of the test handler: %w", err)
}
