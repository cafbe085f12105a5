package forward

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Namer is an optional ability of a signer: it names the headers of a delivery
// that belong to its sender, all that go along besides Content-Type. No other
// header does: none is covered by a signature, and what a stranger put beside a
// captured delivery must not reach a program that trusts its own proxy.
// Without it they are those that the signer itself sets.
type Namer interface {
	Headers() []string
}

// least is the shortest key that may sign for Standard Webhooks, which asks for
// 24 to 64 bytes.
const least = 16

func standardKey(secret string) ([]byte, error) {
	text := strings.TrimPrefix(secret, "whsec_")
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("none given, and this destination gets signed events")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < least {
		return nil, errors.New("must be base64 of at least 16 bytes, with or without whsec_; make one with openssl rand -base64 32")
	}
	return key, nil
}

// signStandard sets the three headers of Standard Webhooks. The id is the
// event's, the same on every attempt.
func signStandard(h http.Header, key []byte, e *hook.Event, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(e.ID + "." + at + "."))
	mac.Write(e.Body)
	h.Set("webhook-id", e.ID)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// headers makes the headers of one attempt.
func (f *Forwarder) headers(e *hook.Event) (http.Header, error) {
	h := http.Header{}
	switch f.sign {
	case SignStandardWebhooks:
		signStandard(h, f.key, e, f.now())
	default:
		if err := f.senderHeaders(h, e); err != nil {
			return nil, err
		}
	}
	if t := e.Header.Get("Content-Type"); t != "" {
		h.Set("Content-Type", t)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("User-Agent", "hookkeeper")
	h.Set("Hookkeeper-Event", e.ID)
	h.Set("Hookkeeper-Source", e.Source)
	h.Set("Hookkeeper-Trust", string(e.Trust))
	// Spelled like this on purpose: under its usual spelling net/http takes it
	// as leave to send a request again by itself, and one attempt would be two.
	h["idempotency-key"] = []string{idempotencyKey(e, f.name)}
	return h, nil
}

// senderHeaders sets what the sender's own verifier reads: as it came, or signed
// anew.
func (f *Forwarder) senderHeaders(h http.Header, e *hook.Event) error {
	signer := f.signer(e.Source)
	if signer == nil {
		return fmt.Errorf("destination %s: events of source %s cannot be signed as their sender does: %w",
			f.name, e.Source, hook.ErrPermanent)
	}
	names, err := f.names(signer, e)
	if err != nil {
		return err
	}
	for name, values := range e.Header {
		if !belongs(names, name) || f.sign == SignSender && strings.Contains(strings.ToLower(name), "signature") {
			continue
		}
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if f.sign == SignOriginal {
		return nil
	}
	if err := signer.Sign(h, e.Body, f.now()); err != nil {
		return fmt.Errorf("destination %s: sign: %v", f.name, err)
	}
	return nil
}

func (f *Forwarder) names(signer hook.Signer, e *hook.Event) ([]string, error) {
	if n, ok := signer.(Namer); ok {
		return n.Headers(), nil
	}
	probe := http.Header{}
	if err := signer.Sign(probe, e.Body, f.now()); err != nil {
		return nil, fmt.Errorf("destination %s: sign: %v", f.name, err)
	}
	var names []string
	for name := range probe {
		names = append(names, name)
	}
	return names, nil
}

// belongs reports whether a header is one of the named; a name that ends in *
// stands for all that begin so.
func belongs(names []string, header string) bool {
	for _, n := range names {
		first, star := strings.CutSuffix(n, "*")
		if strings.EqualFold(n, header) || star && len(header) >= len(first) && strings.EqualFold(first, header[:len(first)]) {
			return true
		}
	}
	return false
}

// idempotencyKey is the same on every attempt and every replay: the receiver
// does once what it names. Each part stands behind its length, so that no two
// lists of parts are hashed as one text.
func idempotencyKey(e *hook.Event, handler string) string {
	h := sha256.New()
	for _, part := range [...]string{e.Source, e.Mode, e.Key, handler, "forward"} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return "hk_" + hex.EncodeToString(h.Sum(nil))
}
