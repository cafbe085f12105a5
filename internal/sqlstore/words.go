package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

// wordsLock is held by whoever fills the index of words, alone, and by those who
// remove bodies, together.
const wordsLock = "words"

// Unindex makes the index of words forget events. Whoever removes a body calls it
// in the same transaction, last: if we die before the commit the body is still
// there, and after it no search finds it any more.
//
// With several writers a body may just be on its way into the index. Whoever fills
// it holds the lock from before it reads a body until its rows are committed; so
// either those rows are there to be deleted, or the body is gone when it is read.
func (c *Core) Unindex(ctx context.Context, tx Tx, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	if c.Many {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, LockKeys(wordsLock)[0]); err != nil {
			return fmt.Errorf("wait for the index of words: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM event_words WHERE seq = ANY($1::bigint[])`, seqs); err != nil {
			return fmt.Errorf("remove words: %w", err)
		}
		return nil
	}
	return chunks(seqs, func(part []int64) error {
		args := make([]any, len(part))
		for i, seq := range part {
			args[i] = seq
		}
		// Without an index there is nothing to forget, and nobody to empty the table.
		_, err := tx.ExecContext(ctx, `INSERT INTO unindexed (seq) SELECT column1 FROM (VALUES `+values(len(part), 1)+`)
			WHERE EXISTS (SELECT 1 FROM meta WHERE name = 'words') ON CONFLICT DO NOTHING`, args...)
		if err != nil {
			return fmt.Errorf("remove words: %w", err)
		}
		return nil
	})
}

// WordIndex is what a search of bodies goes by.
type WordIndex struct {
	Missing error // why there is none; nil otherwise
	Lexicon *words.Lexicon
	// Candidates gives the numbers of events in floor <= number < below that have
	// all terms, newest first, at most limit, and how far down it has looked.
	Candidates func(ctx context.Context, tx Tx, terms []words.Term, floor, below int64, limit int) (list []int64, low int64, err error)
}

// UseWords lets bodies be searched from now on; nil ends it.
func (c *Core) UseWords(w *WordIndex) { c.words.Store(w) }

// NewLexicon is the lexicon of a process. Where bodies are encrypted it has no
// words, and hashes that cannot be guessed at. Call it after Load.
func (c *Core) NewLexicon(s hook.Search) (*words.Lexicon, error) {
	if !c.Encrypts() {
		return words.New(s.Words, s.Paths, s.Key)
	}
	key := s.Key
	if len(key) == 0 {
		key = c.SearchKey()
	}
	return words.New(false, s.Paths, key)
}

// Bounds of one step of whoever fills the index.
const (
	maxIndexed      = 512     // events; half of them where others may wait for the lock
	maxIndexedBytes = 4 << 20 // of bodies; one is taken however large it is
)

// bodiesSQL reads bodies with what they are known and opened by, which is looked up
// row by row.
const bodiesSQL = `SELECT b.seq, b.body,
		coalesce((SELECT k.source FROM event_keys k WHERE k.seq = b.seq), ''),
		coalesce((SELECT k.mode FROM event_keys k WHERE k.seq = b.seq), ''),
		coalesce((SELECT k.key FROM event_keys k WHERE k.seq = b.seq), ''),
		coalesce((SELECT e.type FROM events e WHERE e.seq = b.seq), ''),
		(SELECT substr(e.headers, 1, 1) FROM events e WHERE e.seq = b.seq)
	FROM bodies b WHERE b.seq `

// plainBodiesSQL does where nothing is asked but the body, and none is sealed.
const plainBodiesSQL = `SELECT b.seq, b.body, '', '', '', '', NULL FROM bodies b WHERE b.seq `

// stored is a body that was read.
type stored struct {
	seq  int64
	body []byte
	key  eventKey
	kind string
}

// eachBody reads bodies, newest first, until take says false.
func (c *Core) eachBody(ctx context.Context, tx Tx, query string, seqs []int64, take func(*stored) bool) error {
	if c.Encrypts() {
		query = bodiesSQL
	}
	going := true
	return parts(c, seqs, func(part []int64) error {
		if !going {
			return nil
		}
		cond, args := c.in(part)
		var b stored
		var first []byte
		var failed error
		into := []any{&b.seq, &b.body, &b.key.source, &b.key.mode, &b.key.key, &b.kind, &first}
		err := eachRow(ctx, tx, query+cond+` ORDER BY b.seq DESC`, args, into, func() bool {
			if isSealed(first) && c.Encrypts() {
				b.body, failed = c.ring.Open(sealBody, b.key.place(), b.body)
			}
			going = failed == nil && take(&b)
			return going
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return fmt.Errorf("read bodies: %w", err)
		}
		return nil
	})
}

// termsOf reads bodies and gives what each event can be found by. An event whose
// body is gone is not among them.
func (c *Core) termsOf(ctx context.Context, tx Tx, l *words.Lexicon, seqs []int64) (found []Indexable, err error) {
	err = c.eachBody(ctx, tx, bodiesSQL, seqs, func(b *stored) bool {
		terms := append(l.Terms(b.body), l.Tag("source", b.key.source).Text, l.Tag("type", b.kind).Text)
		found = append(found, Indexable{b.seq, terms})
		return true
	})
	return found, err
}

// tags are the conditions of a filter that the index knows too.
func tags(l *words.Lexicon, f hook.Filter) (terms []words.Term) {
	if f.Source != "" {
		terms = append(terms, l.Tag("source", f.Source))
	}
	if f.Type != "" && !strings.ContainsAny(f.Type, "*,") {
		terms = append(terms, l.Tag("type", strings.TrimSpace(f.Type)))
	}
	return terms
}
