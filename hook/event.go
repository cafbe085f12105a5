package hook

import (
	"net/http"
	"time"
)

// Event is a fact that a sender told us, recorded once per (source, mode, key).
// Handlers must not change Header or Body.
type Event struct {
	ID         string // opaque, unique over installations
	Source     string
	Mode       string
	Trust      Trust
	Key        string
	Type       string
	Subject    string
	OccurredAt time.Time // zero if the sender names no time
	Header     http.Header
	Body       []byte
	RecordedAt time.Time

	// Unreadable is why Header and Body are missing although they are kept: they
	// are encrypted, and their key is missing or they were changed. No handler
	// sees such an event; its attempt fails with this error.
	Unreadable error
}

// Receipt is the answer of Record.
type Receipt struct {
	EventID   string
	Duplicate bool // the event was there already, and durable
	Conflict  bool // there with other bytes than these; the first stays, these are kept beside it

	// Quarantine is the reason under which a fresh event was recorded without
	// jobs, be it from the Identity or found by the store.
	Quarantine Quarantine
}
