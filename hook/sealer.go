package hook

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Sealer seals texts that are personal or secret before a department stores them.
// A place names the column, and the row where that is known: a text opens only at
// the place it was sealed for. Texts that were stored before anything was sealed
// open as they are.
type Sealer interface {
	// SealText gives what is to be stored for a text; empty stays empty. It may
	// give another answer each time.
	SealText(place, text string) (string, error)
	// OpenText gives the text of a stored one. It is an error where that is sealed
	// and there is no key, or it is not what was sealed at this place.
	OpenText(place, stored string) (string, error)
	// TextIndex is a keyed hash of a text, for a column to look up and compare
	// by, the same for the life of the database. It is empty where nothing is
	// sealed: the text itself serves.
	TextIndex(place, text string) string
}

// errSealed is what Plain says of a sealed text.
var errSealed = errors.New("it is encrypted and there is no key for it: set HOOKKEEPER_ENCRYPTION_KEY")

// Plain is the Sealer of a store that seals nothing: it keeps texts as they are
// and opens none that is sealed. A text that looks sealed gets a mark, so that it
// is read as it was written.
func Plain() Sealer { return plain{} }

type plain struct{}

func (plain) SealText(_, text string) (string, error) {
	if strings.HasPrefix(text, "hk1:") || strings.HasPrefix(text, "hk0:") {
		return "hk0:" + text, nil
	}
	return text, nil
}

func (plain) OpenText(_, stored string) (string, error) {
	if strings.HasPrefix(stored, "hk1:") {
		return "", errSealed
	}
	return strings.TrimPrefix(stored, "hk0:"), nil
}

func (plain) TextIndex(string, string) string { return "" }

type sealerKey struct{}

// WithSealer returns a context that carries the seal of a store; the engines call
// it before an effect, a view and an Apply.
func WithSealer(ctx context.Context, s Sealer) context.Context {
	return context.WithValue(ctx, sealerKey{}, s)
}

// SealerOf returns the seal of the store whose transaction this is: of the context
// that an effect or a view is called with. Elsewhere it is Plain.
func SealerOf(ctx context.Context) Sealer {
	if s, ok := ctx.Value(sealerKey{}).(Sealer); ok {
		return s
	}
	return Plain()
}

// DataKey is one of the keys that seal what a store keeps, without the key.
type DataKey struct {
	ID      int64     `json:"key"`
	Master  string    `json:"wrapped_with"` // names the configured key that wraps it
	MadeAt  time.Time `json:"made_at"`
	Seals   int64     `json:"seals"`   // that processes have reserved
	Opens   bool      `json:"opens"`   // with the keys that are configured here
	Sealing bool      `json:"sealing"` // what is recorded now is sealed with it
}

// Vault is an optional role of a store: it encrypts what it keeps.
type Vault interface {
	// Sealer gives the seal of this store; Plain where it encrypts nothing.
	Sealer() Sealer
	// DataKeys gives all data keys, the newest first; none where nothing is
	// encrypted.
	DataKeys(ctx context.Context) ([]DataKey, error)
	// RotateKeys begins a new data key and wraps all of them with the first
	// configured key: the others may be taken out of the configuration
	// afterwards. On one node the new key seals at once, on several when all have
	// read it, a minute later. Audited. A repeat begins another one. It is
	// ErrRefused where no key is configured.
	RotateKeys(ctx context.Context, actor string) (id int64, err error)
	// SealStep looks at some rows behind a cursor, which is empty at first, and
	// seals those that were recorded before encryption was on. next is the cursor
	// to go on with, empty at the end. It may be cut at any point; whoever begins
	// again passes over what is sealed. It is ErrRefused where no key is
	// configured.
	SealStep(ctx context.Context, cursor string) (step SealStep, err error)
}

// SealStep is what one step of sealing old rows did.
type SealStep struct {
	Looked int    `json:"looked"` // rows
	Sealed int    `json:"sealed"` // of them
	Next   string `json:"next"`   // empty: there are no more
}
