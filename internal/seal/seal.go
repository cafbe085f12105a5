// Package seal is encryption at rest: it seals bytes and texts with data keys,
// and wraps data keys with keys of the operator's own, which are kept elsewhere.
//
// It promises that what is sealed can be read only with such a key, that a value
// that was changed, or put into another place, does not open, and that neither an
// error nor a printed [Ring] shows a key or a value. It refuses keys that are not
// 32 bytes or that nobody has drawn, and to seal more with one key than AES-GCM
// with random nonces bears. It does no I/O: where the wrapped keys are kept is the
// caller's affair.
//
// Everything is AES-256-GCM with a random nonce of 96 bits. A sealed value begins
// with a byte that no JSON begins with and the number of its data key.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
)

// KeySize is the length of every key, in bytes.
const KeySize = 32

// Bounds of one data key. 2^32 is what GCM with random nonces bears before two of
// them may be equal with a chance that counts; a key is retired at half of it.
const (
	MostSeals = 1 << 31 // by one data key, all processes together
	Grant     = 1 << 22 // that a process asks for at a time
)

// What Open and Use answer; ask with errors.Is.
var (
	ErrNoKey   = errors.New("it is encrypted and there is no key for it: set HOOKKEEPER_ENCRYPTION_KEY")
	ErrDamaged = errors.New("it is encrypted and does not open: it was changed since, or belongs elsewhere")
	ErrSpent   = errors.New("the data key has sealed as much as it may")
)

// overhead of a sealed value: version, number of the key, nonce, tag.
const (
	version  = 1
	prefix   = 1 + 4
	overhead = prefix + 12 + 16
)

// Ring holds the keys of a process. It is safe for concurrent use; a nil Ring seals
// and opens nothing.
type Ring struct {
	masters []*master // the first wraps, all unwrap
	keys    atomic.Pointer[opened]
	left    atomic.Int64 // seals that are granted
}

// opened are the data keys as they are used.
type opened struct {
	aeads   map[int64]cipher.AEAD
	sealing int64
	root    []byte // of the first data key: what is derived never changes with rotation
}

// NewRing returns a Ring of one to eight operator's keys. It seals nothing before
// Use.
func NewRing(masters ...[]byte) (*Ring, error) {
	if len(masters) == 0 || len(masters) > 8 {
		return nil, fmt.Errorf("encryption keys: want 1 to 8, not %d", len(masters))
	}
	r := &Ring{}
	for i, key := range masters {
		m, err := newMaster(key)
		if err != nil {
			return nil, fmt.Errorf("encryption key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(r.masters, func(o *master) bool { return o.name == m.name }) {
			return nil, fmt.Errorf("encryption key %d: it is given twice", i+1)
		}
		r.masters = append(r.masters, m)
	}
	r.keys.Store(&opened{})
	return r, nil
}

// Format implements fmt.Formatter: no verb shows a key.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "seal.Ring") }

// LogValue implements slog.LogValuer: a log shows no key.
func (r *Ring) LogValue() slog.Value { return slog.StringValue("seal.Ring") }

// Allow grants so many seals more, which the caller has noted durably.
func (r *Ring) Allow(n int64) { r.left.Add(n) }

// Low reports that more seals should be granted soon: see Allow.
func (r *Ring) Low() bool { return r.left.Load() < Grant/2 }

// Seal seals plain and returns the number of the data key. what
// names the kind of place, bind what else the value belongs to: Open must be given
// the same. It fails only with ErrNoKey, before Use, and ErrSpent.
func (r *Ring) Seal(what string, bind, plain []byte) (key int64, sealed []byte, err error) {
	if r == nil {
		return 0, nil, ErrNoKey
	}
	k := r.keys.Load()
	aead := k.aeads[k.sealing]
	if aead == nil {
		return 0, nil, ErrNoKey
	}
	if r.left.Add(-1) < 0 {
		r.left.Add(1)
		return 0, nil, ErrSpent
	}
	b := make([]byte, prefix, len(plain)+overhead)
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], uint32(k.sealing))
	return k.sealing, aead.Seal(b, nil, plain, additional(b[:prefix], what, bind)), nil
}

// Open gives what was sealed at this place, never nil without an error. It is
// ErrNoKey where the data key is not known, ErrDamaged where the value is not what
// was sealed here.
func (r *Ring) Open(what string, bind, sealed []byte) ([]byte, error) {
	if r == nil {
		return nil, ErrNoKey
	}
	if len(sealed) < overhead || sealed[0] != version {
		return nil, ErrDamaged
	}
	aead := r.keys.Load().aeads[int64(binary.BigEndian.Uint32(sealed[1:prefix]))]
	if aead == nil {
		return nil, ErrNoKey
	}
	plain, err := aead.Open([]byte{}, nil, sealed[prefix:], additional(sealed[:prefix], what, bind))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// additional is what a value is bound to; no two places have the same.
func additional(head []byte, what string, bind []byte) []byte {
	b := make([]byte, 0, len(head)+4+len(what)+len(bind))
	b = append(b, head...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(what)))
	b = append(b, what...)
	return append(b, bind...)
}

// newAEAD draws its own nonces and puts them before what it seals.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// numbered reports whether a data key can have that number.
func numbered(id int64) bool { return id > 0 && id <= math.MaxUint32 }
