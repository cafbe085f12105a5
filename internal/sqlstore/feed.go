package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of one answer of a feed.
const (
	maxFeed      = 100
	maxFeedBytes = 4 << 20 // of bodies; one event is given however large it is
)

// skipLag is how many events a feed may read past in vain before its cursor is
// moved: each one read again costs, and so does each write.
const skipLag = 1000

// Fed is what one reading of a feed found.
type Fed struct {
	Events []*hook.EventDetail
	// Begin says that there is no cursor of that name yet, and Seq where it is
	// to begin. Otherwise, if Seq is not 0, everything up to it may count as
	// seen: see MoveCursor.
	Begin bool
	Seq   int64

	xid int64 // with several writers: the transaction of Seq, by which a feed is ordered
}

// Feed reads the events after a cursor in one snapshot; see hook.Feeder. The
// engine writes what it says about the cursor afterwards.
func (c *Core) Feed(ctx context.Context, tx Tx, name string, f hook.Filter, limit int) (Fed, error) {
	if !cursorName(name) {
		return Fed{}, errCursorName(name)
	}
	if limit <= 0 || limit > maxFeed {
		limit = maxFeed
	}
	newest, err := c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM event_keys`)
	if err != nil {
		return Fed{}, err
	}
	at, err := c.scanSeq(ctx, tx, `SELECT seq FROM cursors WHERE name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return c.feedBegin(ctx, tx, f, newest)
	}
	if err != nil || at >= newest {
		return Fed{}, err
	}
	where, args, err := c.where(hook.Filter{Source: f.Source, Type: f.Type})
	if err != nil {
		return Fed{}, err
	}
	page, seqs, err := c.infos(ctx, tx, feedTail(where, len(args)), append(args, at, limit)...)
	if err != nil {
		return Fed{}, err
	}
	var fed Fed
	if len(page) == 0 && newest-at >= skipLag {
		fed.Seq = newest
	}
	if len(page) > 0 && seqs[0]-at > skipLag {
		fed.Seq = seqs[0] - 1
	}
	fed.Events, err = c.feedEvents(ctx, tx, page)
	return fed, err
}

// feedTail ends the statement of a feed, whose filter has n arguments. The
// source is compared in a way that no index fits: by the index of keys the
// engine would read and sort all that a source ever sent, at every look.
func feedTail(where string, n int) string {
	if where == "" {
		where = " WHERE true"
	}
	where = strings.Replace(where, `k.source = `, `k.source || '' = `, 1)
	return where + ` AND k.seq > $` + strconv.Itoa(n+1) + ` ORDER BY k.seq LIMIT $` + strconv.Itoa(n+2)
}

func (c *Core) scanSeq(ctx context.Context, tx Tx, query string, args ...any) (seq int64, err error) {
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&seq); err != nil {
		return 0, fmt.Errorf("read a feed: %w", err)
	}
	return seq, nil
}

func (c *Core) feedBegin(ctx context.Context, tx Tx, f hook.Filter, newest int64) (Fed, error) {
	if f.Since.IsZero() {
		return Fed{Begin: true, Seq: newest}, nil
	}
	first, err := c.scanSeq(ctx, tx, `SELECT coalesce(min(seq), $1) FROM event_keys WHERE received_at >= $2`,
		newest+1, f.Since.UnixMicro())
	return Fed{Begin: true, Seq: first - 1}, err
}

func (c *Core) feedEvents(ctx context.Context, tx Tx, page []*hook.EventInfo) ([]*hook.EventDetail, error) {
	var all []*hook.EventDetail
	size := int64(0)
	for _, info := range page {
		if size += info.Size; size > maxFeedBytes && len(all) > 0 {
			break
		}
		d, err := c.Event(ctx, tx, info.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// BeginCursor makes the cursor of a new feed. If another reader has made it
// meanwhile, that one holds. If we die before the commit, the feed is new again.
func (c *Core) BeginCursor(ctx context.Context, tx Tx, name string, fed Fed) error {
	insert, args := `INSERT INTO cursors (name, seq, moved_at) VALUES ($1, $2, $3)`, []any{name, fed.Seq, c.now(tx)}
	if c.Many {
		insert, args = `INSERT INTO cursors (name, seq, moved_at, xid) VALUES ($1, $2, $3, $4)`, append(args, fed.xid)
	}
	_, err := tx.ExecContext(ctx, insert+` ON CONFLICT (name) DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("begin feed %s: %w", name, err)
	}
	return nil
}

// MoveCursor moves a cursor forwards. If we die before the commit, its reader is
// given the same events again.
func (c *Core) MoveCursor(ctx context.Context, tx Tx, name string, fed Fed) error {
	move, args := `UPDATE cursors SET seq = max(seq, $1), moved_at = $2 WHERE name = $3`, []any{fed.Seq, c.now(tx), name}
	if c.Many {
		move, args = `UPDATE cursors SET moved_at = $2,
			seq = CASE WHEN (xid, seq) < ($4, $1) THEN $1 ELSE seq END, xid = CASE WHEN xid < $4 THEN $4 ELSE xid END
			WHERE name = $3`, append(args, fed.xid)
	}
	done, err := tx.ExecContext(ctx, move, args...)
	if err != nil {
		return fmt.Errorf("advance feed %s: %w", name, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("feed %.80q: %w", name, hook.ErrNotFound)
	}
	return nil
}

// Advance moves a cursor past an event; see hook.Feeder.
func (c *Core) Advance(ctx context.Context, tx Tx, name, id string) error {
	seq, err := c.seqOf(id)
	if err != nil {
		return err
	}
	if c.Many {
		return c.advanceMany(ctx, tx, name, id, seq)
	}
	newest, err := c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM event_keys`)
	if err != nil {
		return err
	}
	if seq < 1 || seq > newest {
		return fmt.Errorf("event %.40q: %w", id, hook.ErrNotFound)
	}
	return c.MoveCursor(ctx, tx, name, Fed{Seq: seq})
}

func errCursorName(name string) error {
	return fmt.Errorf("feed %.80q: a name has 1 to 64 of a-z, 0-9, _ and -: %w", name, hook.ErrBadFilter)
}

func cursorName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}
