package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

// A search of bodies takes candidates from the index of words, newest first, a
// stretch of the log at a time, leaves out what the rest of the filter does not
// want, and reads the bodies of what is left: neither a hash that two values share
// nor what the index has not forgotten yet ever shows an event. It ends when it has
// enough or its time is up, and says how far it came.

// Bounds of a search of bodies.
const (
	searchTime   = 150 * time.Millisecond
	lookTime     = 30 * time.Millisecond // at least, for bodies of what was found
	firstStretch = 1 << 17               // numbers of events
	quickStretch = 20 * time.Millisecond
	slowStretch  = 60 * time.Millisecond
	maxSift      = 1024 // candidates at a time
)

// bodySearch is one search of bodies.
type bodySearch struct {
	c     *Core
	index *WordIndex
	query *words.Query
	terms []words.Term // of the query, and of the rest where the index knows it
	rest  hook.Filter  // without what the bodies must have
	limit int

	list []int64 // found, newest first
	mark int64   // everything from here on was looked at
}

// ofBodies reports whether a filter looks into bodies.
func ofBodies(f hook.Filter) bool { return f.Words != "" || f.Path != "" || f.Value != "" }

// foundInBodies gives the numbers of the events that a filter selects, at most
// limit of those below a mark, and the mark to go on from; 0 at the end.
func (c *Core) foundInBodies(ctx context.Context, tx Tx, f hook.Filter, below int64, limit int) ([]int64, int64, error) {
	index := c.words.Load()
	if index == nil {
		return nil, 0, fmt.Errorf("bodies are not searched here: switch it on under search in the configuration: %w", hook.ErrBadFilter)
	}
	if index.Missing != nil {
		return nil, 0, fmt.Errorf("bodies cannot be searched: %w: %w", index.Missing, hook.ErrBadFilter)
	}
	query, err := index.Lexicon.Query(f.Words, f.Path, f.Value)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", err, hook.ErrBadFilter)
	}
	f.Words, f.Path, f.Value, f.Cursor, f.Limit = "", "", "", "", 0
	if _, _, err := c.where(f); err != nil {
		return nil, 0, err // a filter that means nothing
	}
	floor, below, err := c.times(ctx, tx, f, below)
	if err != nil || floor >= below {
		return nil, 0, err
	}
	s := &bodySearch{c: c, index: index, query: query, terms: append(query.Terms(), tags(index.Lexicon, f)...), rest: f, limit: limit, mark: below}
	if err := s.run(ctx, tx, max(floor, 1)); err != nil {
		return nil, 0, fmt.Errorf("search bodies: %w", err)
	}
	if s.mark <= max(floor, 1) {
		s.mark = 0
	}
	return s.list, s.mark, nil
}

func (s *bodySearch) run(ctx context.Context, tx Tx, floor int64) error {
	newest, err := s.c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM event_keys`)
	if err != nil {
		return err
	}
	s.mark = min(s.mark, newest+1)
	few := s.rest.Key != "" || s.rest.Subject != "" // what they select can be looked through
	end := time.Now().Add(s.c.SearchTime)
	stretch := int64(firstStretch)
	for first := true; s.mark > floor && len(s.list) < s.limit && (first || time.Now().Before(end)); first = false {
		begin := time.Now()
		if few {
			err = s.byRest(ctx, tx, floor, end)
		} else {
			err = s.byWords(ctx, tx, max(floor, s.mark-stretch), end)
		}
		if err != nil {
			return err
		}
		stretch = nextStretch(stretch, time.Since(begin))
	}
	return nil
}

// byRest takes what the rest of the filter selects.
func (s *bodySearch) byRest(ctx context.Context, tx Tx, floor int64, end time.Time) error {
	seqs, err := s.c.search(ctx, tx, s.rest, floor, s.mark, maxSift)
	if err != nil {
		return err
	}
	if len(seqs) == maxSift {
		floor = seqs[maxSift-1]
	}
	return s.take(ctx, tx, seqs, floor, end)
}

// byWords takes what the index finds in one stretch of the log.
func (s *bodySearch) byWords(ctx context.Context, tx Tx, low int64, end time.Time) error {
	most := min(max(2*(s.limit-len(s.list)), 64), maxSift)
	if s.rest != (hook.Filter{}) {
		most = maxSift
	}
	seqs, low, err := s.index.Candidates(ctx, tx, s.terms, low, s.mark, most)
	if err != nil {
		return err
	}
	if s.rest != (hook.Filter{}) && len(seqs) > 0 {
		if seqs, err = s.sift(ctx, tx, seqs); err != nil {
			return err
		}
	}
	return s.take(ctx, tx, seqs, low, end)
}

// sift leaves those that the rest of the filter selects.
func (s *bodySearch) sift(ctx context.Context, tx Tx, seqs []int64) (left []int64, err error) {
	err = parts(s.c, seqs, func(part []int64) error {
		cond, args := s.c.in(part)
		page, seqs, err := s.c.infos(ctx, tx, ` WHERE k.seq `+cond+` ORDER BY k.seq DESC`, args...)
		if err != nil {
			return err
		}
		if s.rest.State != "" {
			if err := s.c.addJobs(ctx, tx, page, seqs); err != nil {
				return err
			}
		}
		for i, e := range page {
			if s.selects(e) {
				left = append(left, seqs[i])
			}
		}
		return nil
	})
	return left, err
}

func (s *bodySearch) selects(e *hook.EventInfo) bool {
	f := &s.rest
	return (f.Source == "" || f.Source == e.Source) && (f.Type == "" || hook.Match(f.Type, e.Type)) &&
		(f.State == "" || f.State == e.State) && (f.Since.IsZero() || !e.ReceivedAt.Before(f.Since)) &&
		(f.Until.IsZero() || e.ReceivedAt.Before(f.Until))
}

// take reads bodies until there are enough or the time is up, at least one; all
// down to low is looked at if neither happens.
func (s *bodySearch) take(ctx context.Context, tx Tx, seqs []int64, low int64, end time.Time) error {
	if later := time.Now().Add(min(lookTime, s.c.SearchTime)); later.After(end) {
		end = later
	}
	for part := range slices.Chunk(seqs, 64) {
		err := s.c.eachBody(ctx, tx, plainBodiesSQL, part, func(b *stored) bool {
			if s.query.Match(b.body) {
				s.list = append(s.list, b.seq)
			}
			s.mark = b.seq
			return len(s.list) < s.limit && time.Now().Before(end)
		})
		if err != nil {
			return err
		}
		if len(s.list) == s.limit || !time.Now().Before(end) {
			return nil
		}
	}
	s.mark = low
	return nil
}

// SearchedTo gives the time of the newest event that a cursor leaves to the next
// page; see hook.Searcher.
func (c *Core) SearchedTo(ctx context.Context, tx Tx, cursor string) (at time.Time, err error) {
	below, bad := readMark("s1:", cursor)
	if bad != nil || cursor == "" {
		return time.Time{}, nil
	}
	us, err := c.scanSeq(ctx, tx, `SELECT coalesce((SELECT received_at FROM event_keys WHERE seq < $1 ORDER BY seq DESC LIMIT 1), 0)`, below)
	if err != nil || us == 0 {
		return time.Time{}, err
	}
	return fromMicros(us), nil
}
