package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of erasures.
const (
	maxErasures    = 16      // that are not over
	erasureLook    = 500     // events that one step looks at
	erasureBytes   = 4 << 20 // of bodies, at which a step ends sooner
	erasureAgain   = 100     // waiting events that one step looks at again
	minCustomer    = 4       // characters of an identifier: a shorter one is in everybody's bodies
	maxCustomer    = 512
	erasurePause   = 20 * time.Millisecond // between two steps
	erasureWait    = 30 * time.Second      // between two looks at what waits
	erasureSettles = 6 * time.Second       // in which what was on its way into the log at the order has come
)

func erasureName(id int64) string { return "erasure #" + strconv.FormatInt(id, 10) }

// AddErasure keeps an order; see hook.ErasureKeeper. If we die before the commit there
// is none, and nobody was told otherwise.
func (c *Core) AddErasure(ctx context.Context, tx Tx, o hook.ErasureOrder) (int64, error) {
	if err := checkErasure(o); err != nil {
		return 0, err
	}
	if err := lock(ctx, tx, RetentionLock); err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	if !o.DryRun {
		holds, err := c.holds(ctx, tx, ` WHERE h.released_at IS NULL AND h.source = $1 AND h.seq IS NULL AND (h.subject = '' OR h.subject = $2)
			ORDER BY h.id LIMIT 1`, o.Source, o.Customer)
		if err != nil {
			return 0, err
		}
		if len(holds) > 0 {
			return 0, fmt.Errorf("erase: %s of %s forbids it (%s): release it first: %w",
				holdName(holds[0].ID), o.Source, holds[0].Reason, hook.ErrRefused)
		}
	}
	var open, bound, total int64
	row := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM erasures WHERE state IN ('running', 'waiting', 'cleaning')),
		coalesce((SELECT max(seq) FROM event_keys), 0),
		(SELECT count(*) FROM (SELECT 1 FROM event_keys WHERE source = $1 ORDER BY seq DESC LIMIT $2) AS few)`, o.Source, maxBulkCount)
	if err := row.Scan(&open, &bound, &total); err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	if open >= maxErasures {
		return 0, fmt.Errorf("erase: %d others are not over yet: %w", open, hook.ErrRefused)
	}
	now := c.now(tx)
	next := now
	if c.Many {
		next += erasureSettles.Microseconds()
	}
	sum := sha256.Sum256([]byte(o.Customer))
	customer, err := c.Sealer().SealText(placeErased, o.Customer)
	if err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	var id int64
	row = tx.QueryRowContext(ctx, `INSERT INTO erasures (source, customer, customer_sha256, reason, actor, dry_run, state, bound,
			total, made_at, moved_at, next_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $9, $10) RETURNING id`, o.Source, customer, sum[:],
		cut(o.Reason, MaxErrorBytes), o.Actor, o.DryRun, bound, total, now, next)
	if err := row.Scan(&id); err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	action := "erase"
	if o.DryRun {
		action = "erase_look"
	}
	return id, c.Note(ctx, tx, hook.AuditNote{Actor: o.Actor, Action: action, Object: erasureName(id), Reason: o.Reason})
}

func checkErasure(o hook.ErasureOrder) error {
	switch n := len(o.Customer); {
	case strings.TrimSpace(o.Reason) == "":
		return fmt.Errorf("erase: a reason is required: %w", hook.ErrRefused)
	case o.Source == "":
		return fmt.Errorf("erase: a source is required: %w", hook.ErrRefused)
	case n < minCustomer || n > maxCustomer || strings.TrimSpace(o.Customer) != o.Customer:
		return fmt.Errorf("erase: an identifier has %d to %d characters and no blanks around it: %w", minCustomer, maxCustomer, hook.ErrRefused)
	case strings.Contains(o.Reason, o.Customer):
		return fmt.Errorf("erase: the reason names the customer, and it is kept for ever: leave that out: %w", hook.ErrRefused)
	}
	return nil
}

const erasureSQL = `SELECT id, source, customer, customer_sha256, reason, actor, dry_run, state, total, seen, found, erased, held,
	(SELECT count(*) FROM erasure_events w WHERE w.erasure = erasures.id), notes, changed, made_at, moved_at, mark, bound FROM erasures`

// erasure is an order with what only the store knows.
type erasure struct {
	hook.Erasure
	mark, bound int64
}

// placeErased is where the name of a customer is sealed for.
const placeErased = "erasures.customer"

func (c *Core) scanErasure(scan func(...any) error) (*erasure, error) {
	e := &erasure{}
	var sum []byte
	var made, moved int64
	err := scan(&e.ID, &e.Source, &e.Customer, &sum, &e.Reason, &e.Actor, &e.DryRun, (*string)(&e.State), &e.Total, &e.Seen,
		&e.Found, &e.Erased, &e.Held, &e.Open, &e.Notes, &e.Rows, &made, &moved, &e.mark, &e.bound)
	e.SHA256, e.At, e.Moved = hex.EncodeToString(sum), fromMicros(made), fromMicros(moved)
	e.Held = min(e.Held, e.Open)
	e.Open -= e.Held
	if err == nil {
		e.Customer, err = c.Sealer().OpenText(placeErased, e.Customer)
	}
	return e, err
}

// Erasures gives the newest orders; see hook.ErasureKeeper.
func (c *Core) Erasures(ctx context.Context, tx Tx, limit int) ([]*hook.Erasure, error) {
	rows, err := tx.QueryContext(ctx, erasureSQL+` ORDER BY id DESC LIMIT $1`, pageOf(limit, 50))
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	defer rows.Close()
	all := []*hook.Erasure{}
	for rows.Next() {
		e, err := c.scanErasure(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list erasures: %w", err)
		}
		all = append(all, &e.Erasure)
	}
	return all, rows.Err()
}

// Erasure gives one order; see hook.ErasureKeeper.
func (c *Core) Erasure(ctx context.Context, tx Tx, id int64) (*hook.Erasure, error) {
	e, err := c.scanErasure(tx.QueryRowContext(ctx, erasureSQL+` WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%s: %w", erasureName(id), hook.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", erasureName(id), err)
	}
	return &e.Erasure, nil
}

// boundCancelled marks an order that was cancelled: what it has erased is cleaned up,
// and nothing more is.
const boundCancelled = -1

// CancelErasure ends an order that is not over; see hook.ErasureKeeper.
func (c *Core) CancelErasure(ctx context.Context, tx Tx, id int64, actor string) error {
	if _, err := c.Erasure(ctx, tx, id); err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `UPDATE erasures SET state = 'cleaning', customer = '', bound = $1, mark = 0, held = 0,
			moved_at = $2, next_at = $2 WHERE id = $3 AND state IN ('running', 'waiting')`, boundCancelled, c.now(tx), id)
	if err != nil {
		return fmt.Errorf("%s: %w", erasureName(id), err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return fmt.Errorf("%s is over: %w", erasureName(id), hook.ErrRefused)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM erasure_events WHERE erasure = $1`, id); err != nil {
		return fmt.Errorf("%s: %w", erasureName(id), err)
	}
	return c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: "erase_cancel", Object: erasureName(id)})
}

// ErasureStep is what a look has found for the next step of an order.
type ErasureStep struct {
	*erasure
	upto  int64   // the event up to which it has looked
	found []int64 // what is the customer's
	seen  int     // events looked at
	over  bool    // nothing is left to look at
	notes []int64 // rejections that are the customer's
}

// Cleaning reports that only the traces on the disk are left to remove.
func (s *ErasureStep) Cleaning() bool { return s.State == hook.ErasureCleaning && s.over }

// erasureDueSQL finds an order whose turn has come.
const erasureDueSQL = erasureSQL + ` WHERE state IN ('running', 'waiting', 'cleaning') AND next_at <= $1 ORDER BY next_at LIMIT 1`

// LookErasure looks through the next bodies of the order whose turn has come; nil if
// none is. It only reads, so that no writer waits for it.
func (c *Core) LookErasure(ctx context.Context, tx Tx) (*ErasureStep, error) {
	e, err := c.scanErasure(tx.QueryRowContext(ctx, erasureDueSQL, c.now(tx)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("choose an erasure: %w", err)
	}
	s := &ErasureStep{erasure: e, upto: e.mark}
	switch e.State {
	case hook.ErasureRunning:
		if err = c.lookAtBodies(ctx, tx, s); err == nil && s.over {
			err = c.lookAtNotes(ctx, tx, s)
		}
	case hook.ErasureWaiting:
		err = eachRow(ctx, tx, `SELECT seq FROM erasure_events WHERE erasure = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
			[]any{e.ID, e.mark, erasureAgain}, []any{&s.upto}, func() bool { s.found = append(s.found, s.upto); return true })
		s.over = len(s.found) < erasureAgain
	case hook.ErasureCleaning:
		var rest bool
		err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM kept_back WHERE class = '`+classErased+`')`).Scan(&rest)
		s.over = !rest
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", erasureName(e.ID), err)
	}
	return s, nil
}

// lookSQL gives the next events of a source with their bodies, and with the other
// bytes that came under their keys; plan_test looks at it.
func (c *Core) lookSQL() string {
	joins := `JOIN events e ON e.seq = k.seq LEFT JOIN bodies b ON b.seq = k.seq LEFT JOIN conflicts x ON x.seq = k.seq`
	if c.Many {
		joins = `CROSS JOIN LATERAL (SELECT * FROM events WHERE seq = k.seq OFFSET 0) e
			LEFT JOIN LATERAL (SELECT * FROM bodies WHERE seq = k.seq OFFSET 0) b ON TRUE
			LEFT JOIN LATERAL (SELECT * FROM conflicts WHERE seq = k.seq OFFSET 0) x ON TRUE`
	}
	return `SELECT k.seq, k.mode, k.key, e.subject, e.headers, b.body, x.sha256, x.headers, x.body
		FROM (SELECT seq, mode, key FROM event_keys INDEXED BY event_keys_source
			WHERE source = $1 AND seq > $2 AND seq <= $3 AND erased_at IS NULL ORDER BY seq LIMIT $4) k
		` + joins + ` ORDER BY k.seq`
}

// lookAtBodies finds events whose body or other bytes hold the identifier, or whose
// subject it is.
func (c *Core) lookAtBodies(ctx context.Context, tx Tx, s *ErasureStep) error {
	var seq int64
	var mode, key, subject string
	var headers, body, sum, otherHeaders, other []byte
	weight, last := 0, s.mark
	var bad error
	err := eachRow(ctx, tx, c.lookSQL(), []any{s.Source, s.mark, s.bound, erasureLook},
		[]any{&seq, &mode, &key, &subject, &headers, &body, &sum, &otherHeaders, &other}, func() bool {
			if seq != last {
				if weight > erasureBytes {
					return false
				}
				last, s.seen = seq, s.seen+1
			}
			weight += len(body) + len(other) + 256
			mine, err := c.isTheirs(s, eventKey{s.Source, mode, key}, subject, headers, body, sum, otherHeaders, other)
			if bad = err; err != nil {
				return false
			}
			if mine && (len(s.found) == 0 || s.found[len(s.found)-1] != seq) {
				s.found = append(s.found, seq)
			}
			return true
		})
	if err = errors.Join(err, bad); err != nil {
		return fmt.Errorf("look through bodies: %w", err)
	}
	s.over = s.seen < erasureLook && weight <= erasureBytes
	s.upto = last
	return nil
}

// isTheirs opens what is encrypted and looks for the identifier.
func (c *Core) isTheirs(s *ErasureStep, k eventKey, subject string, headers, body, sum, otherHeaders, other []byte) (bool, error) {
	if subject == s.Customer {
		return true, nil
	}
	if body != nil {
		_, text, err := c.open(k.place(), headers, body)
		if err != nil {
			return false, fmt.Errorf("event with the key %.80q: %w", k.key, err)
		}
		if hook.Mentions(text, s.Customer) {
			return true, nil
		}
	}
	if other == nil {
		return false, nil
	}
	_, text, err := c.open(conflictPlace(k, sum), otherHeaders, other)
	if err != nil {
		return false, fmt.Errorf("other bytes under the key %.80q: %w", k.key, err)
	}
	return hook.Mentions(text, s.Customer), nil
}

// lookAtNotes finds notes on refused deliveries that hold the identifier. They are
// a ring, so all of a source are looked at.
func (c *Core) lookAtNotes(ctx context.Context, tx Tx, s *ErasureStep) error {
	var id, at int64
	var headers, body []byte
	var bad error
	err := eachRow(ctx, tx, `SELECT id, at, headers, body FROM rejections WHERE source = $1`, []any{s.Source},
		[]any{&id, &at, &headers, &body}, func() bool {
			_, text, err := c.open(rejectionPlace(s.Source, at), headers, body)
			if bad = err; err == nil && hook.Mentions(text, s.Customer) {
				s.notes = append(s.notes, id)
			}
			return err == nil
		})
	if err = errors.Join(err, bad); err != nil {
		return fmt.Errorf("look through notes on rejections: %w", err)
	}
	return nil
}
