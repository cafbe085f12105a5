package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

// sideFile is an open index of words.
type sideFile struct {
	path   string
	write  *sql.DB // one connection
	read   *sql.DB
	cursor atomic.Int64 // everything up to this event is in it

	newest int64 // owned by whoever does a step: the newest event that it has seen
}

// sideSchema: the table holds terms only, none of a body, and no places of words;
// its tokenizer takes what a lexicon gives as it is.
const sideSchema = `
	CREATE TABLE state (
		one      INTEGER PRIMARY KEY CHECK (one = 1),
		lexicon  BLOB NOT NULL,
		database BLOB NOT NULL,
		about    TEXT NOT NULL,
		seq      INTEGER NOT NULL DEFAULT 0,
		mark     BLOB NOT NULL DEFAULT x'',
		dirty    INTEGER NOT NULL DEFAULT 0,
		tidied   INTEGER NOT NULL DEFAULT 0
	);
	CREATE VIRTUAL TABLE words USING fts5 (terms, content='', contentless_delete=1, detail=none,
		tokenize="ascii tokenchars '_='");`

func openSide(path string) (*sideFile, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	// NORMAL: a power cut may take the newest steps, and the cursor with them.
	// secure_delete: what is forgotten does not stay in pages that are free.
	write, err := sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=page_size(8192)", "_pragma=journal_mode(WAL)",
		"_pragma=synchronous(NORMAL)", "_pragma=secure_delete(1)", cacheOf(wordsCache)))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	f, err := openSideReader(path)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	f.write = write
	return f, nil
}

func openSideReader(path string) (*sideFile, error) {
	read, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)", cacheOf(readerCache)))
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(2)
	return &sideFile{path: path, read: read}, nil
}

func (f *sideFile) close() error {
	err := f.read.Close()
	if f.write != nil {
		err = errors.Join(err, f.write.Close())
	}
	return err
}

func (f *sideFile) create(ctx context.Context, lexicon, database []byte, about string) error {
	return f.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sideSchema); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO state (one, lexicon, database, about) VALUES (1, $1, $2, $3)`, lexicon, database, about)
		return err
	})
}

func (f *sideFile) state(ctx context.Context) (s sqlstore.IndexState, err error) {
	err = f.read.QueryRowContext(ctx, `SELECT lexicon, database, about, seq, mark FROM state`).
		Scan(&s.Lexicon, &s.Database, &s.About, &s.Seq, &s.Mark)
	return s, err
}

func (f *sideFile) transact(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: commit: %w", f.path, err)
	}
	return nil
}

// add indexes events, and moves the cursor with them.
func (f *sideFile) add(ctx context.Context, next sqlstore.ToIndex) error {
	err := f.transact(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO words (rowid, terms) VALUES ($1, $2)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, e := range slices.Backward(next.Events) { // in the order of their numbers
			if _, err := insert.ExecContext(ctx, e.Seq, strings.Join(e.Terms, " ")); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE state SET seq = $1, mark = $2`, next.Through, next.Mark)
		return err
	})
	if err == nil {
		f.cursor.Store(next.Through)
	}
	return err
}

// forget removes events, for good when it returns.
func (f *sideFile) forget(ctx context.Context, seqs []int64) error {
	if _, err := f.write.ExecContext(ctx, `PRAGMA synchronous = FULL`); err != nil {
		return err
	}
	defer func() { _, _ = f.write.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = NORMAL`) }()
	return f.transact(ctx, func(tx *sql.Tx) error {
		remove, err := tx.PrepareContext(ctx, `DELETE FROM words WHERE rowid = $1`)
		if err != nil {
			return err
		}
		defer remove.Close()
		for _, seq := range seqs {
			if _, err := remove.ExecContext(ctx, seq); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE state SET dirty = 1 WHERE dirty = 0`)
		return err
	})
}

// tidy rewrites an index that had to forget, a few pages at a time, so that the
// words of what is forgotten leave the file too. dirty is 1 before it begins, 2
// while it goes on.
func (f *sideFile) tidy(ctx context.Context, now time.Time) (busy bool, err error) {
	var dirty, tidied, size int64
	err = f.write.QueryRowContext(ctx, `SELECT dirty, tidied, (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)
		FROM state`).Scan(&dirty, &tidied, &size)
	if err != nil || dirty == 0 {
		return false, err
	}
	pause := mergeSoon
	if size > smallSide {
		pause = mergeRare
	}
	if dirty == 1 && tidied > now.Add(-pause).UnixMicro() {
		return false, nil
	}
	done := false
	err = f.transact(ctx, func(tx *sql.Tx) error {
		step := mergeStep
		if dirty == 1 {
			step = -mergeStep // all of it, from the beginning
		}
		before, err := changes(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO words (words, rank) VALUES ('merge', $1)`, step); err != nil {
			return err
		}
		after, err := changes(ctx, tx)
		if err != nil {
			return err
		}
		if done = after-before < 2; done {
			_, err = tx.ExecContext(ctx, `UPDATE state SET dirty = 0, tidied = $1`, now.UnixMicro())
		} else if dirty == 1 {
			_, err = tx.ExecContext(ctx, `UPDATE state SET dirty = 2`)
		}
		return err
	})
	if err != nil || !done {
		return err == nil, err
	}
	_, err = f.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`) // the log still has it
	return false, err
}

func changes(ctx context.Context, tx *sql.Tx) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT total_changes()`).Scan(&n)
	return n, err
}

// candidatesSQL goes through the numbers backwards, as the index can.
const candidatesSQL = `SELECT rowid FROM words WHERE words MATCH $1 AND rowid >= $2 AND rowid < $3 ORDER BY rowid DESC LIMIT $4`

func (f *sideFile) candidates(ctx context.Context, terms []words.Term, floor, below int64, limit int) (list []int64, low int64, err error) {
	bounded, cancel := context.WithTimeout(ctx, candidatesTime)
	defer cancel()
	list, err = f.lookUp(bounded, match(terms), floor, below, limit)
	switch {
	case err == nil && len(list) == limit:
		return list, list[limit-1], nil
	case err == nil:
		return list, floor, nil
	case ctx.Err() == nil && bounded.Err() != nil:
		return nil, 0, fmt.Errorf("this %w: too many words begin so, write more of them: %w", words.ErrQuery, hook.ErrBadFilter)
	}
	return nil, 0, fmt.Errorf("look up words: %w", err)
}

// candidatesTime bounds one look into the index, which first gathers all words of a
// prefix.
const candidatesTime = time.Second

func (f *sideFile) lookUp(ctx context.Context, ask string, floor, below int64, limit int) (list []int64, err error) {
	rows, err := f.read.QueryContext(ctx, candidatesSQL, ask, floor, below, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		list = append(list, seq)
	}
	return list, rows.Err()
}

// match writes terms so that all of them must occur. Terms hold no quotes, but
// nothing depends on it.
func match(terms []words.Term) string {
	all := make([]string, len(terms))
	for i, t := range terms {
		all[i] = `"` + strings.ReplaceAll(t.Text, `"`, `""`) + `"`
		if t.Prefix {
			all[i] += ` *`
		}
	}
	return strings.Join(all, " AND ")
}

// errNoSide: a reader cannot make what a server makes.
var errNoSide = errors.New("no index of words stands beside the database: start the server with search on, or ask it, with --operator")

// openSide lets the reader search by the index of a server that runs, or has run.
func (r *Reader) openSide(ctx context.Context) {
	index := &sqlstore.WordIndex{Missing: errNoSide}
	r.core.UseWords(index)
	path := sidePath(r.path)
	if _, err := os.Stat(path); err != nil {
		return
	}
	f, err := openSideReader(path)
	if err != nil {
		return
	}
	state, err := f.state(ctx)
	if err == nil {
		err = r.core.CheckIndex(ctx, r.db, state, state.Lexicon)
	}
	if err != nil {
		_ = f.close() // it is broken, or being made; nothing was written
		return
	}
	lexicon, err := r.core.LexiconAbout(state.About, state.Lexicon)
	if err != nil {
		_ = f.close()
		r.core.UseWords(&sqlstore.WordIndex{Missing: err})
		return
	}
	r.side = f
	r.core.UseWords(&sqlstore.WordIndex{Lexicon: lexicon,
		Candidates: func(ctx context.Context, _ sqlstore.Tx, terms []words.Term, floor, below int64, limit int) ([]int64, int64, error) {
			return f.candidates(ctx, terms, floor, below, limit)
		}})
}
