package hook

import (
	"net/http"
	"time"
)

// Trust names the evidence that a recorded event rests on.
type Trust string

// The kinds of evidence. For the first three a delivery with exactly the
// recorded body verified before the row existed.
const (
	TrustSignature Trust = "signature"  // a signature over the raw body
	TrustSecret    Trust = "secret"     // a secret inside the body
	TrustToken     Trust = "token"      // a bare token in a header; the body is not authenticated
	TrustSenderAPI Trust = "sender_api" // read from the sender's API by us
	TrustInternal  Trust = "internal"   // written by us
	TrustHint      Trust = "hint"       // never signed: it can only make us ask
)

// The modes of an event. A sender that has no modes leaves it empty.
const (
	ModeLive = "live"
	ModeTest = "test"
)

// Delivery is one HTTP request of a sender, as it arrived. Body holds the exact
// bytes; nobody changes them after the door has read them.
type Delivery struct {
	Source     string
	Header     http.Header
	Body       []byte
	ReceivedAt time.Time
	Remote     string // address of the peer, for the note of a rejection
}

// Identity says which event a delivery is about. A Source reads it from a
// delivery that has been verified.
type Identity struct {
	Key        string    // unique within source and mode; from signed bytes where the sender has one there
	Type       string    // the sender's name of the kind of event; may be empty
	Subject    string    // the object that the event is about, the order key; may be empty
	OccurredAt time.Time // the sender's own time of the event; zero if it names none
	Mode       string    // ModeLive, ModeTest or empty
	Trust      Trust

	// KeyUnsigned says that Key came from a header that no signature covers, so
	// that an equal body under another key within 90 days is quarantined as
	// same_body. Leave it false for bodies that may repeat by their own shape.
	KeyUnsigned bool

	// The door fills these two in; a Source leaves them empty.
	Quarantine Quarantine               // why the event gets no jobs, or empty
	Canonical  func(body []byte) []byte // see Canonicaler; nil compares bytes as they are
}

// Quarantine is the reason for which an authentic event is recorded without
// jobs. Replay releases it.
type Quarantine string

// The reasons of a quarantine.
const (
	QuarantineUnreadable   Quarantine = "unreadable"    // no JSON, no object, or nested too deep
	QuarantineAmbiguous    Quarantine = "ambiguous"     // the same key twice on a path that is read
	QuarantineMode         Quarantine = "mode"          // a test event at a live source, or the reverse
	QuarantineSameBody     Quarantine = "same_body"     // an old body under a new, unsigned key
	QuarantineTypeMismatch Quarantine = "type_mismatch" // the body's shape contradicts an unsigned type
)

// QuarantineError is what Identify returns for a delivery that is authentic and
// must not be worked as it is. It never leads to a refusal.
type QuarantineError struct {
	Reason Quarantine
	Detail string // for people; never a value from the body
}

// Error is the reason and what was found.
func (e *QuarantineError) Error() string { return string(e.Reason) + ": " + e.Detail }
