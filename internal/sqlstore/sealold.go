package sqlstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of one step of sealing old rows.
const (
	lookedAtOnce  = 2000    // events whose headers are looked at
	sealedAtOnce  = 200     // of them sealed, and
	sealedBytes   = 4 << 20 // of their bodies
	besideAtOnce  = 8       // conflicts, whose bodies may be large
	refusedAtOnce = 64      // rejections
)

// plainRow is a row that was stored before encryption was on, sealed in memory.
type plainRow struct {
	was           []byte // its headers: it is written only if they still are
	headers, body []byte // sealed; body nil: it is gone
	seq           int64  // or id
	sum           []byte // of a conflict
	kind          byte
}

// The order in which rows are sealed; a cursor begins with its kind.
const (
	kindEvent    = 'e'
	kindConflict = 'c'
	kindRejected = 'r'
)

// OldRows are rows that a step has found and sealed in memory.
type OldRows struct {
	rows []plainRow
	Step hook.SealStep
}

// FindPlain looks at some rows behind a cursor and seals those that are plain, in
// memory; it only reads. SealRows writes them.
func (c *Core) FindPlain(ctx context.Context, tx Tx, cursor string) (*OldRows, error) {
	if c.ring == nil {
		return nil, errNotEncrypted("seal old rows")
	}
	kind, at, sum, err := readSealCursor(cursor)
	if err != nil {
		return nil, err
	}
	old := &OldRows{}
	switch kind {
	case kindEvent:
		err = c.plainEvents(ctx, tx, at, old)
	case kindConflict:
		err = c.plainConflicts(ctx, tx, at, sum, old)
	default:
		err = c.plainRejections(ctx, tx, at, old)
	}
	if err != nil {
		return nil, fmt.Errorf("seal old rows: %w", err)
	}
	return old, nil
}

func readSealCursor(cursor string) (kind byte, at int64, sum []byte, err error) {
	if cursor == "" {
		return kindEvent, 0, nil, nil
	}
	number, coded, _ := strings.Cut(cursor[1:], ".")
	if at, err = strconv.ParseInt(number, 10, 64); err == nil {
		sum, err = hex.DecodeString(coded)
	}
	if kind = cursor[0]; err != nil || kind != kindEvent && kind != kindConflict && kind != kindRejected {
		return 0, 0, nil, fmt.Errorf("seal cursor %.80q: begin without one: %w", cursor, hook.ErrBadFilter)
	}
	return kind, at, sum, nil
}

// plainEvents looks at headers first: whoever begins again passes over what is
// sealed without reading a body.
func (c *Core) plainEvents(ctx context.Context, tx Tx, after int64, old *OldRows) error {
	var seq, size, bytes int64
	var head []byte
	var seqs []int64
	full := false
	err := eachRow(ctx, tx, `SELECT seq, size, substr(headers, 1, 1) FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`,
		[]any{after, lookedAtOnce}, []any{&seq, &size, &head}, func() bool {
			if !isSealed(head) {
				if full = len(seqs) == sealedAtOnce || bytes+size > sealedBytes && len(seqs) > 0; full {
					return false
				}
				seqs, bytes = append(seqs, seq), bytes+size
			}
			after, old.Step.Looked = seq, old.Step.Looked+1
			return true
		})
	if err != nil {
		return err
	}
	old.Step.Next = string(kindEvent) + strconv.FormatInt(after, 10)
	if !full && old.Step.Looked < lookedAtOnce {
		old.Step.Next = string(kindConflict) + "0."
	}
	return parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		var k eventKey
		var headers, body []byte
		var sealErr error
		err := eachRow(ctx, tx, `SELECT k.seq, k.source, k.mode, k.key, e.headers, b.body FROM event_keys k
			JOIN events e ON e.seq = k.seq LEFT JOIN bodies b ON b.seq = k.seq WHERE k.seq `+in, args,
			[]any{&seq, &k.source, &k.mode, &k.key, &headers, &body}, func() bool {
				sealErr = c.addPlain(old, plainRow{kind: kindEvent, seq: seq}, k.place(), headers, body)
				return sealErr == nil
			})
		if err == nil {
			err = sealErr
		}
		return err
	})
}

// addPlain seals a row in memory. body is nil where it is gone.
func (c *Core) addPlain(old *OldRows, row plainRow, place, headers, body []byte) (err error) {
	row.was = append([]byte{}, headers...)
	if row.headers, row.body, err = c.close(place, headers, body); err != nil {
		return err
	}
	if body == nil {
		row.body = nil
	}
	old.rows = append(old.rows, row)
	return nil
}

func (c *Core) plainConflicts(ctx context.Context, tx Tx, after int64, sum []byte, old *OldRows) error {
	var k eventKey
	var headers, body []byte
	var sealErr error
	if sum == nil {
		sum = []byte{}
	}
	err := eachRow(ctx, tx, `SELECT x.seq, x.sha256, k.source, k.mode, k.key, x.headers, x.body
		FROM conflicts x JOIN event_keys k ON k.seq = x.seq
		WHERE (x.seq, x.sha256) > ($1, $2) ORDER BY x.seq, x.sha256 LIMIT $3`, []any{after, sum, besideAtOnce},
		[]any{&after, &sum, &k.source, &k.mode, &k.key, &headers, &body}, func() bool {
			old.Step.Looked++
			if !isSealed(headers) {
				row := plainRow{kind: kindConflict, seq: after, sum: append([]byte{}, sum...)}
				sealErr = c.addPlain(old, row, conflictPlace(k, sum), headers, body)
			}
			return sealErr == nil
		})
	if err == nil {
		err = sealErr
	}
	old.Step.Next = string(kindConflict) + strconv.FormatInt(after, 10) + "." + hex.EncodeToString(sum)
	if old.Step.Looked < besideAtOnce {
		old.Step.Next = string(kindRejected) + "0"
	}
	return err
}

func (c *Core) plainRejections(ctx context.Context, tx Tx, after int64, old *OldRows) error {
	var at int64
	var source string
	var headers, body []byte
	var sealErr error
	err := eachRow(ctx, tx, `SELECT id, at, source, headers, body FROM rejections WHERE id > $1 ORDER BY id LIMIT $2`,
		[]any{after, refusedAtOnce}, []any{&after, &at, &source, &headers, &body}, func() bool {
			old.Step.Looked++
			if !isSealed(headers) {
				sealErr = c.addPlain(old, plainRow{kind: kindRejected, seq: after}, rejectionPlace(source, at), headers, body)
			}
			return sealErr == nil
		})
	if err == nil {
		err = sealErr
	}
	if old.Step.Looked == refusedAtOnce {
		old.Step.Next = string(kindRejected) + strconv.FormatInt(after, 10)
	}
	return err
}

// ForgetWordsMany empties an index of words that was made of plain bodies: the next
// node that starts makes it anew. One whose hashes have a key tells nothing, and stays.
func (c *Core) ForgetWordsMany(ctx context.Context, tx Tx) error {
	s, err := c.wordsState(ctx, tx)
	if err != nil {
		return err
	}
	var about aboutWords
	if json.Unmarshal([]byte(s.about), &about) == nil && about.Keyed && !about.Words {
		return nil
	}
	for _, statement := range []string{`TRUNCATE event_words`, `DELETE FROM words_state`} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("forget words: %w", err)
		}
	}
	return nil
}

// SealRows writes what FindPlain has sealed, where nobody has meanwhile. If we die
// before the commit the rows are as they were.
func (c *Core) SealRows(ctx context.Context, tx Tx, old *OldRows) error {
	old.Step.Sealed = 0
	for _, r := range old.rows {
		done, err := c.sealRow(ctx, tx, r)
		if err != nil {
			return fmt.Errorf("seal old rows: %w", err)
		}
		old.Step.Sealed += int(done)
	}
	return nil
}

func (c *Core) sealRow(ctx context.Context, tx Tx, r plainRow) (int64, error) {
	statement, args := `UPDATE events SET headers = $1 WHERE seq = $2 AND headers = $3`, []any{r.headers, r.seq, r.was}
	switch r.kind {
	case kindConflict:
		statement, args = `UPDATE conflicts SET headers = $1, body = $2 WHERE seq = $3 AND sha256 = $4 AND headers = $5`,
			[]any{r.headers, r.body, r.seq, r.sum, r.was}
	case kindRejected:
		statement, args = `UPDATE rejections SET headers = $1, body = $2 WHERE id = $3 AND headers = $4`,
			[]any{r.headers, r.body, r.seq, r.was}
	}
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 || r.kind != kindEvent {
		return n, err
	}
	if r.body == nil {
		return n, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE bodies SET body = $1 WHERE seq = $2`, r.body, r.seq)
	return n, err
}
