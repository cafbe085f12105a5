package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErasureState is how far an erasure is.
type ErasureState string

// The states of an erasure: it looks through the bodies, waits for work and holds
// that need some of them, removes what the disk still has of them, and is done.
const (
	ErasureRunning   ErasureState = "running"
	ErasureWaiting   ErasureState = "waiting"
	ErasureCleaning  ErasureState = "cleaning"
	ErasureDone      ErasureState = "done"
	ErasureCancelled ErasureState = "cancelled"
)

// ErasureOrder is an operator's order to remove what a source has told us of one
// customer: of every event recorded by then whose body holds the identifier as a
// whole string, or whose subject it is.
type ErasureOrder struct {
	Source   string // required
	Customer string // the sender's identifier of the customer, an e-mail address or the like; required
	Reason   string // required
	Actor    string
	DryRun   bool // only count
}

// Erasure is an erasure as operators see it. Customer is empty once it is over:
// what was to be forgotten is not remembered; its SHA-256 is.
type Erasure struct {
	ID       int64        `json:"id"`
	Source   string       `json:"source"`
	Customer string       `json:"customer,omitempty"`
	SHA256   string       `json:"customer_sha256"`
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor"`
	DryRun   bool         `json:"dry_run"`
	State    ErasureState `json:"state"`
	Total    int64        `json:"total"`  // events of the source at the start, at most 10,001: that many or more
	Seen     int64        `json:"seen"`   // events looked at
	Found    int64        `json:"found"`  // events that are the customer's
	Erased   int64        `json:"erased"` // of them
	Open     int64        `json:"open"`   // of them: their work is not over
	Held     int64        `json:"held"`   // of them: under a legal hold
	Notes    int64        `json:"notes"`  // on refused deliveries, removed
	Rows     int64        `json:"rows"`   // of departments, blanked
	At       time.Time    `json:"at"`
	Moved    time.Time    `json:"moved_at"`
}

// Eraser blanks what a department keeps of a customer of a source, and says in how
// many rows. It runs in the store's transaction, may run again after it, and leaves
// money as it is.
type Eraser func(ctx context.Context, tx Tx, source, customer string) (rows int, err error)

// ErasureKeeper is an optional role of a store: it keeps erasures and gets on with
// them.
type ErasureKeeper interface {
	// AddErasure keeps an order, running; audited, without the identifier. It is
	// ErrRefused without a reason, a source or an identifier of at least four
	// characters, while the subject or the whole source is under a legal hold,
	// which the error names, and while 16 others are not over.
	AddErasure(ctx context.Context, o ErasureOrder) (id int64, err error)
	// CancelErasure ends one that is not over; what is erased stays so. Audited.
	CancelErasure(ctx context.Context, id int64, actor string) error
	// Erasures gives the newest ones.
	Erasures(ctx context.Context, limit int) ([]*Erasure, error)
	// Erasure gives one; ErrNotFound if there is none.
	Erasure(ctx context.Context, id int64) (*Erasure, error)
	// StepErasure gets on with one erasure whose turn has come. What it removes and
	// the note of how far it is commit together: a crash leaves both or neither.
	// Any node may call it, as often as it likes; busy says that something was done.
	StepErasure(ctx context.Context, departments Eraser) (busy bool, err error)
}

// Mentions reports whether a body holds value as a whole: in JSON as a string, at
// any path, however it is escaped; in a form as the value of a field, or within
// the JSON of one; in anything else between characters that no identifier has.
func Mentions(body []byte, value string) bool {
	plain := bytes.Contains(body, []byte(value))
	if value == "" || !plain && !bytes.ContainsAny(body, "\\%+") {
		return false
	}
	if found, isJSON := inJSON(body, value); found || isJSON {
		return found
	}
	if fields, err := url.ParseQuery(string(body)); err == nil {
		for _, values := range fields {
			for _, v := range values {
				if found, _ := inJSON([]byte(v), value); found || v == value {
					return true
				}
			}
		}
	}
	return plain && standsAlone(string(body), value)
}

// inJSON goes through the strings of a JSON text, names of members included, and
// never deeper into itself, however deep the text is.
func inJSON(body []byte, value string) (found, isJSON bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.Token()
		if err != nil {
			return false, errors.Is(err, io.EOF)
		}
		if text, ok := token.(string); ok && text == value {
			return true, true
		}
	}
}

// standsAlone looks for value where no letter, digit or the like touches it.
func standsAlone(text, value string) bool {
	touches := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.@+", r)
	}
	for from := 0; ; {
		i := strings.Index(text[from:], value)
		if i < 0 {
			return false
		}
		start := from + i
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[start+len(value):])
		if !touches(before) && !touches(after) {
			return true
		}
		from = start + 1
	}
}
