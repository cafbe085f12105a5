package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// nodeKept is how long a node that is gone is still shown, and its row kept.
const nodeKept = 24 * time.Hour

// Beat notes that a node is there; see hook.NodeKeeper. Dying before the commit
// costs a beat.
func (c *Core) Beat(ctx context.Context, tx Tx, n hook.NodeInfo) error {
	now := c.now(tx)
	_, err := tx.ExecContext(ctx, `INSERT INTO nodes (name, roles, started_at, seen_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET roles = excluded.roles, started_at = excluded.started_at, seen_at = excluded.seen_at`,
		n.Name, strings.Join(n.Roles, ","), n.StartedAt.UnixMicro(), now)
	if err != nil {
		return fmt.Errorf("note the node %s: %w", n.Name, err)
	}
	for _, handler := range n.Handlers {
		// A minute is exact enough for what counts in days.
		_, err := tx.ExecContext(ctx, `UPDATE routes SET seen_at = $1 WHERE name = $2 AND seen_at < $3`,
			now, handler, now-time.Minute.Microseconds())
		if err != nil {
			return fmt.Errorf("note the routes of node %s: %w", n.Name, err)
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM nodes WHERE seen_at < $1`, now-nodeKept.Microseconds())
	return err
}

// Nodes gives the nodes; see hook.NodeKeeper.
func (c *Core) Nodes(ctx context.Context, tx Tx) ([]hook.NodeInfo, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, roles, started_at, seen_at FROM nodes WHERE seen_at >= $1 ORDER BY name`,
		c.now(tx)-nodeKept.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	defer rows.Close()
	nodes := []hook.NodeInfo{}
	for rows.Next() {
		var n hook.NodeInfo
		var roles string
		var started, seen int64
		if err := rows.Scan(&n.Name, &roles, &started, &seen); err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		if roles != "" {
			n.Roles = strings.Split(roles, ",")
		}
		n.StartedAt, n.SeenAt = fromMicros(started), fromMicros(seen)
		nodes = append(nodes, n)
	}
	return nodes, rows.Err()
}
