package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// RouteKept is how long a route of a node that is gone is kept: until then
// events get jobs for it, for the node may come back.
const RouteKept = 7 * 24 * time.Hour

// SetRoutes writes the routes of this node. On an engine with one node those that
// are gone are forgotten: nobody else would ever work their jobs. Where there are
// others only those go that no node has had for RouteKept. If we die before the
// commit, the routes are those of before.
//
// newest is from NewestSeq. Where there are other writers it is read in a transaction
// before this one: an event that is received after the begin of this one has a higher
// number then, also if it gets it before these routes are written.
func (c *Core) SetRoutes(ctx context.Context, tx Tx, routes []hook.Route, newest int64) error {
	if err := lock(ctx, tx, "routes"); err != nil {
		return fmt.Errorf("write routes: %w", err)
	}
	now := c.now(tx)
	names := []any{}
	for _, r := range routes {
		if err := c.setRoute(ctx, tx, r, now, newest); err != nil {
			return fmt.Errorf("write route %s: %w", r.Name, err)
		}
		names = append(names, r.Name)
	}
	if c.Many {
		_, err := tx.ExecContext(ctx, `DELETE FROM routes WHERE seen_at < $1`, now-RouteKept.Microseconds())
		return err
	}
	keep := ""
	if len(names) > 0 {
		keep = ` WHERE name NOT IN ` + values(1, len(names))
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM routes`+keep, names...); err != nil {
		return fmt.Errorf("write routes: %w", err)
	}
	return nil
}

// setRoute writes one route. Its time starts anew when it wants other events than
// before: see FillJobs.
func (c *Core) setRoute(ctx context.Context, tx Tx, r hook.Route, now, newest int64) error {
	trust := make([]string, len(r.Trust))
	for i, t := range r.Trust {
		trust[i] = string(t)
	}
	const same = `WHEN routes.source = excluded.source AND routes.types = excluded.types
		AND routes.trust = excluded.trust AND routes.events = excluded.events THEN`
	_, err := tx.ExecContext(ctx, `INSERT INTO routes (name, source, types, trust, events, since, seen_at, max_attempts, filled_seq)
		VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)
		ON CONFLICT (name) DO UPDATE SET
			since = CASE `+same+` routes.since ELSE excluded.since END,
			filled_seq = CASE `+same+` routes.filled_seq ELSE excluded.filled_seq END,
			source = excluded.source, types = excluded.types, trust = excluded.trust, events = excluded.events,
			seen_at = excluded.seen_at, max_attempts = excluded.max_attempts`,
		r.Name, r.Source, r.Types, strings.Join(trust, ","), strings.Join(r.Events, "\n"), now, int64(r.MaxAttempts), newest)
	return err
}

// NewestSeq is a number that no event is below which is received after this
// transaction.
func (c *Core) NewestSeq(ctx context.Context, tx Tx) (int64, error) {
	if !c.Many {
		return c.lastSeq, nil
	}
	seq, err := c.scanSeq(ctx, tx, `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_seq`)
	return SeqAt(c.now(tx)) + seq, err
}

// UseRoutes is called after the commit of SetRoutes.
func (c *Core) UseRoutes(routes []hook.Route) { c.routes.Store(&routes) }

// Routes gives the routes of all nodes, without their handlers.
func (c *Core) Routes(ctx context.Context, tx Tx) ([]hook.Route, error) {
	kept, err := c.keptRoutes(ctx, tx)
	routes := make([]hook.Route, len(kept))
	for i, r := range kept {
		routes[i] = r.Route
	}
	return routes, err
}

// keptRoute is a route with the time from which it wants what it wants.
type keptRoute struct {
	hook.Route
	since  int64
	filled int64 // see FillJobs
}

func (c *Core) keptRoutes(ctx context.Context, tx Tx) ([]keptRoute, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, source, types, trust, events, since, filled_seq, max_attempts FROM routes ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	defer rows.Close()
	var routes []keptRoute
	for rows.Next() {
		var r keptRoute
		var trust, events string
		if err := rows.Scan(&r.Name, &r.Source, &r.Types, &trust, &events, &r.since, &r.filled, &r.MaxAttempts); err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		for t := range strings.SplitSeq(trust, ",") {
			if t != "" {
				r.Trust = append(r.Trust, hook.Trust(t))
			}
		}
		if events != "" {
			r.Route.Events = strings.Split(events, "\n")
		}
		routes = append(routes, r)
	}
	return routes, rows.Err()
}

// loadRoutes reads the routes that the last server wrote, so that a replay knows
// who wants an event although no handler runs in this process.
func (c *Core) loadRoutes(ctx context.Context, tx Tx) error {
	routes, err := c.Routes(ctx, tx)
	if err == nil {
		c.UseRoutes(routes)
	}
	return err
}
