package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

var _ hook.Searcher = (*Store)(nil)

// indexing is this node's part in filling the index of words.
type indexing struct {
	// fixed after Open
	lexicon *words.Lexicon // nil: none
	about   string

	mu    sync.Mutex // one step at a time
	begun bool       // guarded by mu: the index is of our lexicon, or was until another node took it
}

// openWords takes up the search that Options ask for.
func (s *Store) openWords() error {
	if s.opt.Search == nil {
		return nil
	}
	lexicon, err := s.core.NewLexicon(*s.opt.Search)
	if err != nil {
		return err
	}
	s.indexing.lexicon = lexicon
	s.indexing.about = sqlstore.AboutWords(lexicon, len(s.opt.Search.Key) > 0 || s.core.Encrypts())
	if !lexicon.Empty() {
		s.core.UseWords(&sqlstore.WordIndex{Lexicon: lexicon, Candidates: s.core.CandidatesMany})
	}
	return nil
}

// indexLimit bounds one statement of a step: emptying an index, or bodies of many
// megabytes.
const indexLimit = 30 * time.Second

// IndexWords implements hook.Searcher. Of several nodes one does a step at a time;
// the others find the lock taken and nothing to do.
func (s *Store) IndexWords(ctx context.Context) (busy bool, err error) {
	x := &s.indexing
	if x.lexicon == nil {
		return false, nil
	}
	if s.isClosed() {
		return false, errClosed
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.begun {
		err := s.transact(ctx, s.work, transaction{limit: indexLimit}, func(ctx context.Context, tx *unit) error {
			return s.core.BeginWordsMany(ctx, tx, x.lexicon, x.about)
		})
		if err != nil {
			return false, err
		}
		x.begun = true
	}
	if x.lexicon.Empty() {
		return false, nil
	}
	err = s.transact(ctx, s.work, transaction{limit: indexLimit}, func(ctx context.Context, tx *unit) error {
		busy, err = s.core.IndexMany(ctx, tx, x.lexicon)
		return err
	})
	return busy, err
}

// Indexed implements hook.Searcher.
func (s *Store) Indexed(ctx context.Context) (n hook.Indexed, err error) {
	if s.indexing.lexicon == nil || s.indexing.lexicon.Empty() {
		return n, nil
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		n, err = s.core.IndexedMany(ctx, tx)
		return err
	})
	return n, err
}

// SearchedTo implements hook.Searcher.
func (s *Store) SearchedTo(ctx context.Context, cursor string) (at time.Time, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		at, err = s.core.SearchedTo(ctx, tx, cursor)
		return err
	})
	return at, err
}
