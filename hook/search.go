package hook

import (
	"context"
	"time"
)

// Search says what of bodies can be searched. An engine is given one when it is
// opened: nil for a process that neither fills the index nor empties it; the zero
// value for one that keeps no index, and removes what an earlier one has left.
type Search struct {
	// Words makes all words of bodies searchable. It is off where bodies are
	// encrypted: an index of words would tell them.
	Words bool
	// Paths are the named paths, such as data.object.customer, whose values can be
	// searched exactly. A part is a key of an object, the number of an element
	// from 0, or # for every element.
	Paths []string
	// Key, if there is one, goes into the hash of a path and its value, so that
	// the index cannot be guessed at without it.
	Key []byte
}

// Searcher is an optional role of a store: it finds events by their bodies, which
// it looks through some time after they were recorded.
type Searcher interface {
	// IndexWords looks through the next few bodies, and forgets those that are
	// gone. Any node may call it, as often as it likes; busy says that more may be
	// waiting. What was done before an error stays done.
	IndexWords(ctx context.Context) (busy bool, err error)
	// Indexed says what can be searched, and how far the index is.
	Indexed(ctx context.Context) (Indexed, error)
	// SearchedTo gives the time down to which the pages before a cursor of Events
	// have been searched; zero if the cursor means nothing.
	SearchedTo(ctx context.Context, cursor string) (time.Time, error)
}

// MaxIndexLag is the most that Indexed.Behind counts to.
const MaxIndexLag = 100_000

// Indexed is the state of an index of words.
type Indexed struct {
	Words   bool      // all words can be searched
	Paths   []string  // paths whose values can be searched exactly
	Behind  int64     // events that are not looked through yet, at most MaxIndexLag
	Through time.Time // when the newest event that was looked through came; zero: none yet
}
