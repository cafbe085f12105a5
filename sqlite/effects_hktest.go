//go:build hktest

package sqlite

import (
	"context"
	"encoding/json"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Effects writes the rows of the test handler's table as JSON, for a checker.
func Effects(path string, write func(row json.RawMessage) error) error {
	db, err := openReaders(path)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), `SELECT json_object('source', source, 'mode', mode, 'key', key,
		'handler', handler, 'generation', generation, 'attempt', attempt, 'at', at) FROM hk_effects`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row []byte
		if err := rows.Scan(&row); err != nil {
			return err
		}
		if err := write(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// CreateEffects makes the test handler's table. Without a unique constraint: one
// would hide the second effect that the tests look for.
func CreateEffects(store hook.Store) error {
	return store.Apply(context.Background(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS hk_effects (source TEXT, mode TEXT, key TEXT,
			handler TEXT, generation INTEGER, attempt INTEGER, at INTEGER)`)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS hk_effects_key ON hk_effects (source, mode, key)`)
		return err
	})
}
