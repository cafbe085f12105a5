package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Explanation is why a captured delivery does or does not verify. Key, Type and
// Subject are only filled for one that does: nothing is read from bytes that
// nobody vouches for. No field ever holds a secret or a signature.
type Explanation struct {
	Verified bool        `json:"verified"`
	Trust    hook.Trust  `json:"trust"`
	Reason   hook.Reason `json:"reason"` // "ok", or why not
	Key      string      `json:"key"`
	Type     string      `json:"type"`
	Subject  string      `json:"subject"`
	Detail   []string    `json:"detail,omitempty"` // for people, the likeliest cause first
}

const reasonOK hook.Reason = "ok"

// Explain verifies a captured delivery as of a time and says in plain words what
// came of it: another secret, changed bytes, the clock, headers of another
// sender. paymentSecret, if not empty, is compared with the secret in a Toss
// DEPOSIT_CALLBACK: equal makes the trust "secret", unequal makes it unverified
// with bad_secret. It changes nothing and may be called again.
func Explain(s hook.Source, h http.Header, body []byte, at time.Time, paymentSecret string) Explanation {
	h = canonicalHeader(h)
	err := s.Verify(h, body, at)
	if err == nil {
		return explainVerified(s, h, body, paymentSecret)
	}
	e := Explanation{Reason: hook.ReasonUnavailable, Detail: []string{err.Error()}}
	if u, ok := errors.AsType[*hook.UnverifiedError](err); ok {
		e.Reason = u.Reason
		e.Detail = []string{reasonText(u.Reason)}
		if u.Detail != "" {
			e.Detail = append(e.Detail, u.Detail)
		}
	}
	switch e.Reason {
	case hook.ReasonBadConfig:
		e.Detail = append(e.Detail, configDetail(s)...)
	case hook.ReasonTimestampTooOld, hook.ReasonTimestampInFuture:
		e.Detail = append(e.Detail, "the signature itself is right: check this machine's clock, or give the time at which the delivery came")
	default:
		c := capture{s, h, body, at}
		e.Detail = append(e.Detail, c.causes(e.Reason)...)
	}
	return e
}

// canonicalHeader puts names as a capture spells them into the form in which a
// server would have received them.
func canonicalHeader(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		key := http.CanonicalHeaderKey(name)
		out[key] = append(out[key], values...)
	}
	return out
}

func explainVerified(s hook.Source, h http.Header, body []byte, paymentSecret string) Explanation {
	id, err := s.Identify(h, body)
	e := Explanation{
		Verified: true, Trust: id.Trust, Reason: reasonOK,
		Key: id.Key, Type: id.Type, Subject: id.Subject,
	}
	if _, toss := s.(*TossSource); toss && id.Type == tossDeposit && paymentSecret != "" {
		if !TossDepositSecret(body, paymentSecret) {
			return Explanation{
				Reason: hook.ReasonBadSecret,
				Detail: []string{"the secret in the body is not the payment's: no re-query would be spent on it"},
			}
		}
		e.Trust = hook.TrustSecret
		e.Detail = append(e.Detail, "the secret in the body is the payment's")
	} else if id.Trust == hook.TrustHint {
		e.Detail = append(e.Detail, "the sender never signs this type: it is recorded as a hint, and only a re-query decides what happens")
		e.Detail = append(e.Detail, capture{source: s, header: h}.foreignHeaders()...)
	}
	if e.Key == "" {
		sum := sha256.Sum256(body)
		e.Key = hex.EncodeToString(sum[:])
		e.Detail = append(e.Detail, "no id can be read: the key is the SHA-256 of the body")
	}
	if q, ok := errors.AsType[*hook.QuarantineError](err); ok {
		e.Detail = append(e.Detail, fmt.Sprintf("it would be recorded and quarantined as %s: %s", q.Reason, q.Detail))
	}
	return e
}

func reasonText(r hook.Reason) string {
	switch r {
	case hook.ReasonMissingHeader:
		return "a header that this sender always sends is missing"
	case hook.ReasonMalformedHeader:
		return "a header cannot be read as this sender writes it"
	case hook.ReasonMalformedBody:
		return "the type of the event cannot be read, and it decides whether a signature is needed"
	case hook.ReasonBadSignature:
		return "no configured secret made this signature over these bytes"
	case hook.ReasonUnsupportedVersionOnly:
		return "the header has signatures, but none of a version that this source accepts"
	case hook.ReasonTimestampTooOld:
		return "the delivery is older than the tolerance"
	case hook.ReasonTimestampInFuture:
		return "the delivery was signed in the future"
	case hook.ReasonBadConfig:
		return "the source has nothing that it could verify this with"
	}
	return "the delivery does not verify: " + string(r)
}

func configDetail(s hook.Source) []string {
	v, ok := s.(hook.Validator)
	if !ok {
		return nil
	}
	var out []string
	if err := v.Validate(); err != nil {
		out = append(out, err.Error())
	}
	return append(out, v.Warnings()...)
}
