package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Turn takes the turn at a duty if nobody has had it for as long as every; see
// hook.TurnKeeper. If we die before the commit, nobody has had it; after it, the
// duty waits for the next turn, however far we came.
func (c *Core) Turn(ctx context.Context, tx Tx, name string, every time.Duration) (mine bool, err error) {
	if !cursorName(name) {
		return false, fmt.Errorf("duty %.80q: a name has 1 to 64 of a-z, 0-9, _ and -", name)
	}
	now := c.now(tx)
	var taken int64
	row := tx.QueryRowContext(ctx, `INSERT INTO turns (name, taken_at) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET taken_at = excluded.taken_at WHERE turns.taken_at <= $3 OR turns.taken_at > $2
		RETURNING taken_at`, name, now, now-every.Microseconds())
	switch err := row.Scan(&taken); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("take the turn at %s: %w", name, err)
	}
	return true, nil
}
