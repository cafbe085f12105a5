package source_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// goodSecret is one that the sender could have given out.
func goodSecret(sender string) string {
	switch sender {
	case "standard-webhooks", "portone":
		return standardSecret
	case "toss":
		return tossKey
	}
	return stripeSecret
}

func TestEverySenderStartsWithAGoodSecret(t *testing.T) {
	for _, sender := range source.Senders() {
		s := make1(t, sender, goodSecret(sender))
		if err := s.(hook.Validator).Validate(); err != nil {
			t.Errorf("%s: %v", sender, err)
		}
		if w := s.(hook.Validator).Warnings(); len(w) > 0 {
			t.Errorf("%s: warnings %q", sender, w)
		}
		if s.Name() != "test" {
			t.Errorf("%s: name %q", sender, s.Name())
		}
	}
	if _, err := source.New(source.Config{Name: "x", Sender: "Stripe"}); err == nil || !strings.Contains(err.Error(), "stripe, toss") {
		t.Errorf("an unknown sender: %v", err)
	}
}

// TestPlaceholdersVerifyNothing: whoever knows the placeholder could sign.
func TestPlaceholdersVerifyNothing(t *testing.T) {
	for _, secret := range []string{
		"", " ", "\t\n", "whsec_", "whsec_ ", "v1,", "changeme", "ChangeMe", "change-me", "your_secret", "YOUR-SECRET-HERE",
		"<secret>", "whsec_<from the dashboard>", "${STRIPE_WEBHOOK_SECRET}", "whsec_${X}", "xxxx", "XXXXXXXXXXXX",
		"whsec_xxxxxxxxxxxx", "whsec_...", "whsec_…", "****", "----",
	} {
		for _, sender := range source.Senders() {
			s := make1(t, sender, secret)
			err := s.(hook.Validator).Validate()
			if err == nil || !strings.Contains(err.Error(), "secrets[0]") {
				t.Errorf("%s starts with %q: %v", sender, secret, err)
			}
			if trimmed := strings.TrimSpace(secret); len(trimmed) > 6 && strings.Contains(err.Error(), trimmed) {
				t.Errorf("%s tells the value: %v", sender, err)
			}
			if got := reasonOf(s.Verify(http.Header{}, []byte(payout), time.Unix(0, 0))); got != hook.ReasonBadConfig {
				t.Errorf("%s with %q: %s", sender, secret, got)
			}
			if s.(hook.Signer).Sign(http.Header{}, []byte(payout), time.Unix(0, 0)) == nil {
				t.Errorf("%s signs with %q", sender, secret)
			}
		}
	}
}

func TestNoSecretAtAll(t *testing.T) {
	for _, sender := range source.Senders() {
		s := make1(t, sender)
		if err := s.(hook.Validator).Validate(); (err == nil) != (sender == "toss") {
			t.Errorf("%s: %v", sender, err)
		}
		if got := reasonOf(s.Verify(http.Header{}, []byte(payout), time.Unix(0, 0))); got != hook.ReasonBadConfig {
			t.Errorf("%s: %s", sender, got)
		}
	}
}

func TestSecretsOfTheWrongKind(t *testing.T) {
	for sender, secret := range map[string]string{
		"stripe": "sk_live_0123456789abcdef", "toss": "test_sk_0123456789abcdef", "github": "ghp_0123456789abcdef",
		"portone": "whsec_with spaces in it",
	} {
		s := make1(t, sender, secret)
		if err := s.(hook.Validator).Validate(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", sender, err)
		}
		if got := reasonOf(s.Verify(http.Header{}, []byte(payout), time.Unix(0, 0))); got != hook.ReasonBadConfig {
			t.Errorf("%s: %s", sender, got)
		}
	}
	s := source.Stripe("stripe", "sk_live_0123456789abcdef", "", stripeSecret)
	if err := s.Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two bad secrets, one good: %v", err)
	}
	_, h, body, now := stripeDelivery(t)
	if err := s.Verify(h, body, now); err != nil {
		t.Errorf("the good secret still counts: %v", err)
	}
}

func TestDoubtfulSecretsAreWarnedAbout(t *testing.T) {
	for secret, want := range map[string]int{
		stripeSecret: 0, "mysecret": 2, stripeSecret + "\n": 1, strings.TrimPrefix(stripeSecret, "whsec_"): 1,
	} {
		s := source.Stripe("stripe", secret)
		if err := s.Validate(); err != nil {
			t.Errorf("%q: %v", secret, err)
		}
		if got := s.Warnings(); len(got) != want || strings.Contains(strings.Join(got, " "), secret) {
			t.Errorf("%d warnings, want %d: %q", len(got), want, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"stripe": true, "a": true, "a-b_9": true, strings.Repeat("a", 64): true,
		"": false, "Stripe": false, "a b": false, "a/b": false, "é": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		if err := source.Stripe(name, stripeSecret).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTolerances(t *testing.T) {
	spec := &source.HMACSpec{Header: "X-Sig", Signed: "{timestamp}{body}", TimestampHeader: "X-Time"}
	for _, c := range []struct {
		sender    string
		spec      *source.HMACSpec
		tolerance time.Duration
		ok        bool
	}{
		{"stripe", nil, 0, false}, {"stripe", nil, -1, false}, {"stripe", nil, time.Minute, true},
		{"standard-webhooks", nil, 0, false}, {"portone", nil, 0, false}, {"portone", nil, time.Hour, true},
		{"toss", nil, 0, true}, {"toss", nil, time.Minute, true}, {"toss", nil, -time.Second, false},
		{"github", nil, 0, true}, {"github", nil, time.Minute, false},
		{"hmac", spec, 0, false}, {"hmac", spec, time.Minute, true},
		{"hmac", &source.HMACSpec{Header: "X-Sig"}, 0, true}, {"hmac", &source.HMACSpec{Header: "X-Sig"}, time.Minute, false},
	} {
		s, err := source.New(source.Config{
			Name: "s", Sender: c.sender, Secrets: []string{goodSecret(c.sender)}, Tolerance: &c.tolerance, HMAC: c.spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.(hook.Validator).Validate()
		if (err == nil) != c.ok {
			t.Errorf("%s with %s: %v", c.sender, c.tolerance, err)
		}
		if err != nil && c.sender == "stripe" {
			h, body := http.Header{}, []byte("{}")
			if err := s.(hook.Signer).Sign(h, body, time.Unix(1e9, 0)); err != nil {
				t.Fatal(err)
			}
			if got := reasonOf(s.Verify(h, body, time.Unix(1e9, 0))); got != hook.ReasonBadConfig {
				t.Errorf("verifies without a window: %s", got)
			}
		}
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	zero, live := time.Duration(0), true
	s, err := source.New(source.Config{
		Name: "Bad Name", Sender: "stripe", Secrets: []string{"changeme"}, Tolerance: &zero, MaxBodyBytes: -1,
		RatePerSecond: -1, HMAC: &source.HMACSpec{},
	})
	if err != nil {
		t.Fatal(err)
	}
	problems := s.(hook.Validator).Validate().Error()
	for _, setting := range []string{"name:", "secrets[0]:", "tolerance:", "limit:", "rate:", "hmac:"} {
		if !strings.Contains(problems, setting) {
			t.Errorf("%s is not named in:\n%s", setting, problems)
		}
	}
	b := s.(hook.Bounder)
	if b.MaxBodyBytes() != 0 || b.RatePerSecond() != 0 {
		t.Errorf("negative bounds come through: %d %v", b.MaxBodyBytes(), b.RatePerSecond())
	}
	g, err := source.New(source.Config{Name: "g", Sender: "github", Secrets: []string{githubSecret}, Live: &live})
	if err != nil || len(g.(hook.Validator).Warnings()) != 1 {
		t.Errorf("live at a sender without modes: %v", err)
	}
}

// TestEverySenderTakesWhatItSigns is the round trip: with the first secret, read
// by a source that has it second; and not under another secret, a byte more, or
// without the headers.
func TestEverySenderTakesWhatItSigns(t *testing.T) {
	other := map[string]string{"standard-webhooks": "whsec_" + strings.Repeat("QUJD", 8), "portone": "whsec_" + strings.Repeat("QUJD", 8)}
	now := time.Unix(1772323242, 0)
	for _, sender := range source.Senders() {
		t.Run(sender, func(t *testing.T) {
			alien := other[sender]
			if alien == "" {
				alien = "whsec_anotherSecretAltogether2"
			}
			h := http.Header{}
			signer := make1(t, sender, goodSecret(sender), alien)
			if err := signer.(hook.Signer).Sign(h, []byte(payout), now); err != nil {
				t.Fatal(err)
			}
			both := make1(t, sender, alien, goodSecret(sender))
			if err := both.Verify(h, []byte(payout), now); err != nil {
				t.Errorf("round trip: %v", err)
			}
			if got := reasonOf(make1(t, sender, alien).Verify(h, []byte(payout), now)); got != hook.ReasonBadSignature {
				t.Errorf("another secret: %s", got)
			}
			if got := reasonOf(both.Verify(h, []byte(payout+"\n"), now)); got != hook.ReasonBadSignature {
				t.Errorf("a byte more: %s", got)
			}
			if got := reasonOf(both.Verify(http.Header{}, []byte(payout), now)); got != hook.ReasonMissingHeader {
				t.Errorf("no headers: %s", got)
			}
			checkSignTwice(t, signer, h, now)
		})
	}
}

// checkSignTwice signs again an hour later, as a forward does: what names the
// event stays, and the new signature counts.
func checkSignTwice(t *testing.T, s hook.Source, h http.Header, now time.Time) {
	t.Helper()
	before, err := s.Identify(h, []byte(payout))
	if err != nil && !errors.As(err, new(*hook.QuarantineError)) {
		t.Fatal(err)
	}
	later := now.Add(time.Hour)
	if err := s.(hook.Signer).Sign(h, []byte(payout), later); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(h, []byte(payout), later); err != nil {
		t.Errorf("signed again: %v", err)
	}
	after, _ := s.Identify(h, []byte(payout))
	if before.Key != after.Key || before.Type != after.Type {
		t.Errorf("signed again as %+v, was %+v", after, before)
	}
}
