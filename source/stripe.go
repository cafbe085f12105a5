package source

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const stripeSignature = "Stripe-Signature"

// StripeSource takes the deliveries of Stripe, snapshot and thin events alike.
// Make it with Stripe or New.
type StripeSource struct {
	base
	keys  [][]byte
	paths paths
}

// Stripe returns a source for one endpoint of Stripe. The secrets are the
// endpoint's whsec_… texts, several while one is rolled. Ask Validate whether
// they are usable; with none the source verifies nothing.
func Stripe(name string, secrets ...string) *StripeSource {
	return newStripe(Config{Name: name, Sender: senderStripe, Secrets: secrets})
}

func newStripe(c Config) *StripeSource {
	s := &StripeSource{
		base:  newBase(c, traits{window: defaultTolerance, signsAt: true, modes: true}),
		paths: stripePaths(),
	}
	// Stripe signs with the whole text, whsec_ included, undecoded.
	s.keys = s.textKeys()
	for i, secret := range s.usable {
		if !strings.HasPrefix(secret, "whsec_") {
			s.warn(secretSetting(i), "does not begin with whsec_, as secrets of Stripe endpoints do")
		}
	}
	return s
}

// Verify checks the Stripe-Signature header: HMAC-SHA256 over time, full stop
// and raw body, under scheme v1 only. The tolerance holds on both sides.
func (s *StripeSource) Verify(header http.Header, body []byte, now time.Time) error {
	if s.broken || len(s.keys) == 0 {
		return badConfig()
	}
	text, err := one(header, stripeSignature)
	if err != nil {
		return err
	}
	var sigs candidates
	at, signedAt, err := parseStripe(text, &sigs)
	if err != nil {
		return err
	}
	prefix, ok := at+".", false
	for _, key := range s.keys {
		if sigs.match(sha256MAC(key, prefix, body, "")) {
			ok = true
		}
	}
	if !ok {
		return sigs.mismatch(len(s.keys))
	}
	return s.window.check(now, signedAt, time.Second)
}

// parseStripe reads t=…,v1=…,v1=…. As in Stripe's own libraries every pair has
// exactly one equals sign and nothing is trimmed. A second t that differs makes
// the header malformed: which one was signed would be our guess.
func parseStripe(text string, sigs *candidates) (at string, signedAt time.Time, err error) {
	malformed := func(detail string) (string, time.Time, error) {
		return "", time.Time{}, refuse(hook.ReasonMalformedHeader, stripeSignature+": "+detail)
	}
	other := false
	for pair := range strings.SplitSeq(text, ",") {
		name, val, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(val, "=") {
			return malformed("a part is not name=value")
		}
		switch name {
		case "t":
			if at != "" && at != val {
				return malformed("two different times")
			}
			if at = val; at == "" {
				return malformed("the time is empty")
			}
		case "v1":
			sigs.add(val, hex.DecodeString)
		default:
			other = true
		}
	}
	if signedAt, ok := unixTime(at, time.Second); ok {
		switch {
		case sigs.seen > 0:
			return at, signedAt, nil
		case other:
			return "", time.Time{}, refuse(hook.ReasonUnsupportedVersionOnly, stripeSignature+": no v1 signature")
		}
		return malformed("no signature")
	}
	return malformed("no time in Unix seconds")
}

// Refusal returns 400, which is what Stripe's libraries teach applications to
// answer.
func (s *StripeSource) Refusal() int { return http.StatusBadRequest }

// Handshake reports false: Stripe's ping is an ordinary event.
func (s *StripeSource) Handshake(http.Header, []byte) ([]byte, bool) { return nil, false }

// Canonical returns body without the value of the top-level pending_webhooks,
// the count of deliveries still outstanding, which Stripe changes between
// deliveries of one event. A body in which that is not exactly one whole number
// comes back as it is. It never changes body.
func (s *StripeSource) Canonical(body []byte) []byte {
	var p peek
	if s.paths.read(body, &p) != nil || p.ambiguous {
		return body
	}
	v := p.get(stripePending)
	if v.kind != '0' {
		return body
	}
	if _, err := strconv.ParseUint(string(body[v.start:v.end]), 10, 64); err != nil {
		return body
	}
	out := make([]byte, 0, len(body))
	return append(append(out, body[:v.start]...), body[v.end:]...)
}

// Sign sets Stripe-Signature as Stripe would at that time.
func (s *StripeSource) Sign(header http.Header, body []byte, now time.Time) error {
	if len(s.keys) == 0 {
		return s.noKey()
	}
	at := strconv.FormatInt(now.Unix(), 10)
	sum := sha256MAC(s.keys[0], at+".", body, "")
	header.Set(stripeSignature, "t="+at+",v1="+hex.EncodeToString(sum))
	setDefault(header, "Content-Type", "application/json; charset=utf-8")
	return nil
}
