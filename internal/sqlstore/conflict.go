package sqlstore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// compare keeps a delivery whose bytes differ from the event's by more than the
// sender itself changes.
func (c *Core) compare(ctx context.Context, tx Tx, g *group, e *Entry, now int64) (conflict bool, err error) {
	if e.SHA256 == g.stored {
		return false, nil
	}
	if same, err := c.sameCanonical(ctx, tx, g, e); err != nil || same {
		return false, err
	}
	// The sender's API renders an event otherwise than its deliveries do: that
	// is no contradiction. The bytes that were signed are kept beside the row
	// that we had read; what we read of an event that was delivered is not.
	api := e.Identity.Trust == hook.TrustSenderAPI
	if attach := g.trust == hook.TrustSenderAPI && !api; attach || api {
		if attach {
			_, err = c.keepBeside(ctx, tx, g, e, now)
		}
		return false, err
	}
	var kept int
	row := tx.QueryRowContext(ctx, `SELECT count(*) FROM conflicts WHERE seq = $1`, g.seq)
	if err := row.Scan(&kept); err != nil {
		return false, fmt.Errorf("count conflicts: %w", err)
	}
	if kept < MaxConflicts {
		if n, err := c.keepBeside(ctx, tx, g, e, now); err != nil || n == 0 {
			return true, err // the same other bytes again, or of an erased event: nothing is kept
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE event_keys SET conflicts = conflicts + 1 WHERE seq = $1`, g.seq); err != nil {
		return false, fmt.Errorf("count a conflict: %w", err)
	}
	return true, nil
}

func (c *Core) keepBeside(ctx context.Context, tx Tx, g *group, e *Entry, now int64) (n int64, err error) {
	headers, body, err := c.close(conflictPlace(e.key(), e.SHA256[:]), e.header, e.Delivery.Body)
	if err != nil {
		return 0, fmt.Errorf("keep other bytes of an event: %w", err)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO conflicts (seq, sha256, received_at, headers, body)
		SELECT seq, $2, $3, $4, $5 FROM event_keys WHERE seq = $1 AND erased_at IS NULL -- what was erased on request stays so
		ON CONFLICT (seq, sha256) DO NOTHING`,
		g.seq, e.SHA256[:], now, headers, body)
	if err != nil {
		return 0, fmt.Errorf("keep other bytes of an event: %w", err)
	}
	return res.RowsAffected()
}

func (c *Core) sameCanonical(ctx context.Context, tx Tx, g *group, e *Entry) (bool, error) {
	canonical := e.Identity.Canonical
	if canonical == nil {
		return false, nil
	}
	first := g.first.Delivery.Body
	if !g.fresh {
		stored, err := c.firstCopy(ctx, tx, g.seq, e.key())
		if err != nil || stored == nil {
			return false, err
		}
		first = stored
	}
	return bytes.Equal(canonical(first), canonical(e.Delivery.Body)), nil
}
