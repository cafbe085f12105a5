package sqlite

import (
	"context"
	"database/sql"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// CandidatesSQL is how the index of words is asked.
const CandidatesSQL = candidatesSQL

// Step is a step of the index that is held up between reading bodies and adding
// what they give.
func Step(ctx context.Context, s *Store, between func()) error {
	s.side.step.Lock()
	defer s.side.step.Unlock()
	f := s.side.file.Load()
	var next sqlstore.ToIndex
	err := s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		next, err = s.core.NextToIndex(ctx, tx, f.cursor.Load(), s.side.lexicon)
		return err
	})
	if err != nil {
		return err
	}
	between()
	return f.add(ctx, next)
}

// Side is the index of words, for a look at its plans.
func Side(s *Store) *sql.DB { return s.side.file.Load().read }

// Hurry leaves a search of bodies no time beyond its first look.
func Hurry(s *Store) { s.core.SearchTime = 1 }
