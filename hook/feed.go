package hook

import "context"

// Feeder is an optional role of a store: the event log read forwards from a
// durable cursor, so that a reader that was away finds what came meanwhile. A
// cursor has a name of 1 to 64 of a-z, 0-9, _ and -; nobody else moves it.
type Feeder interface {
	// Feed gives events after the cursor of that name, oldest first, whole: at
	// most limit (0 means 100), and fewer where bodies are large. A name that is
	// new begins at the newest event, or before the first one recorded at or
	// after f.Since; for a known name Since says nothing. Of the filter only
	// Source, Type and Since are read; what it leaves out counts as seen. Until
	// Advance moves the cursor a repeat gives the same events.
	Feed(ctx context.Context, name string, f Filter, limit int) ([]*EventDetail, error)
	// Advance moves the cursor past an event, never back; a repeat does nothing.
	// It is ErrNotFound for a name that Feed has never seen, and for an event
	// that this store does not know.
	Advance(ctx context.Context, name, id string) error
}
