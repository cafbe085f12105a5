package sqlstore

import (
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Hasten makes jobs due now that wait after the attempt that each says; see
// hook.Hastener.
func (c *Core) Hasten(ctx context.Context, tx Tx, jobs []*hook.Job) error {
	now := c.now(tx)
	err := bulk(c, jobs, "ii", func(args []any, j *hook.Job) []any {
		return append(args, j.ID, int64(j.Attempt))
	}, func(_ []*hook.Job, source string, args []any) error {
		_, err := tx.ExecContext(ctx, c.hastenSQL(source), append(args, now, now)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("hasten jobs: %w", err)
	}
	return nil
}

// hastenSQL leaves a job alone that is being claimed at this moment: it is due.
func (c *Core) hastenSQL(source string) string {
	return `WITH named (id, attempt) AS (` + source + `)
		UPDATE jobs SET next_at = ? WHERE id IN (SELECT id FROM jobs
			WHERE (id, attempt) IN (SELECT id, attempt FROM named) AND state = 'retrying' AND next_at > ?` + c.skipLocked() + `)`
}
