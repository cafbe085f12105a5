package source_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

func TestExplainNamesTheCause(t *testing.T) {
	at := time.Unix(1772323242, 0)
	const body = "{\n  \"id\": \"evt_1\",\n  \"type\": \"a & b\"\n}"
	sign := func(s hook.Source, body string) http.Header {
		h := http.Header{}
		if err := s.(hook.Signer).Sign(h, []byte(body), at); err != nil {
			t.Fatal(err)
		}
		return h
	}
	stripe := source.Stripe("stripe", stripeSecret)
	stripeH := sign(stripe, body)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(body)); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		source hook.Source
		h      http.Header
		body   string
		at     time.Time
		reason hook.Reason
		say    string
	}{
		{"NewlineAdded", stripe, stripeH, body + "\n", at, "bad_signature", "without the newline"},
		{"NewlineLost", stripe, sign(stripe, body+"\n"), body, at, "bad_signature", "with one newline"},
		{"CRLF", stripe, stripeH, strings.ReplaceAll(body, "\n", "\r\n"), at, "bad_signature", "LF instead of CRLF"},
		{"LF", stripe, sign(stripe, strings.ReplaceAll(body, "\n", "\r\n")), body, at, "bad_signature", "CRLF instead of LF"},
		{"BOM", stripe, stripeH, "\uFEFF" + body, at, "bad_signature", "byte order mark"},
		{"Compacted", stripe, stripeH, compact.String(), at, "bad_signature", "indented JSON"},
		{"Indented", stripe, sign(stripe, compact.String()), body, at, "bad_signature", "without white space"},
		{"HTMLEscaped", stripe, sign(stripe, compact.String()), strings.ReplaceAll(compact.String(), "&", `\u0026`), at, "bad_signature", "without white space"},
		{"ChangedAndOld", stripe, stripeH, body + "\n", at.Add(time.Hour), "bad_signature", "without the newline"},
		{"OtherSecret", source.Stripe("stripe", "whsec_anotherSecretAltogether2"), stripeH, body, at, "bad_signature", "another endpoint's"},
		{"PaddedSecret", source.Stripe("stripe", stripeSecret+"\n"), stripeH, body, at, "bad_signature", "white space around"},
		{"Old", stripe, stripeH, body, at.Add(400 * time.Second), "timestamp_too_old", "6m40s before"},
		{"Future", stripe, stripeH, body, at.Add(-400 * time.Second), "timestamp_in_future", "6m40s ahead"},
		{"NoHeaders", stripe, http.Header{}, body, at, "missing_header", "Stripe-Signature is missing"},
		{"StripeAtGitHub", source.GitHub("g", stripeSecret), stripeH, body, at, "missing_header", "set sender to stripe"},
		{"StripeAtGitHubOtherSecret", source.GitHub("g", githubSecret), stripeH, body, at, "missing_header", "Stripe-Signature, which Stripe"},
		{"GitHubAtStripe", stripe, sign(source.GitHub("g", githubSecret), body), body, at, "missing_header", "X-Hub-Signature-256, which GitHub"},
		{"SlackAtStripe", stripe, http.Header{"x-slack-signature": {"v0=00"}}, body, at, "missing_header", "Slack"},
		{"SHA1Only", source.GitHub("g", githubSecret), http.Header{"X-Hub-Signature": {"sha1=00"}}, body, at, "missing_header", "old SHA-1"},
		{"StandardAtStripe", source.Stripe("s", standardSecret), sign(source.StandardWebhooks("s", standardSecret), body), body, at, "missing_header", "set sender to standard-webhooks"},
		{"StripeSecretAtStandard", source.StandardWebhooks("s", "whsec_not base64"), http.Header{}, body, at, "bad_config", "a Stripe secret also begins with whsec_"},
		{"NoSecret", source.Stripe("s"), stripeH, body, at, "bad_config", "none given"},
		{"TossWithoutKey", source.Toss("t"), http.Header{}, payout, at, "bad_config", "no security key"},
		{"TossNotJSON", source.Toss("t"), http.Header{}, "<xml/>", at, "malformed_body", "type of the event cannot be read"},
	}
	asText := source.HMAC("x", source.HMACSpec{
		Header: "Webhook-Signature", Prefix: "v1,", Encoding: "base64", Signed: "{header:Webhook-Id}.{timestamp}.{body}",
		TimestampHeader: "Webhook-Timestamp", Key: "header:Webhook-Id",
	}, standardSecret)
	cases = append(cases, cases[0])
	last := &cases[len(cases)-1]
	last.name, last.source, last.h, last.body, last.say = "SecretAsText",
		source.StandardWebhooks("s", standardSecret), sign(asText, body), body, "undecoded"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := source.Explain(c.source, c.h, []byte(c.body), c.at, "")
			text := strings.Join(e.Detail, "\n")
			if e.Verified || e.Reason != c.reason || !strings.Contains(text, c.say) {
				t.Errorf("%s, want %s and %q in:\n%s", e.Reason, c.reason, c.say, text)
			}
			checkNoSecrets(t, e, c.h)
		})
	}
}

// checkNoSecrets looks for what no explanation may show.
func checkNoSecrets(t *testing.T, e source.Explanation, h http.Header) {
	t.Helper()
	text := fmt.Sprintf("%+v", e)
	hidden := []string{stripeSecret, standardSecret, tossKey, githubSecret, "whsec_not base64", "anotherSecret"}
	for name, values := range h {
		if strings.Contains(name, "Signature") {
			hidden = append(hidden, values...)
		}
	}
	for _, s := range hidden {
		if len(s) > 8 && strings.Contains(text, s) {
			t.Errorf("the explanation shows %q", s)
		}
	}
}

func TestExplainWhatVerifies(t *testing.T) {
	at := time.Unix(1772323242, 0)
	deposit := `{"createdAt":"2026-03-01T11:02:03.2","secret":"ps_1","orderId":"order-1","status":"DONE","transactionKey":"tx"}`
	toss := source.Toss("toss")
	for _, c := range []struct {
		name, body, payment string
		verified            bool
		trust               hook.Trust
		reason              hook.Reason
	}{
		{"Deposit", deposit, "", true, hook.TrustHint, "ok"},
		{"DepositWithItsSecret", deposit, "ps_1", true, hook.TrustSecret, "ok"},
		{"DepositWithAnotherSecret", deposit, "ps_2", false, "", hook.ReasonBadSecret},
		{"OtherHint", `{"eventType":"X","secret":"ps_1"}`, "ps_2", true, hook.TrustHint, "ok"},
	} {
		e := source.Explain(toss, http.Header{}, []byte(c.body), at, c.payment)
		if e.Verified != c.verified || e.Trust != c.trust || e.Reason != c.reason || (e.Key == "") == c.verified {
			t.Errorf("%s: %+v", c.name, e)
		}
	}

	s, h, _, at := stripeDelivery(t)
	body := []byte(`{"type":"x"}`)
	if err := s.Sign(h, body, at); err != nil {
		t.Fatal(err)
	}
	lower := http.Header{"stripe-signature": h["Stripe-Signature"]}
	e := source.Explain(s, lower, body, at, "")
	if !e.Verified || e.Key != sha(string(body)) || e.Type != "x" || e.Trust != hook.TrustSignature {
		t.Errorf("without an id: %+v", e)
	}
	g := source.GitHub("g", githubSecret)
	gh := githubHeader("push", "guid")
	if err := g.Sign(gh, body, at); err != nil {
		t.Fatal(err)
	}
	e = source.Explain(g, gh, body, at, "")
	if !e.Verified || e.Key != "guid" || !strings.Contains(strings.Join(e.Detail, "\n"), "quarantined as type_mismatch") {
		t.Errorf("a quarantine: %+v", e)
	}
	raw, err := json.Marshal(e)
	if err != nil || !strings.HasPrefix(string(raw), `{"verified":true,"trust":"signature","reason":"ok","key":"guid","type":"push","subject":"",`) {
		t.Errorf("%s %v", raw, err)
	}
}
