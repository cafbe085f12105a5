package source

import (
	"fmt"
	"strings"
)

// shortSecret is the length under which a secret draws a warning. It is no
// limit: senders' own test vectors use shorter ones.
const shortSecret = 16

// placeholder reports whether a secret is empty or stands for one that somebody
// forgot to fill in. Verifying with such a key would accept what anybody signs.
func placeholder(secret string) bool {
	s := strings.ToLower(strings.TrimSpace(secret))
	for _, prefix := range [...]string{"whsec_", "whsk_", "whpk_", "v1,"} {
		s = strings.TrimPrefix(s, prefix)
	}
	switch {
	case strings.Trim(s, ".…*-_ ") == "":
		return true
	case s == "changeme", s == "change_me", s == "change-me":
		return true
	case strings.HasPrefix(s, "your_"), strings.HasPrefix(s, "your-"), strings.HasPrefix(s, "xxxx"):
		return true
	case strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">"):
		return true
	}
	return strings.HasPrefix(s, "${")
}

// checkSecrets notes placeholders and doubtful secrets.
func (b *base) checkSecrets() {
	for i, s := range b.config.Secrets {
		setting := secretSetting(i)
		switch {
		case placeholder(s):
			b.problem(setting, "is empty or a placeholder")
		case s != strings.TrimSpace(s):
			b.warn(setting, "begins or ends with white space, which counts as part of it")
		case len(s) < shortSecret:
			b.warn(setting, fmt.Sprintf("is shorter than %d characters", shortSecret))
		}
	}
}

// usable returns the secrets that may be verified with, by their position.
func (b *base) usable(yield func(int, string) bool) {
	for i, s := range b.config.Secrets {
		if !placeholder(s) && !yield(i, s) {
			return
		}
	}
}

func secretSetting(i int) string { return fmt.Sprintf("secrets[%d]", i) }

// apiKey reports whether a secret is a key for calling the sender's API, which
// signs nothing: the commonest mix-up.
func apiKey(s string) bool {
	for _, p := range [...]string{
		"sk_", "rk_", "pk_", // Stripe
		"test_sk", "live_sk", "test_ck", "live_ck", "test_gsk", "live_gsk", "test_gck", "live_gck", // Toss
		"ghp_", "gho_", "ghs_", "github_pat_", // GitHub
	} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// textKeys returns the usable secrets as key bytes, undecoded.
func (b *base) textKeys() [][]byte {
	var keys [][]byte
	for i, s := range b.usable {
		if apiKey(s) {
			b.problem(secretSetting(i), "is a key of the sender's API, not a signing secret")
			continue
		}
		keys = append(keys, []byte(s))
	}
	return keys
}
