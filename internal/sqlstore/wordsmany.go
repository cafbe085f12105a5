package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

// newestRows are looked through one by one before the index is asked. If one in
// oftenIn of them has the words, so it goes on: the index would first give all that
// have them, however few are wanted.
const (
	newestRows = 1000
	oftenIn    = 100
)

// The statements of a search with several writers; their plans are tested. The
// second leaves out older partitions, and hides the numbers that are meant from the
// index of numbers, by which a server without statistics would rather go: what is
// rare is found by its words alone.
const (
	newestManySQL = `SELECT count(*), coalesce(min(seq), 0),
			coalesce(array_to_string(array_agg(seq ORDER BY seq DESC) FILTER (WHERE terms @@ $1::tsquery AND seq >= $2), ' '), '')
		FROM (SELECT seq, terms FROM event_words WHERE seq < $3 ORDER BY seq DESC LIMIT $4) AS newest`
	candidatesManySQL = `WITH found AS MATERIALIZED (SELECT seq FROM event_words
			WHERE terms @@ $1::tsquery AND seq >= $2 AND seq + 0 >= $3 AND seq + 0 < $4)
		SELECT seq FROM found ORDER BY seq DESC LIMIT $5`
)

// CandidatesMany implements WordIndex.Candidates where the database has the index.
func (c *Core) CandidatesMany(ctx context.Context, tx Tx, terms []words.Term, floor, below int64, limit int) (list []int64, low int64, err error) {
	ask := tsquery(terms)
	var n int
	var text string
	row := tx.QueryRowContext(ctx, newestManySQL, ask, floor, below, newestRows)
	if err := row.Scan(&n, &low, &text); err != nil {
		return nil, 0, fmt.Errorf("look up words: %w", err)
	}
	for one := range strings.FieldsSeq(text) {
		seq, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("look up words: %w", err)
		}
		list = append(list, seq)
	}
	switch {
	case len(list) >= limit:
		return list[:limit], list[limit-1], nil
	case n < newestRows || low <= floor:
		return list, floor, nil
	case len(list)*oftenIn >= n:
		return list, low, nil
	}
	var seq int64
	args := []any{ask, weekOf(floor), floor, low, limit - len(list)}
	err = eachRow(ctx, tx, candidatesManySQL, args, []any{&seq}, func() bool {
		list = append(list, seq)
		return true
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look up words: %w", err)
	}
	if len(list) == limit {
		return list, list[limit-1], nil
	}
	return list, floor, nil
}

// seqsAWeek are the numbers of one partition of words.
const seqsAWeek = 7 * seqsADay

// weekOf is the first number of the partition that a number is in.
func weekOf(seq int64) int64 { return seq / seqsAWeek * seqsAWeek }

// tsquery writes terms so that all of them must occur. Terms hold no quotes, but
// nothing depends on it.
func tsquery(terms []words.Term) string {
	all := make([]string, len(terms))
	for i, t := range terms {
		all[i] = `'` + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(t.Text) + `'`
		if t.Prefix {
			all[i] += `:*`
		}
	}
	return strings.Join(all, ` & `)
}

// aboutWords is what readers need to know of a lexicon, as it is stored.
type aboutWords struct {
	Words bool     `json:"words"`
	Paths []string `json:"paths,omitempty"`
	Keyed bool     `json:"keyed,omitempty"` // the hashes have a key, which is not stored
}

// AboutWords writes what a reader without a configuration needs to know.
func AboutWords(l *words.Lexicon, keyed bool) string {
	text, err := json.Marshal(aboutWords{l.Words(), l.Paths(), keyed})
	if err != nil {
		panic(err) // a struct of texts
	}
	return string(text)
}

// ErrKeyedIndex: without the key of the hashes nothing can be looked up.
var ErrKeyedIndex = errors.New("the index is hashed with a key that only the server has: ask it, with --operator")

// LexiconAbout is the lexicon of a reader, from what AboutWords wrote and the id
// that is stored beside it; ErrKeyedIndex where the reader lacks the key.
func (c *Core) LexiconAbout(text string, id []byte) (*words.Lexicon, error) {
	var about aboutWords
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		return nil, fmt.Errorf("read about the index of words: %w", err)
	}
	l, err := c.NewLexicon(hook.Search{Words: about.Words, Paths: about.Paths})
	if err != nil || bytes.Equal(l.ID(), id) {
		return l, err
	}
	if about.Keyed {
		return nil, ErrKeyedIndex
	}
	return nil, errOtherIndex
}

// wordsState is how far the index is.
type wordsState struct {
	lexicon []byte
	about   string
	at      position
}

func (c *Core) wordsState(ctx context.Context, tx Tx) (s wordsState, err error) {
	err = tx.QueryRowContext(ctx, `SELECT lexicon, about, xid, seq FROM words_state`).Scan(&s.lexicon, &s.about, &s.at.xid, &s.at.seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("read how far the index of words is: %w", err)
	}
	return s, nil
}

// ReadWordsMany lets a reader search by the index that nodes fill.
func (c *Core) ReadWordsMany(ctx context.Context, tx Tx) error {
	s, err := c.wordsState(ctx, tx)
	if err != nil || s.about == "" {
		return err
	}
	w := &WordIndex{Candidates: c.CandidatesMany}
	if w.Lexicon, err = c.LexiconAbout(s.about, s.lexicon); err != nil {
		w.Missing = err
	}
	c.UseWords(w)
	return nil
}

// ErrOtherLexicon is inside the error of a node whose configuration of the search
// is not the one by which the index is filled: that of the node that started last.
var ErrOtherLexicon = errors.New("another node keeps the index of words by another configuration of search: give all nodes the same")

// BeginWordsMany gives the index to the lexicon of a node that has started: one of
// another lexicon is emptied, to be filled anew. If we die before the commit it is
// what it was.
func (c *Core) BeginWordsMany(ctx context.Context, tx Tx, l *words.Lexicon, about string) error {
	if err := lock(ctx, tx, wordsLock); err != nil {
		return err
	}
	s, err := c.wordsState(ctx, tx)
	if err != nil || bytes.Equal(s.lexicon, l.ID()) || s.lexicon == nil && l.Empty() {
		return err
	}
	if _, err := tx.ExecContext(ctx, `TRUNCATE event_words`); err != nil {
		return fmt.Errorf("empty the index of words: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO words_state (one, lexicon, about, xid, seq) VALUES (1, $1, $2, 0, 0)
		ON CONFLICT (one) DO UPDATE SET lexicon = excluded.lexicon, about = excluded.about, xid = 0, seq = 0`, l.ID(), about)
	if err != nil {
		return fmt.Errorf("begin the index of words: %w", err)
	}
	return nil
}

// IndexMany fills the index with the next few events, in the order of (xid, seq),
// up to the oldest transaction that is still open. Rows and the place to go on from
// commit together: if we die before, the same events are looked through again. busy
// says that there may be more. A body that is being removed is waited for by whoever
// removes it; see Unindex.
func (c *Core) IndexMany(ctx context.Context, tx Tx, l *words.Lexicon) (busy bool, err error) {
	mine, err := tryLock(ctx, tx, wordsLock)
	if err != nil || !mine {
		return false, err
	}
	state, err := c.wordsState(ctx, tx)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(state.lexicon, l.ID()) {
		return false, ErrOtherLexicon
	}
	edge, err := c.Edge(ctx, tx)
	if err != nil {
		return false, err
	}
	seqs, to, more, err := c.nextIndexed(ctx, tx, state.at, edge)
	if err != nil || len(seqs) == 0 {
		return false, err
	}
	all, err := c.termsOf(ctx, tx, l, seqs)
	if err != nil {
		return false, err
	}
	if len(all) > 0 {
		found, texts := make([]int64, len(all)), make([]string, len(all))
		for i, e := range all {
			found[i], texts[i] = e.Seq, strings.Join(e.Terms, " ")
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO event_words (seq, terms)
			SELECT u.seq, array_to_tsvector(string_to_array(u.terms, ' ')) FROM unnest($1::bigint[], $2::text[]) AS u(seq, terms)
			ON CONFLICT (seq) DO UPDATE SET terms = excluded.terms`, found, texts)
		if err != nil {
			return false, fmt.Errorf("index words: %w", err)
		}
	}
	if _, err = tx.ExecContext(ctx, `UPDATE words_state SET xid = $1, seq = $2`, to.xid, to.seq); err != nil {
		return false, fmt.Errorf("index words: %w", err)
	}
	return more, nil
}

const nextIndexedSQL = `SELECT k.xid, k.seq, coalesce((SELECT e.size FROM events e WHERE e.seq = k.seq), 0)
	FROM event_keys k WHERE k.xid < $1 AND (k.xid, k.seq) > ($2, $3) ORDER BY k.xid, k.seq LIMIT $4`

// nextIndexed gives the events of one step, and the place behind them.
func (c *Core) nextIndexed(ctx context.Context, tx Tx, at position, edge int64) (seqs []int64, to position, more bool, err error) {
	var next position
	var size, bytes int64
	err = eachRow(ctx, tx, nextIndexedSQL, []any{edge, at.xid, at.seq, maxIndexed / 2}, []any{&next.xid, &next.seq, &size}, func() bool {
		if bytes += size; bytes > maxIndexedBytes && len(seqs) > 0 {
			more = true
			return false
		}
		seqs, to = append(seqs, next.seq), next
		return true
	})
	if err != nil {
		return nil, to, false, fmt.Errorf("read what is to be indexed: %w", err)
	}
	return seqs, to, more || len(seqs) == maxIndexed/2, nil
}

// IndexedMany says how far the index is; see hook.Searcher.
func (c *Core) IndexedMany(ctx context.Context, tx Tx) (hook.Indexed, error) {
	s, err := c.wordsState(ctx, tx)
	if err != nil {
		return hook.Indexed{}, err
	}
	n := c.indexed()
	n.Behind, err = c.scanSeq(ctx, tx, behindManySQL, s.at.xid, s.at.seq, hook.MaxIndexLag)
	if err == nil {
		n.Through, err = c.through(ctx, tx, s.at.seq)
	}
	return n, err
}

const behindManySQL = `SELECT count(*) FROM (SELECT 1 FROM event_keys WHERE (xid, seq) > ($1, $2) ORDER BY xid, seq LIMIT $3) AS behind`

// indexed says what can be searched.
func (c *Core) indexed() hook.Indexed {
	w := c.words.Load()
	if w == nil {
		return hook.Indexed{}
	}
	return hook.Indexed{Words: w.Lexicon.Words(), Paths: slices.Clip(w.Lexicon.Paths())}
}

// through is when the event of that number came; zero if there is none.
func (c *Core) through(ctx context.Context, tx Tx, seq int64) (t time.Time, err error) {
	us, err := c.scanSeq(ctx, tx, `SELECT coalesce((SELECT received_at FROM event_keys WHERE seq = $1), 0)`, seq)
	if us > 0 {
		t = fromMicros(us)
	}
	return t, err
}
