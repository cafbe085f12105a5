package hook

import (
	"net/http"
	"net/netip"
	"time"
)

// Source is our configured counterpart of one sender. All methods are pure and
// safe for concurrent use.
type Source interface {
	// Name is fixed; it is the {source} of the endpoint's URL and matches
	// ^[a-z0-9_-]{1,64}$.
	Name() string

	// Verify decides from raw bytes, headers, secrets and clock whether the
	// delivery comes from the sender. nil means yes (or that the sender never
	// signs this type: Identify then says TrustHint). Otherwise the error is
	// an *UnverifiedError. It compares in constant time, tries every secret,
	// refuses times that are too old and too new, and never panics.
	Verify(header http.Header, body []byte, now time.Time) error

	// Identify says which event a verified delivery is about. The same bytes
	// give the same answer. An error (a *QuarantineError) quarantines the
	// event and never refuses it; the Identity beside it is then filled as far
	// as could be read, and an empty Key stands for the hash of the body.
	Identify(header http.Header, body []byte) (Identity, error)
}

// Answerer is an optional ability of a Source: answers of its own.
type Answerer interface {
	// Refusal is the status code for deliveries that do not verify; without
	// this ability it is 401.
	Refusal() int
	// Handshake answers a sender's set-up question in the request itself. It
	// is called after Verify; ok false means that this is an ordinary delivery.
	Handshake(header http.Header, body []byte) (answer []byte, ok bool)
}

// Canonicaler is an optional ability of a Source: the body without what the
// sender itself changes between deliveries of one event. Two bodies of one key
// that are equal after Canonical are plain duplicates, not a conflict.
type Canonicaler interface {
	Canonical(body []byte) []byte
}

// Bounder is an optional ability of a Source: bounds of its own.
type Bounder interface {
	// MaxBodyBytes is the largest body it takes; zero means the default, 1 MiB.
	MaxBodyBytes() int64
	// Published reports whether addr is one of the addresses from which the
	// sender says that it delivers. It is never a reason to trust: it only
	// exempts hints from their rate limit.
	Published(addr netip.Addr) bool
	// RatePerSecond bounds the deliveries taken per second; zero means no bound.
	RatePerSecond() float64
}

// Validator is an optional ability of a Source. hookkeeper.New refuses a source
// whose Validate fails: an empty or placeholder secret where the sender signs,
// a window of zero. The error names the setting, never its value.
type Validator interface {
	Validate() error
	// Warnings are things that work and should not stay, one line each.
	Warnings() []string
}

// Signer is an optional ability of a Source: to sign as its sender does, for
// test deliveries and forwards. It sets every header that Verify reads, with
// the first configured secret; headers that carry the id or type and are set
// already stay as they are.
type Signer interface {
	Sign(header http.Header, body []byte, now time.Time) error
}
