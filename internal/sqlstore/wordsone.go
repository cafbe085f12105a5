package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

// An engine with one writer keeps the index of words in a place of its own, which
// does not commit with the database: it is behind, and after a crash or a restored
// copy it may be of another past. So it notes of what it is.

// IndexState is what an index notes of itself.
type IndexState struct {
	Lexicon  []byte
	Database []byte
	About    string // see AboutWords
	Seq      int64  // everything up to this event is in it
	Mark     []byte // of the event of that number
}

// DatabaseID tells databases apart.
func (c *Core) DatabaseID() []byte { return bytes.Clone(c.dbID[:]) }

// errOtherIndex: an index that has to be made anew.
var errOtherIndex = errors.New("the index is of another lexicon, another database or another past of it")

// CheckIndex refuses an index that is not one of this database as it is now.
func (c *Core) CheckIndex(ctx context.Context, tx Tx, s IndexState, lexicon []byte) error {
	if !bytes.Equal(s.Lexicon, lexicon) || !bytes.Equal(s.Database, c.dbID[:]) {
		return errOtherIndex
	}
	mark, err := c.markOf(ctx, tx, s.Seq)
	if err == nil && !bytes.Equal(mark, s.Mark) {
		err = errOtherIndex
	}
	return err
}

// markOf is what tells an event from another that has its number.
func (c *Core) markOf(ctx context.Context, tx Tx, seq int64) (mark []byte, err error) {
	if seq == 0 {
		return nil, nil
	}
	row := tx.QueryRowContext(ctx, `SELECT coalesce((SELECT CAST(received_at AS TEXT) || hex(sha256) FROM event_keys WHERE seq = $1), '')`, seq)
	if err := row.Scan(&mark); err != nil {
		return nil, fmt.Errorf("read the event that the index ends with: %w", err)
	}
	return mark, nil
}

// ToIndex are events on their way into an index.
type ToIndex struct {
	Events  []Indexable // newest first
	Through int64       // where the index is when they are in it
	Mark    []byte      // of that event
	Newest  int64       // event of the database
}

// Indexable is an event with its terms.
type Indexable struct {
	Seq   int64
	Terms []string
}

const nextIndexedOneSQL = `SELECT e.seq, e.size FROM events e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2`

// NextToIndex reads the next few events behind a number.
func (c *Core) NextToIndex(ctx context.Context, tx Tx, after int64, l *words.Lexicon) (next ToIndex, err error) {
	next.Through = after
	if next.Newest, err = c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM events`); err != nil || next.Newest <= after {
		return next, err
	}
	var seqs []int64
	var seq, size, total int64
	err = eachRow(ctx, tx, nextIndexedOneSQL, []any{after, maxIndexed}, []any{&seq, &size}, func() bool {
		if total += size; total > maxIndexedBytes && len(seqs) > 0 {
			return false
		}
		seqs = append(seqs, seq)
		return true
	})
	if err != nil || len(seqs) == 0 {
		return next, err
	}
	slices.Reverse(seqs)
	next.Through = seqs[0]
	if next.Events, err = c.termsOf(ctx, tx, l, seqs); err != nil {
		return next, err
	}
	next.Mark, err = c.markOf(ctx, tx, next.Through)
	return next, err
}

// NoteIndex notes that there is an index which has to be told of bodies that go, or
// that there is none any more.
func (c *Core) NoteIndex(ctx context.Context, tx Tx, there bool) error {
	note := `INSERT INTO meta (name, value) VALUES ('words', x'01') ON CONFLICT (name) DO NOTHING`
	if !there {
		if _, err := tx.ExecContext(ctx, `DELETE FROM unindexed`); err != nil {
			return fmt.Errorf("note that there is no index of words: %w", err)
		}
		note = `DELETE FROM meta WHERE name = 'words'`
	}
	if _, err := tx.ExecContext(ctx, note); err != nil {
		return fmt.Errorf("note whether there is an index of words: %w", err)
	}
	return nil
}

// Unindexed gives a few events whose bodies are gone and that the index may still
// have.
func (c *Core) Unindexed(ctx context.Context, tx Tx) (seqs []int64, err error) {
	var seq int64
	err = eachRow(ctx, tx, `SELECT seq FROM unindexed ORDER BY seq LIMIT $1`, []any{maxIndexed}, []any{&seq}, func() bool {
		seqs = append(seqs, seq)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read what is to be forgotten: %w", err)
	}
	return seqs, nil
}

// Forgotten takes events from the list of those that the index may still have.
func (c *Core) Forgotten(ctx context.Context, tx Tx, seqs []int64) error {
	return parts(c, seqs, func(part []int64) error {
		cond, args := c.in(part)
		if _, err := tx.ExecContext(ctx, `DELETE FROM unindexed WHERE seq `+cond, args...); err != nil {
			return fmt.Errorf("note what is forgotten: %w", err)
		}
		return nil
	})
}

// IndexedTo says how far an index is that ends with an event; see hook.Searcher.
func (c *Core) IndexedTo(ctx context.Context, tx Tx, at int64) (hook.Indexed, error) {
	newest, err := c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM events`)
	if err != nil {
		return hook.Indexed{}, err
	}
	n := c.indexed()
	n.Behind = min(max(newest-at, 0), hook.MaxIndexLag)
	n.Through, err = c.through(ctx, tx, at)
	return n, err
}
