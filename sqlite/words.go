package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

var _ hook.Searcher = (*Store)(nil)

// side is the index of words. It is a file of its own, <file>.search, so that
// neither reception nor work ever waits for it, and all of it follows from the
// database: what is missing, broken or of another lexicon is made anew.
type side struct {
	// fixed after Open
	store   *Store
	path    string
	lexicon *words.Lexicon
	about   string

	step sync.Mutex // one step at a time
	// guarded by step
	newest int64 // event at the step before
	looked time.Time

	file atomic.Pointer[sideFile] // nil: none, or not open yet
}

// Rates of reception and of what is done beside it.
const (
	busyRate  = 1000 // events a second, from which on reception has the machine to itself
	mergeStep = 400  // pages
	smallSide = 64 << 20
	mergeSoon = time.Minute    // between two rewritings of a small index that had to forget
	mergeRare = 24 * time.Hour // of a large one
)

// openWords takes up the search that Options ask for. That the index cannot be
// opened is no reason to refuse deliveries: IndexWords tries again and says why.
func (s *Store) openWords() error {
	if s.opt.Search == nil {
		return nil
	}
	lexicon, err := s.core.NewLexicon(*s.opt.Search)
	if err != nil {
		return err
	}
	s.side = &side{store: s, path: sidePath(s.path), lexicon: lexicon,
		about: sqlstore.AboutWords(lexicon, len(s.opt.Search.Key) > 0 || s.core.Encrypts())}
	if !lexicon.Empty() {
		s.core.UseWords(&sqlstore.WordIndex{Lexicon: lexicon, Candidates: s.side.candidates})
	}
	return nil
}

func sidePath(path string) string { return path + ".search" }

// IndexWords implements hook.Searcher.
func (s *Store) IndexWords(ctx context.Context) (busy bool, err error) {
	if s.side == nil {
		return false, nil
	}
	s.side.step.Lock()
	defer s.side.step.Unlock()
	select {
	case <-s.stop:
		return false, errClosed
	default:
	}
	busy, err = s.side.run(ctx)
	if broken(err) {
		s.side.throwAway()
		return true, nil // what was indexed is read again from the database
	}
	return busy, err
}

// Indexed implements hook.Searcher.
func (s *Store) Indexed(ctx context.Context) (n hook.Indexed, err error) {
	if s.side == nil || s.side.lexicon.Empty() {
		return n, nil
	}
	at := int64(0)
	if f := s.side.file.Load(); f != nil {
		at = f.cursor.Load()
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err = s.core.IndexedTo(ctx, tx, at)
		return err
	})
	return n, err
}

// SearchedTo implements hook.Searcher.
func (s *Store) SearchedTo(ctx context.Context, cursor string) (at time.Time, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at, err = s.core.SearchedTo(ctx, tx, cursor)
		return err
	})
	return at, err
}

// begin opens an index that is there, so that it is of use at once. Whatever stands
// in the way shows at the first step.
func (x *side) begin(ctx context.Context) {
	if x == nil || x.lexicon.Empty() {
		return
	}
	x.step.Lock()
	defer x.step.Unlock()
	if _, err := os.Stat(x.path); err == nil {
		_ = x.open(ctx)
	}
}

func (x *side) candidates(ctx context.Context, _ sqlstore.Tx, terms []words.Term, floor, below int64, limit int) ([]int64, int64, error) {
	f := x.file.Load()
	if f == nil { // no step has been done yet: Indexed says so
		return nil, floor, nil
	}
	return f.candidates(ctx, terms, floor, below, limit)
}

// run does one step: open, forget, index, or tidy up.
func (x *side) run(ctx context.Context) (busy bool, err error) {
	if x.lexicon.Empty() {
		return false, x.leave(ctx)
	}
	if x.file.Load() == nil {
		return true, x.open(ctx)
	}
	f := x.file.Load()
	forgotten, err := x.forget(ctx, f)
	if err != nil {
		return false, err
	}
	indexed, err := x.index(ctx, f)
	if err != nil {
		return false, err
	}
	if forgotten || indexed {
		return !x.receiving(), nil
	}
	return f.tidy(ctx, x.store.opt.Now())
}

// receiving reports whether so much is being recorded that the rest can wait.
func (x *side) receiving() bool {
	now, newest := time.Now(), x.newest
	if f := x.file.Load(); f != nil {
		newest = max(newest, f.newest)
	}
	rate := float64(newest-x.newest) / max(now.Sub(x.looked).Seconds(), 0.001)
	first := x.looked.IsZero()
	if first || now.Sub(x.looked) >= 100*time.Millisecond {
		x.newest, x.looked = newest, now
	}
	return !first && rate > busyRate
}

// forget removes the events whose bodies are gone. The index must have forgotten
// them for good before the list of them is emptied: if we die in between, they are
// forgotten again.
func (x *side) forget(ctx context.Context, f *sideFile) (done bool, err error) {
	var seqs []int64
	err = x.store.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		seqs, err = x.store.core.Unindexed(ctx, tx)
		return err
	})
	if err != nil || len(seqs) == 0 {
		return false, err
	}
	if err := f.forget(ctx, seqs); err != nil {
		return false, err
	}
	return true, x.store.submit(ctx, true, func(ctx context.Context, tx *unit) error {
		return x.store.core.Forgotten(ctx, tx, seqs)
	})
}

// index adds the next few events. A body that is removed after it was read here is
// on the list of those to forget by then, and is forgotten at the next step.
func (x *side) index(ctx context.Context, f *sideFile) (done bool, err error) {
	var next sqlstore.ToIndex
	err = x.store.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		next, err = x.store.core.NextToIndex(ctx, tx, f.cursor.Load(), x.lexicon)
		return err
	})
	if err != nil {
		return false, err
	}
	f.newest = next.Newest
	if next.Through == f.cursor.Load() {
		return false, nil
	}
	return true, f.add(ctx, next)
}

// open opens the file, or makes a new one. The database notes beforehand that there
// is an index which has to be told of bodies that go.
func (x *side) open(ctx context.Context) error {
	s := x.store
	err := s.submit(ctx, true, func(ctx context.Context, tx *unit) error { return s.core.NoteIndex(ctx, tx, true) })
	if err != nil {
		return err
	}
	f, err := openSide(x.path)
	if err != nil {
		return fmt.Errorf("open %s: %w", x.path, err)
	}
	state, err := f.state(ctx)
	if err == nil {
		err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return s.core.CheckIndex(ctx, tx, state, x.lexicon.ID())
		})
	}
	if err != nil { // it is broken, new, or of something else
		if err := f.close(); err != nil {
			return fmt.Errorf("close %s: %w", x.path, err)
		}
		if f, err = x.create(ctx); err != nil {
			return fmt.Errorf("make %s: %w", x.path, err)
		}
		state = sqlstore.IndexState{}
	}
	f.cursor.Store(state.Seq)
	x.file.Store(f)
	return nil
}

func (x *side) create(ctx context.Context) (*sideFile, error) {
	if err := removeSide(x.path); err != nil {
		return nil, err
	}
	f, err := openSide(x.path)
	if err != nil {
		return nil, err
	}
	if err := f.create(ctx, x.lexicon.ID(), x.store.core.DatabaseID(), x.about); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// throwAway forgets the file, which is made anew at the next step.
func (x *side) throwAway() {
	if f := x.file.Swap(nil); f != nil {
		_ = f.close() // it is broken
	}
	_ = removeSide(x.path) // what stays is refused when it is opened, or found broken again
}

// leave removes what an earlier configuration has left.
func (x *side) leave(ctx context.Context) error {
	s := x.store
	if _, err := os.Stat(x.path); err != nil {
		return nil
	}
	if err := removeSide(x.path); err != nil {
		return err
	}
	return s.submit(ctx, true, func(ctx context.Context, tx *unit) error { return s.core.NoteIndex(ctx, tx, false) })
}

func (x *side) close() error {
	if x == nil {
		return nil
	}
	x.step.Lock()
	defer x.step.Unlock()
	if f := x.file.Swap(nil); f != nil {
		return f.close()
	}
	return nil
}

// removeSide removes the file and its companions.
func removeSide(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Result codes of a file that is not what it should be.
const (
	codeCorrupt, codeNotADatabase = 11, 26
)

func broken(err error) bool {
	switch resultCode(err) & 0xff {
	case codeCorrupt, codeNotADatabase:
		return true
	}
	return false
}
