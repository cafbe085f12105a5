package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxHolds bounds the holds that are not released: each of them is compared with
// every event that retention looks at.
const maxHolds = 1000

func holdName(id int64) string { return "hold #" + strconv.FormatInt(id, 10) }

// AddHold keeps a hold; see hook.HoldKeeper. It waits for a step of retention that is
// going on: what that has not removed when this commits is held.
func (c *Core) AddHold(ctx context.Context, tx Tx, o hook.HoldOrder) (int64, error) {
	var seq sql.NullInt64
	if o.Event != "" {
		found, err := c.holdEvent(ctx, tx, &o)
		if err != nil {
			return 0, err
		}
		seq = sql.NullInt64{Int64: found, Valid: true}
	}
	switch {
	case strings.TrimSpace(o.Reason) == "":
		return 0, fmt.Errorf("hold: a reason is required: %w", hook.ErrRefused)
	case o.Source == "":
		return 0, fmt.Errorf("hold: say what is held: an event, or a source: %w", hook.ErrRefused)
	case o.Event == "" && o.Subject == "" && o.Since.IsZero() && o.Until.IsZero():
		return 0, fmt.Errorf("hold: of a source a subject or a range of time is held, not all of it for ever: %w", hook.ErrRefused)
	case !o.Since.IsZero() && !o.Until.IsZero() && !o.Since.Before(o.Until):
		return 0, fmt.Errorf("hold: its range ends before it begins: %w", hook.ErrRefused)
	}
	if err := lock(ctx, tx, RetentionLock); err != nil {
		return 0, fmt.Errorf("hold: %w", err)
	}
	var open int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM legal_holds WHERE released_at IS NULL`).Scan(&open); err != nil {
		return 0, fmt.Errorf("hold: %w", err)
	}
	if open >= maxHolds {
		return 0, fmt.Errorf("hold: %d hold already: release some, or hold a range: %w", open, hook.ErrRefused)
	}
	var id int64
	row := tx.QueryRowContext(ctx, `INSERT INTO legal_holds (source, subject, seq, since, until, reason, actor, made_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`, o.Source, o.Subject, seq, microsOr(o.Since, 0),
		microsOr(o.Until, math.MaxInt64), cut(o.Reason, MaxErrorBytes), o.Actor, c.now(tx))
	if err := row.Scan(&id); err != nil {
		return 0, fmt.Errorf("hold: %w", err)
	}
	return id, c.Note(ctx, tx, hook.AuditNote{Actor: o.Actor, Action: "hold", Event: o.Event, Object: holdName(id), Reason: o.Reason})
}

// holdEvent finds the event of an order and fills in its source. Nothing else
// narrows a hold on one event.
func (c *Core) holdEvent(ctx context.Context, tx Tx, o *hook.HoldOrder) (int64, error) {
	seq, err := c.seqOf(o.Event)
	if err != nil {
		return 0, err
	}
	var source string
	err = tx.QueryRowContext(ctx, `SELECT source FROM event_keys WHERE seq = $1`, seq).Scan(&source)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, fmt.Errorf("event %s: %w", o.Event, hook.ErrNotFound)
	case err != nil:
		return 0, fmt.Errorf("event %s: %w", o.Event, err)
	case o.Source != "" && o.Source != source || o.Subject != "" || !o.Since.IsZero() || !o.Until.IsZero():
		return 0, fmt.Errorf("hold: an event is held by its id alone, without another source, a subject or a range: %w", hook.ErrRefused)
	}
	o.Source = source
	return seq, nil
}

func microsOr(t time.Time, none int64) int64 {
	if t.IsZero() {
		return none
	}
	return t.UnixMicro()
}

// ReleaseHold ends a hold; see hook.HoldKeeper.
func (c *Core) ReleaseHold(ctx context.Context, tx Tx, id int64, actor, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("release %s: a reason is required: %w", holdName(id), hook.ErrRefused)
	}
	res, err := tx.ExecContext(ctx, `UPDATE legal_holds SET released_at = $1, released_by = $2, release_reason = $3
		WHERE id = $4 AND released_at IS NULL`, c.now(tx), actor, cut(reason, MaxErrorBytes), id)
	if err != nil {
		return fmt.Errorf("release %s: %w", holdName(id), err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		var there bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM legal_holds WHERE id = $1)`, id).Scan(&there)
		switch {
		case err != nil:
			return fmt.Errorf("release %s: %w", holdName(id), err)
		case there:
			return fmt.Errorf("%s has been released: %w", holdName(id), hook.ErrRefused)
		}
		return fmt.Errorf("%s: %w", holdName(id), hook.ErrNotFound)
	}
	return c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: "release", Object: holdName(id), Reason: reason})
}

const legalHoldSQL = `SELECT h.id, h.source, h.subject, h.seq, h.since, h.until, h.reason, h.actor, h.made_at, h.released_at,
	h.released_by, h.release_reason FROM legal_holds h`

// Holds gives the newest holds, or those of an event; see hook.HoldKeeper.
func (c *Core) Holds(ctx context.Context, tx Tx, event string, limit int) ([]*hook.Hold, error) {
	if event == "" {
		return c.holds(ctx, tx, ` ORDER BY h.released_at IS NOT NULL, h.id DESC LIMIT $1`, pageOf(limit, 50))
	}
	seq, err := c.seqOf(event)
	if err != nil {
		return nil, err
	}
	return c.holds(ctx, tx, ` JOIN event_keys k ON k.source = h.source AND k.seq = $1 JOIN events e ON e.seq = k.seq
		WHERE h.released_at IS NULL AND (h.seq = k.seq OR h.seq IS NULL AND (h.subject = '' OR h.subject = e.subject)
			AND k.received_at >= h.since AND k.received_at < h.until)
		ORDER BY h.id DESC LIMIT $2`, seq, pageOf(limit, 50))
}

func (c *Core) holds(ctx context.Context, tx Tx, tail string, args ...any) ([]*hook.Hold, error) {
	rows, err := tx.QueryContext(ctx, legalHoldSQL+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	defer rows.Close()
	all := []*hook.Hold{}
	for rows.Next() {
		h := &hook.Hold{}
		var seq, released sql.NullInt64
		var since, until, made int64
		if err := rows.Scan(&h.ID, &h.Source, &h.Subject, &seq, &since, &until, &h.Reason, &h.Actor, &made, &released,
			&h.ReleasedBy, &h.ReleaseReason); err != nil {
			return nil, fmt.Errorf("list holds: %w", err)
		}
		if seq.Valid {
			h.Event = c.eventID(seq.Int64)
		}
		if since != 0 {
			h.Since = fromMicros(since)
		}
		if until != math.MaxInt64 {
			h.Until = fromMicros(until)
		}
		h.At, h.Released = fromMicros(made), timePtr(released)
		all = append(all, h)
	}
	return all, rows.Err()
}
