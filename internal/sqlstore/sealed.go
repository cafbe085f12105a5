package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// sealedByte begins stored headers that are sealed; no name of a header begins
// with it. The body of the same row is then sealed too. Bodies cannot say so
// themselves, for they are any bytes; but no sealed one is JSON, so that the view
// webhook_events shows null in its place.
const sealedByte = 1

// isSealed says it of the headers of a row, and so of its body.
func isSealed(headers []byte) bool { return len(headers) > 0 && headers[0] == sealedByte }

// Kinds of what is sealed; see seal.Ring.Seal.
const (
	sealBody    = "body"
	sealHeaders = "headers"
)

// place binds sealed bytes to their row: what was copied there from another does
// not open. Names are taken as every engine can keep them.
func (k eventKey) place() []byte { return placeOf("event", k.source, k.mode, k.key) }

func placeOf(words ...string) []byte {
	var b []byte
	for _, w := range words {
		w = strings.ReplaceAll(strings.ToValidUTF8(w, "\ufffd"), "\x00", "\u2400")
		b = append(strconv.AppendInt(b, int64(len(w)), 10), ':')
		b = append(b, w...)
	}
	return b
}

// conflictPlace is that of other bytes under a key.
func conflictPlace(k eventKey, sum []byte) []byte { return append(k.place(), sum...) }

// rejectionPlace is that of a note on a refused delivery.
func rejectionPlace(source string, at int64) []byte {
	return placeOf("rejection", source, strconv.FormatInt(at, 10))
}

// close seals the headers and the body of a row where encryption is on; otherwise
// it gives them as they are stored plainly.
func (c *Core) close(place, headers, body []byte) (h, b []byte, err error) {
	if body == nil {
		body = []byte{} // not null
	}
	if c.ring == nil {
		if isSealed(headers) {
			headers = append([]byte{'\n'}, headers...) // a name that a program has made up
		}
		return headers, body, nil
	}
	if _, h, err = c.ring.Seal(sealHeaders, place, headers); err != nil {
		return nil, nil, err
	}
	_, b, err = c.ring.Seal(sealBody, place, body)
	return h, b, err
}

// open gives the headers and the body of a row as they came. body is nil where
// retention has removed it.
func (c *Core) open(place, headers, body []byte) (http.Header, []byte, error) {
	if !isSealed(headers) {
		return decodeHeader(headers), body, nil
	}
	h, err := c.ring.Open(sealHeaders, place, headers)
	if err == nil && body != nil {
		body, err = c.ring.Open(sealBody, place, body)
	}
	if err != nil {
		return nil, nil, err
	}
	return decodeHeader(h), body, nil
}

// closeAsked seals what an operator has asked for, which waits for another: the
// account that a refund is to be paid to, say. What operators send is JSON, and
// none begins as sealed bytes do.
func (c *Core) closeAsked(id string, body []byte) ([]byte, error) {
	if c.ring == nil || len(body) == 0 {
		return body, nil
	}
	_, sealed, err := c.ring.Seal("approval", []byte(id), body)
	return sealed, err
}

func (c *Core) openAsked(id string, body []byte) ([]byte, error) {
	if !isSealed(body) {
		return body, nil
	}
	return c.ring.Open("approval", []byte(id), body)
}

// firstCopy reads the body of an event; nil if retention has removed it.
func (c *Core) firstCopy(ctx context.Context, tx Tx, seq int64, k eventKey) ([]byte, error) {
	var headers, body []byte
	row := tx.QueryRowContext(ctx, `SELECT e.headers, b.body FROM events e JOIN bodies b ON b.seq = e.seq WHERE e.seq = $1`, seq)
	err := row.Scan(&headers, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		_, body, err = c.open(k.place(), headers, body)
	}
	if err != nil {
		return nil, fmt.Errorf("read the first copy: %w", err)
	}
	return body, nil
}

// UseKeys turns encryption on with the operator's keys, of which the first wraps;
// none leaves it off. The engine calls it before Load.
func (c *Core) UseKeys(masters [][]byte) error {
	if len(masters) == 0 {
		return nil
	}
	ring, err := seal.NewRing(masters...)
	c.ring = ring
	return err
}

// Sealer gives the seal of this store; see hook.Vault.
func (c *Core) Sealer() hook.Sealer {
	if c.ring == nil {
		return hook.Plain()
	}
	return c.ring
}

// SearchKey is the key under which values of encrypted bodies are looked up; nil
// where nothing is encrypted.
func (c *Core) SearchKey() []byte { return c.ring.Derive("hookkeeper search") }

// Encrypts reports whether what is recorded is sealed.
func (c *Core) Encrypts() bool { return c.ring != nil }

// LowSeals reports that LoadKeys should be called for leave to seal more.
func (c *Core) LowSeals() bool { return c.ring != nil && c.ring.Low() }

// ErrUnopened is inside the error of an Open of an encrypted database without its
// key.
var ErrUnopened = errors.New("the database is encrypted: set HOOKKEEPER_ENCRYPTION_KEY, or encryption.keys in the configuration")

// CheckKeys refuses a database that is encrypted where no key is configured, or
// the wrong one, and opens its data keys. It only reads.
func (c *Core) CheckKeys(ctx context.Context, tx Tx) error {
	all, err := dataKeys(ctx, tx)
	if err != nil || len(all) == 0 {
		return err
	}
	if c.ring == nil {
		return ErrUnopened
	}
	return c.ring.Use(wrappedOf(all))
}
