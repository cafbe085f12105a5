package source

import (
	"net/http"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ = [...]hook.SecretTeller{(*StripeSource)(nil), (*TossSource)(nil), (*GitHubSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}

// SecretsOf implements hook.SecretTeller: it verifies with each secret alone.
func (b *base) SecretsOf(header http.Header, body []byte, at time.Time) (ours []int, others int) {
	for i, secret := range b.usable {
		c := b.config
		c.Secrets = []string{secret}
		alone, err := New(c)
		if err == nil && alone.Verify(header, body, at) == nil {
			ours = append(ours, i)
		}
	}
	return ours, max(b.signatures(header)-len(ours), 0)
}

// signatures is how many the sender has written, where it may write several.
func (b *base) signatures(header http.Header) int {
	switch b.config.Sender {
	case senderStripe:
		var sigs candidates
		if _, _, err := parseStripe(loose(header, stripeSignature), &sigs); err == nil {
			return sigs.seen
		}
	case senderStandard, senderPortOne:
		n := 0
		for entry := range strings.SplitSeq(loose(header, familyOf(header).sig), " ") {
			if strings.HasPrefix(entry, "v1,") && n < maxSignatures {
				n++
			}
		}
		return n
	}
	return 1
}
