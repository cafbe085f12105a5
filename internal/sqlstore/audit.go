package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// sealBatch is how many entries are sealed in one transaction.
const sealBatch = 200

// auditRow is an entry as it is stored.
type auditRow struct {
	no, at, seq         int64
	actor, action       string
	handler, was        string
	generation, attempt int64
	reason, object      string
	pos                 sql.NullInt64
	hash                []byte
}

const auditColumns = `no, at, coalesce(seq, 0), actor, action, handler, was, generation, attempt, reason, object, pos, hash`

// The statements of the audit trail; plan_test looks at their plans.
const (
	auditOpenSQL = `SELECT ` + auditColumns + ` FROM audit WHERE pos IS NULL ORDER BY no LIMIT $1`
	auditHeadSQL = `SELECT pos, hash FROM audit WHERE pos IS NOT NULL ORDER BY pos DESC LIMIT 1`
	auditWalkSQL = `SELECT ` + auditColumns + ` FROM audit WHERE pos IS NOT NULL AND pos > $1 ORDER BY pos LIMIT $2`
	auditPageSQL = `SELECT ` + auditColumns + ` FROM audit WHERE no < $1 ORDER BY no DESC LIMIT $2`
)

func auditRows(ctx context.Context, tx Tx, query string, args ...any) ([]auditRow, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	defer rows.Close()
	var all []auditRow
	for rows.Next() {
		var r auditRow
		if err := rows.Scan(&r.no, &r.at, &r.seq, &r.actor, &r.action, &r.handler, &r.was, &r.generation, &r.attempt,
			&r.reason, &r.object, &r.pos, &r.hash); err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// seal is the hash of an entry at a position behind another: of a JSON list, in
// which no two different entries look alike.
func (r *auditRow) seal(pos int64, before []byte) []byte {
	text, err := json.Marshal([]any{pos, before, r.no, r.at, r.seq, r.actor, r.action, r.handler, r.was, r.generation,
		r.attempt, r.reason, r.object})
	if err != nil {
		panic("sqlstore: seal: " + err.Error()) // numbers and texts only
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// SealAudit gives the next entries of the audit trail their place in the chain, in
// the order of their numbers. If we die before the commit they are sealed at the
// next sweep; a node that seals at the same time waits.
func (c *Core) SealAudit(ctx context.Context, tx Tx) (n int, more bool, err error) {
	var waiting bool
	row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM audit WHERE pos IS NULL)`)
	if err := row.Scan(&waiting); err != nil || !waiting {
		return 0, false, err
	}
	if err := lock(ctx, tx, "audit chain"); err != nil {
		return 0, false, fmt.Errorf("seal the audit trail: %w", err)
	}
	var pos int64
	var head []byte
	if err := tx.QueryRowContext(ctx, auditHeadSQL).Scan(&pos, &head); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, fmt.Errorf("read the head of the audit trail: %w", err)
	}
	open, err := auditRows(ctx, tx, auditOpenSQL, sealBatch)
	if err != nil {
		return 0, false, err
	}
	err = bulk(c, open, "iib", func(args []any, e auditRow) []any {
		pos++
		head = e.seal(pos, head)
		return append(args, e.no, pos, head)
	}, func(_ []auditRow, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `UPDATE audit SET pos = v.column2, hash = v.column3 FROM (`+source+`) AS v WHERE no = v.column1`, args...)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("seal the audit trail: %w", err)
	}
	return len(open), len(open) == sealBatch, nil
}

// VerifyAudit walks the chain; see hook.Desk.
func (c *Core) VerifyAudit(ctx context.Context, tx Tx) (hook.AuditReport, error) {
	var report hook.AuditReport
	var pos int64
	var head []byte
	for {
		page, err := auditRows(ctx, tx, auditWalkSQL, pos, MaxPage)
		if err != nil {
			return report, err
		}
		for i := range page {
			want := page[i].seal(pos+1, head)
			if page[i].pos.Int64 != pos+1 || !bytes.Equal(want, page[i].hash) {
				report.Broken = pos + 1
				break
			}
			pos, head = pos+1, want
		}
		if len(page) < MaxPage || report.Broken != 0 {
			break
		}
	}
	report.Entries, report.Head = pos, hex.EncodeToString(head)
	row := tx.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM audit WHERE pos IS NULL LIMIT 10001) AS open`)
	if err := row.Scan(&report.Unsealed); err != nil {
		return report, fmt.Errorf("count what is not sealed: %w", err)
	}
	return report, nil
}

// Audit gives a page of the audit trail; see hook.Desk.
func (c *Core) Audit(ctx context.Context, tx Tx, cursor string, limit int) ([]*hook.AuditEntry, string, error) {
	before, err := readMark("a1:", cursor)
	if err != nil {
		return nil, "", err
	}
	limit = pageOf(limit, 100)
	rows, err := auditRows(ctx, tx, auditPageSQL, before, limit+1)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(rows) > limit {
		rows = rows[:limit]
		next = writeMark("a1:", rows[limit-1].no)
	}
	page := []*hook.AuditEntry{}
	for i := range rows {
		r := &rows[i]
		e := &hook.AuditEntry{At: fromMicros(r.at), Actor: r.actor, Action: r.action, Handler: r.handler,
			Generation: int(r.generation), Was: hook.State(r.was), Object: r.object, Reason: r.reason,
			Position: r.pos.Int64, Hash: hex.EncodeToString(r.hash)}
		if r.seq != 0 {
			e.Event = c.eventID(r.seq)
		}
		page = append(page, e)
	}
	return page, next, nil
}

// Note writes an entry about something done outside the store; see hook.Desk.
func (c *Core) Note(ctx context.Context, tx Tx, n hook.AuditNote) error {
	var seq int64
	if n.Event != "" {
		var err error
		if seq, err = c.seqOf(n.Event); err != nil {
			return err
		}
	}
	no, err := c.draw(ctx, tx, 1)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (no, at, actor, action, seq, handler, generation, was, attempt, reason, object)
		VALUES ($1, $2, $3, $4, $5, '', 0, '', 0, $6, $7)`,
		no.take(), c.now(tx), n.Actor, n.Action, seq, cut(n.Reason, MaxErrorBytes), cut(n.Object, MaxErrorBytes))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
