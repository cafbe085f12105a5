package torture

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The judge signs by its own few lines: a mistake in the product's signing must
// not be hidden by the same mistake in the sender.

// sign sets the headers that the sender of the source sends with a body.
func sign(h http.Header, source, key, secret string, body []byte, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Content-Type", "application/json")
	if source == sourceStripe {
		mac := digest([]byte(secret), stamp, ".", string(body))
		h.Set("Stripe-Signature", fmt.Sprintf("t=%s,v1=%s", stamp, hex.EncodeToString(mac)))
		return
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic("torture: secret is not base64") // a programmer's error: secretOf makes it
	}
	mac := digest(raw, key, ".", stamp, ".", string(body))
	h.Set("Webhook-Id", key)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac))
}

func digest(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// secretOf makes the secret of a source from the seed. It guards a throw-away
// database on loopback; what matters is that a run can be repeated.
func secretOf(source string, seed uint64) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(digest([]byte(source), "torture", strconv.FormatUint(seed, 10)))
}

// forgersSecret is what who knows an id, but no secret, signs with.
func forgersSecret(source string) string { return secretOf("forger of "+source, 0) }
