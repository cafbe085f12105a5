package source

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxSignatures bounds how many signatures of one header are tried. Senders need
// two while a secret is rotated.
const maxSignatures = 8

func refuse(reason hook.Reason, detail string) error {
	return &hook.UnverifiedError{Reason: reason, Detail: detail}
}

// badConfig is the answer of a source that has nothing to verify with.
func badConfig() error {
	return refuse(hook.ReasonBadConfig, "no usable secret, or a wrong setting: see the source's configuration")
}

// one returns the value of a header that may say only one thing. A header that
// came twice with the same value counts once; with different values nobody can
// say which one the sender meant, so it is malformed. name is in canonical form.
func one(h http.Header, name string) (string, error) {
	values := h[name]
	if len(values) == 0 {
		return "", refuse(hook.ReasonMissingHeader, name+" is missing")
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", refuse(hook.ReasonMalformedHeader, name+" came twice with different values")
		}
	}
	if values[0] == "" {
		return "", refuse(hook.ReasonMissingHeader, name+" is empty")
	}
	return values[0], nil
}

// loose is one for headers that no signature covers: what is missing or says two
// things is read as nothing.
func loose(h http.Header, name string) string {
	v, err := one(h, name)
	if err != nil {
		return ""
	}
	return v
}

// candidates are the decoded signatures of one header that are worth comparing.
type candidates struct {
	list [maxSignatures][]byte
	n    int // readable ones kept
	seen int // those looked at, readable or not
}

// add decodes a signature of a supported version, unless there were enough. An
// unreadable one matches nothing and never ends the search.
func (c *candidates) add(text string, decode func(string) ([]byte, error)) {
	if c.seen == maxSignatures {
		return
	}
	c.seen++
	if decoded, err := decode(text); err == nil {
		c.list[c.n] = decoded
		c.n++
	}
}

// match compares all candidates with sum in constant time. Another length is no
// match, whatever the bytes.
func (c *candidates) match(sum []byte) bool {
	ok := false
	for _, sig := range c.list[:c.n] {
		if hmac.Equal(sum, sig) {
			ok = true
		}
	}
	return ok
}

// mismatch is the refusal when no secret made any of the signatures.
func (c *candidates) mismatch(secrets int) error {
	return refuse(hook.ReasonBadSignature, fmt.Sprintf("%d signature(s) compared with %d secret(s), none fits",
		c.seen, secrets))
}

// signed writes the parts of a signed text into an HMAC. Texts and bytes are
// given apart so that a body is never copied.
func signed(newHash func() hash.Hash, key []byte, before string, body []byte, after string) []byte {
	m := hmac.New(newHash, key)
	m.Write([]byte(before))
	m.Write(body)
	m.Write([]byte(after))
	return m.Sum(nil)
}

func sha256MAC(key []byte, before string, body []byte, after string) []byte {
	return signed(sha256.New, key, before, body, after)
}

// setDefault sets a header that is not there yet.
func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// noKey is the error of Sign without a secret to sign with.
func (b *base) noKey() error {
	return fmt.Errorf("source %q: secrets: none that can sign", b.config.Name)
}

// refuseToSign is the error of Sign for a body that the sender could not send.
func refuseToSign(name string, cause error) error {
	return fmt.Errorf("source %q: sign: %v", name, cause)
}
