package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// position is a place in a feed where several transactions write at once. One
// that began early may commit late, so numbers alone do not say what a reader has
// seen. The transaction of an event does: all those below the oldest one that is
// still open have ended, and what they wrote can be read.
type position struct{ xid, seq int64 }

// Edge is the transaction before which all transactions of this database have
// ended. Read it before the snapshot that Feed reads: one that ended between the
// two is seen, one that began is not yet due. The server's own answer to this
// question, the xmin of a snapshot, is held back by every long transaction of any
// database on it; it is taken only where other sessions are hidden from us.
func (c *Core) Edge(ctx context.Context, tx Tx) (int64, error) {
	return c.scanSeq(ctx, tx, edgeSQL)
}

// backend_xid has 32 bits; it is at most 2 to the 31st behind the newest. The
// snapshot of the statement is taken before it looks at the sessions.
const edgeSQL = `WITH newest AS MATERIALIZED (
		SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next,
			pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest)
	SELECT CASE WHEN coalesce(bool_or(a.pid IS NOT NULL AND a.state IS NULL), false) THEN min(n.oldest)
		ELSE least(min(n.next), min(n.next - ((n.next - a.backend_xid::text::bigint) & 4294967295))) END
	FROM newest n LEFT JOIN pg_stat_activity a
		ON a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
		AND (a.backend_xid IS NOT NULL OR a.state IS NULL)`

// FeedMany is Feed in the order of (xid, seq), up to an Edge read before.
func (c *Core) FeedMany(ctx context.Context, tx Tx, name string, f hook.Filter, limit int, edge int64) (Fed, error) {
	if fault.Mutant("cursor_past_open") {
		edge = math.MaxInt64
	}
	if !cursorName(name) {
		return Fed{}, errCursorName(name)
	}
	if limit <= 0 || limit > maxFeed {
		limit = maxFeed
	}
	var at position
	err := tx.QueryRowContext(ctx, `SELECT xid, seq FROM cursors WHERE name = $1`, name).Scan(&at.xid, &at.seq)
	if errors.Is(err, sql.ErrNoRows) {
		return c.feedBeginMany(ctx, tx, f, edge)
	}
	if err != nil {
		return Fed{}, fmt.Errorf("read a feed: %w", err)
	}
	where, args, err := c.where(hook.Filter{Source: f.Source, Type: f.Type})
	if err != nil {
		return Fed{}, err
	}
	page, seqs, err := c.infos(ctx, tx, feedTailMany(where, len(args)), append(args, edge, at.xid, at.seq, limit)...)
	if err != nil {
		return Fed{}, err
	}
	fed, err := c.skipMany(ctx, tx, at, edge, seqs)
	if err != nil {
		return Fed{}, err
	}
	fed.Events, err = c.feedEvents(ctx, tx, page)
	return fed, err
}

func feedTailMany(where string, n int) string {
	if where == "" {
		where = " WHERE true"
	}
	arg := func(i int) string { return "$" + strconv.Itoa(n+i) }
	return where + ` AND k.xid < ` + arg(1) + ` AND (k.xid, k.seq) > (` + arg(2) + `, ` + arg(3) +
		`) ORDER BY k.xid, k.seq LIMIT ` + arg(4)
}

// skipMany says how far a cursor may move past what the filter leaves out, if
// that is far enough to be worth a write.
func (c *Core) skipMany(ctx context.Context, tx Tx, at position, edge int64, seqs []int64) (Fed, error) {
	to, first := position{edge - 1, math.MaxInt64}, position{edge, 0}
	if len(seqs) > 0 {
		xid, err := c.scanSeq(ctx, tx, `SELECT xid FROM event_keys WHERE seq = $1`, seqs[0])
		if err != nil {
			return Fed{}, err
		}
		first = position{xid, seqs[0]}
		to = position{xid, seqs[0] - 1}
	}
	passed, err := c.scanSeq(ctx, tx, `SELECT count(*) FROM (SELECT 1 FROM event_keys
		WHERE (xid, seq) > ($1, $2) AND (xid, seq) < ($3, $4) ORDER BY xid, seq LIMIT $5) AS passed`,
		at.xid, at.seq, first.xid, first.seq, skipLag)
	if err != nil || passed < skipLag {
		return Fed{}, err
	}
	return Fed{Seq: to.seq, xid: to.xid}, nil
}

// feedBeginMany finds where a new feed begins: behind all that can be seen, which
// includes nothing of the transactions that are still open, or before the first
// event of a time.
func (c *Core) feedBeginMany(ctx context.Context, tx Tx, f hook.Filter, edge int64) (Fed, error) {
	begin := Fed{Begin: true, Seq: math.MaxInt64, xid: edge - 1}
	if f.Since.IsZero() {
		return begin, nil
	}
	us := f.Since.UnixMicro()
	err := tx.QueryRowContext(ctx, `SELECT xid, seq - 1 FROM event_keys WHERE seq >= $1 AND received_at >= $2
		ORDER BY xid, seq LIMIT 1`, SeqAt(us), us).Scan(&begin.xid, &begin.Seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Fed{}, fmt.Errorf("read a feed: %w", err)
	}
	return begin, nil
}

func (c *Core) advanceMany(ctx context.Context, tx Tx, name, id string, seq int64) error {
	xid, err := c.scanSeq(ctx, tx, `SELECT xid FROM event_keys WHERE seq = $1`, seq)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("event %.40q: %w", id, hook.ErrNotFound)
	}
	if err != nil {
		return err
	}
	return c.MoveCursor(ctx, tx, name, Fed{Seq: seq, xid: xid})
}
