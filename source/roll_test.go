package source_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// TestSecretsOfADelivery: with which of its secrets a delivery was signed, and how
// many of its signatures are nobody's.
func TestSecretsOfADelivery(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	body := []byte(`{"id":"evt_1","type":"x","object":"event"}`)
	type signing interface {
		hook.Signer
		hook.SecretTeller
	}
	for name, c := range map[string]struct {
		of     func(secrets ...string) signing
		header string
		join   string // between two signatures
		a, b   string
	}{
		"stripe": {func(s ...string) signing { return source.Stripe("s", s...) }, "Stripe-Signature", ",v1=", "whsec_first_of_two_secrets", "whsec_second_of_two_secrets"},
		"standard": {func(s ...string) signing { return source.StandardWebhooks("s", s...) }, "Webhook-Signature", " v1,",
			"whsec_Zmlyc3Rfb2ZfdHdvX3NlY3JldHM=", "whsec_c2Vjb25kX29mX3R3b19zZWNyZXQ="},
		"github": {func(s ...string) signing { return source.GitHub("s", s...) }, "X-Hub-Signature-256", "", "first-of-two-secrets", "second-of-two-secrets"},
	} {
		sign := func(secret string) http.Header {
			h := http.Header{}
			if err := c.of(secret).Sign(h, body, now); err != nil {
				t.Fatal(err)
			}
			return h
		}
		told := func(s signing, h http.Header) string {
			ours, others := s.SecretsOf(h, body, now)
			return fmt.Sprint(ours, others)
		}
		both := c.of(c.a, c.b)
		for secret, want := range map[string]string{c.a: "[0] 0", c.b: "[1] 0"} {
			if got := told(both, sign(secret)); got != want {
				t.Errorf("%s: signed with one: %s, want %s", name, got, want)
			}
		}
		if c.join == "" {
			continue
		}
		h := sign(c.a)
		_, second, _ := strings.Cut(sign(c.b).Get(c.header), c.join[1:])
		h.Set(c.header, h.Get(c.header)+c.join+second)
		for i, s := range []signing{both, c.of(c.a), c.of(c.b)} {
			if got, want := told(s, h), []string{"[0 1] 0", "[0] 1", "[0] 1"}[i]; got != want {
				t.Errorf("%s: signed with both, case %d: %s, want %s", name, i, got, want)
			}
		}
	}
}
