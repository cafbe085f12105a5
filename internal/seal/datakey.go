package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DataKey is a data key as it is stored.
type DataKey struct {
	ID      int64  // from 1
	Master  string // names the operator's key that wraps it
	Wrapped []byte
}

// master is one of the operator's keys. Its name tells it from others and says
// nothing about it.
type master struct {
	name string
	aead cipher.AEAD
}

func newMaster(key []byte) (*master, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("want %d bytes, not %d", KeySize, len(key))
	}
	if poor(key) {
		return nil, errors.New("it is no random key: make one with: openssl rand -base64 32")
	}
	aead, err := newAEAD(derive(key, "hookkeeper wrap"))
	if err != nil {
		return nil, err
	}
	return &master{hex.EncodeToString(derive(key, "hookkeeper name")[:4]), aead}, nil
}

// poor tells what somebody typed, or left as it was, from what was drawn: 32 drawn
// bytes with fewer than 12 different ones do not happen.
func poor(key []byte) bool {
	sorted := slices.Sorted(slices.Values(key))
	return len(slices.Compact(sorted)) < 12
}

// derive gives a key for one purpose.
func derive(key []byte, purpose string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, purpose, KeySize)
	if err != nil {
		panic("seal: derive: " + err.Error()) // only for lengths that nobody asks for
	}
	return out
}

// wrapPlace binds a wrapped key to its number.
func wrapPlace(id int64) []byte { return []byte(fmt.Sprintf("data key %d", id)) }

// Begin draws a data key of that number, wrapped with the first operator's key. It
// seals nothing before Use.
func (r *Ring) Begin(id int64) (DataKey, error) {
	if !numbered(id) {
		return DataKey{}, fmt.Errorf("data key %d: there can be no such number", id)
	}
	key := make([]byte, KeySize)
	rand.Read(key)
	return r.wrap(id, key), nil
}

func (r *Ring) wrap(id int64, key []byte) DataKey {
	m := r.masters[0]
	return DataKey{ID: id, Master: m.name, Wrapped: m.aead.Seal(nil, nil, key, wrapPlace(id))}
}

// Rewrap gives the same data key wrapped with the first operator's key.
func (r *Ring) Rewrap(k DataKey) (DataKey, error) {
	key, err := r.unwrap(k)
	if err != nil {
		return DataKey{}, err
	}
	return r.wrap(k.ID, key), nil
}

// unwrap takes the name of the wrapping key for a hint only: the seal decides.
func (r *Ring) unwrap(k DataKey) ([]byte, error) {
	for _, m := range r.masters {
		key, err := m.aead.Open(nil, nil, k.Wrapped, wrapPlace(k.ID))
		if err == nil && len(key) == KeySize {
			return key, nil
		}
	}
	return nil, &missingError{k.ID, k.Master, strings.Join(r.Masters(), ", ")}
}

// missingError is an ErrNoKey that says which key it is.
type missingError struct {
	id                 int64
	master, configured string
}

func (e *missingError) Error() string {
	return fmt.Sprintf("the database is encrypted: its data key %d is wrapped with the encryption key %s, configured is %s: "+
		"give the other key too, behind the new one", e.id, e.master, e.configured)
}

// Is makes it an ErrNoKey.
func (e *missingError) Is(target error) bool { return target == ErrNoKey }

// Opens reports whether one of the operator's keys unwraps the data key.
func (r *Ring) Opens(k DataKey) bool {
	if r == nil {
		return false
	}
	_, err := r.unwrap(k)
	return err == nil
}

// Masters are the names of the operator's keys, the one that wraps first.
func (r *Ring) Masters() []string {
	names := make([]string, len(r.masters))
	for i, m := range r.masters {
		names[i] = m.name
	}
	return names
}

// Use takes all data keys of the database; the one with the highest number seals
// from now on. If one cannot be unwrapped nothing changes.
func (r *Ring) Use(all []DataKey) error {
	newest := int64(0)
	for _, k := range all {
		newest = max(newest, k.ID)
	}
	take, err := r.Ready(all, newest)
	if err == nil {
		take()
	}
	return err
}

// Ready unwraps all data keys of the database. What it returns takes them into
// use; the key of the number sealing seals from then on.
func (r *Ring) Ready(all []DataKey, sealing int64) (take func(), err error) {
	next := &opened{aeads: make(map[int64]cipher.AEAD, len(all)), sealing: sealing}
	first := int64(0)
	for _, k := range all {
		if !numbered(k.ID) {
			return nil, fmt.Errorf("data key %d: there can be no such number", k.ID)
		}
		key, err := r.unwrap(k)
		if err != nil {
			return nil, err
		}
		if next.aeads[k.ID], err = newAEAD(derive(key, "hookkeeper seal")); err != nil {
			return nil, err
		}
		if first == 0 || k.ID < first {
			first, next.root = k.ID, derive(key, "hookkeeper root")
		}
	}
	return func() { r.keys.Store(next) }, nil
}

// Derive gives a key of 32 bytes for one purpose, the same for the life of the
// database; nil without data keys.
func (r *Ring) Derive(purpose string) []byte {
	if r == nil || r.keys.Load().root == nil {
		return nil
	}
	return derive(r.keys.Load().root, purpose)
}

// ParseKey reads an operator's key: 32 bytes in base64 or hexadecimal. Its errors
// quote nothing.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if len(text) == 2*KeySize {
		if key, err := hex.DecodeString(text); err == nil {
			return key, nil
		}
	}
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := io.ReadAll(base64.NewDecoder(base64.RawStdEncoding, strings.NewReader(plain)))
	if err != nil || len(key) != KeySize || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("want %d random bytes in base64 or hexadecimal, such as from: openssl rand -base64 32", KeySize)
	}
	return key, nil
}
