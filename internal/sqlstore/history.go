package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// History writes events, conflicts and every transition in commit order. The
// engine runs it in one reading transaction, so that all of it is one snapshot.
func (c *Core) History(ctx context.Context, tx Tx, write func(hook.HistoryLine) error) error {
	if err := c.eventLines(ctx, tx, write); err != nil {
		return fmt.Errorf("history of events: %w", err)
	}
	if err := c.conflictLines(ctx, tx, write); err != nil {
		return fmt.Errorf("history of conflicts: %w", err)
	}
	if err := c.transitionLines(ctx, tx, write); err != nil {
		return fmt.Errorf("history of transitions: %w", err)
	}
	return nil
}

func (c *Core) eventLines(ctx context.Context, tx Tx, write func(hook.HistoryLine) error) error {
	for after := int64(0); ; {
		page, seqs, err := c.infos(ctx, tx, ` WHERE k.seq > $1 ORDER BY k.seq LIMIT 500`, after)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.addJobs(ctx, tx, page, seqs); err != nil {
			return err
		}
		sums, err := c.bodySums(ctx, tx, page, seqs)
		if err != nil {
			return err
		}
		for i, e := range page {
			line := hook.HistoryLine{Kind: "event", Seq: seqs[i], ID: e.ID, Source: e.Source, Mode: e.Mode, Key: e.Key,
				Trust: e.Trust, Type: e.Type, Subject: e.Subject, SHA256: e.SHA256, Recomputed: sums[seqs[i]],
				ReceivedAt: &e.ReceivedAt, Deliveries: e.Deliveries, Conflicts: e.Conflicts, State: e.State, Jobs: e.Jobs}
			if e.Quarantine != nil {
				line.Quarantine = *e.Quarantine
			}
			if err := write(line); err != nil {
				return err
			}
		}
		after = seqs[len(seqs)-1]
	}
}

// bodySums hashes the bytes that are stored of the events of a page; those whose
// bodies retention has removed, or an erasure, are missing.
func (c *Core) bodySums(ctx context.Context, tx Tx, page []*hook.EventInfo, seqs []int64) (map[int64]string, error) {
	places := make(map[int64][]byte, len(page))
	for i, e := range page {
		if e.ErasedAt == nil {
			places[seqs[i]] = eventKey{e.Source, e.Mode, e.Key}.place()
		}
	}
	sums := make(map[int64]string, len(page))
	err := parts(c, seqs, func(part []int64) error {
		var seq int64
		var headers, body []byte
		var failed error
		in, args := c.in(part)
		err := eachRow(ctx, tx, `SELECT b.seq, b.body, (SELECT e.headers FROM events e WHERE e.seq = b.seq) FROM bodies b WHERE b.seq `+in, args,
			[]any{&seq, &body, &headers}, func() bool {
				if place := places[seq]; place != nil {
					sums[seq], failed = c.sum(place, headers, body)
				}
				return failed == nil
			})
		return cmp.Or(err, failed)
	})
	return sums, err
}

// sum hashes a body as it came. One that was changed since it was sealed shows the
// hash of what is stored, which is not that of the event.
func (c *Core) sum(place, headers, body []byte) (string, error) {
	_, plain, err := c.open(place, headers, body)
	if errors.Is(err, seal.ErrDamaged) {
		plain, err = body, nil
	}
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:]), err
}

func (c *Core) conflictLines(ctx context.Context, tx Tx, write func(hook.HistoryLine) error) error {
	rows, err := tx.QueryContext(ctx, `SELECT k.seq, k.source, k.mode, k.key, x.sha256, x.received_at, x.headers, x.body
		FROM conflicts x JOIN event_keys k ON k.seq = x.seq ORDER BY x.seq, x.received_at`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		l := hook.HistoryLine{Kind: "conflict"}
		var sum, headers, body []byte
		var at int64
		if err := rows.Scan(&l.Seq, &l.Source, &l.Mode, &l.Key, &sum, &at, &headers, &body); err != nil {
			return err
		}
		received := fromMicros(at)
		again, err := c.sum(conflictPlace(eventKey{l.Source, l.Mode, l.Key}, sum), headers, body)
		if err != nil {
			return err
		}
		l.ID, l.SHA256, l.Recomputed, l.ReceivedAt = c.eventID(l.Seq), hex.EncodeToString(sum), again, &received
		if err := write(l); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transitionsSQL unfolds jobs, attempts and the audit trail into transitions.
// n orders them; what one claim did to the attempt before it is not a
// transition of its own: running -> running carries the new number.
const transitionsSQL = `
WITH made (seq, handler, generation, no, at) AS (
	SELECT seq, handler, generation, made_no, made_at FROM jobs
	UNION
	SELECT seq, handler, generation, made_no, made_at FROM attempts
), steps (no, seq, handler, generation, src, dst, attempt, at, lease, cause) AS (
	SELECT no, seq, handler, generation, '', 'ready', 0, at, NULL, '' FROM made
	UNION ALL
	SELECT a.claim_no, a.seq, a.handler, a.generation,
		coalesce((SELECT CASE p.outcome WHEN 'lost' THEN 'running' WHEN 'released' THEN 'retrying' ELSE p.outcome END
			FROM attempts p WHERE p.seq = a.seq AND p.handler = a.handler AND p.generation = a.generation
			AND p.attempt = a.attempt - 1), 'ready'),
		'running', a.attempt, a.started_at, a.lease_until, ''
	FROM runs a
	UNION ALL
	SELECT end_no, seq, handler, generation, 'running',
		CASE outcome WHEN 'lost' THEN 'dead' WHEN 'released' THEN 'retrying' ELSE outcome END,
		attempt, ended_at, NULL,
		CASE outcome WHEN 'lost' THEN 'lost' WHEN 'released' THEN 'released' ELSE coalesce(error, '') END
	FROM attempts WHERE end_no IS NOT NULL
	UNION ALL
	SELECT no, seq, handler, generation, was, 'discarded', attempt, at, NULL, reason FROM audit WHERE action = 'discard'
)
SELECT s.no, s.seq, k.source, k.mode, k.key, s.handler, s.generation, s.src, s.dst, s.attempt, s.at, s.lease, s.cause
FROM steps s JOIN event_keys k ON k.seq = s.seq ORDER BY s.no`

func (c *Core) transitionLines(ctx context.Context, tx Tx, write func(hook.HistoryLine) error) error {
	rows, err := tx.QueryContext(ctx, transitionsSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		l := hook.HistoryLine{Kind: "transition"}
		var at int64
		var lease sql.NullInt64
		if err := rows.Scan(&l.Order, &l.Seq, &l.Source, &l.Mode, &l.Key, &l.Handler, &l.Generation,
			(*string)(&l.From), (*string)(&l.To), &l.Attempt, &at, &lease, &l.Cause); err != nil {
			return err
		}
		when := fromMicros(at)
		l.At, l.LeaseUntil = &when, timePtr(lease)
		if err := write(l); err != nil {
			return err
		}
	}
	return rows.Err()
}
