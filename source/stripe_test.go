package source_test

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const stripeSecret = "whsec_testSecretOfThisTest0001"

// stripeMAC is a signature made by Sign, without the time.
func stripeMAC(t testing.TB, body string, at time.Time, secret string) string {
	t.Helper()
	h := http.Header{}
	if err := source.Stripe("s", secret).Sign(h, []byte(body), at); err != nil {
		t.Fatal(err)
	}
	_, mac, _ := strings.Cut(h.Get("Stripe-Signature"), ",v1=")
	return mac
}

func TestStripeHeader(t *testing.T) {
	const body = `{"id":"evt_1"}`
	now := time.Unix(1772323242, 0)
	at := strconv.FormatInt(now.Unix(), 10)
	mac := stripeMAC(t, body, now, stripeSecret)
	ts := "t=" + at + ","
	good, v1 := ts+"v1="+mac, ",v1="
	junk := strings.Repeat("0", 64)
	cases := []struct{ name, header, want string }{
		{"Good", good, "ok"},
		{"UpperCaseHexIsTheSameNumber", ts + "v1=" + strings.ToUpper(mac), "ok"},
		{"BadThenGood", ts + "v1=" + junk + v1 + mac, "ok"},
		{"UnreadableThenGood", ts + "v1=zz,v1=" + mac, "ok"},
		{"GoodThenJunk", good + ",v1=zz,v0=" + junk, "ok"},
		{"SameTimeTwice", ts + good, "ok"},
		{"OrderDoesNotMatter", "v1=" + mac + ",t=" + at, "ok"},
		{"EighthSignature", ts + strings.Repeat("v1="+junk+",", 7) + "v1=" + mac, "ok"},
		{"NinthSignatureIsNotTried", ts + strings.Repeat("v1="+junk+",", 8) + "v1=" + mac, "bad_signature"},
		{"TenThousandSignatures", ts + strings.Repeat("v1="+junk+",", 10000) + "v1=" + mac, "bad_signature"},
		{"GoodPlusOneByte", good + "00", "bad_signature"},
		{"OddHex", good + "0", "bad_signature"},
		{"Empty", ts + "v1=", "bad_signature"},
		{"SpaceHidesV1", ts + " v1=" + mac, "unsupported_version_only"},
		{"V0Only", ts + "v0=" + mac, "unsupported_version_only"},
		{"TimeOnly", "t=" + at, "malformed_header"},
		{"TwoTimes", "t=1," + good, "malformed_header"},
		{"TwoTimesLater", good + ",t=1", "malformed_header"},
		{"NegativeTime", "t=-1,v1=" + mac, "malformed_header"},
		{"SignedTime", "t=+" + at + ",v1=" + mac, "malformed_header"},
		{"HugeTime", "t=99999999999999999999,v1=" + mac, "malformed_header"},
		{"EqualsInValue", ts + "v1=" + mac + "=", "malformed_header"},
		{"NoTime", "v1=" + mac, "malformed_header"},
		{"LeadingZeroWasNotSigned", "t=0" + at + ",v1=" + mac, "bad_signature"},
		{"FarFutureWasNotSigned", "t=99999999999999,v1=" + mac, "bad_signature"},
	}
	for n := range 65 {
		if n != 64 {
			cases = append(cases, struct{ name, header, want string }{
				"Prefix" + strconv.Itoa(n), ts + "v1=" + mac[:n], "bad_signature"})
		}
	}
	s := source.Stripe("stripe", "whsec_anOldOneThatIsRolledOut1", stripeSecret)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{"Stripe-Signature": {c.header}}
			if got := reasonOf(s.Verify(h, []byte(body), now)); got != hook.Reason(c.want) {
				t.Errorf("reason %s, want %s", got, c.want)
			}
		})
	}
}

func TestAHeaderThatComesTwice(t *testing.T) {
	s, h, body, now := stripeDelivery(t)
	good := h.Get("Stripe-Signature")
	for _, c := range []struct {
		want   hook.Reason
		values []string
	}{
		{"ok", []string{good, good}},
		{hook.ReasonMalformedHeader, []string{good, "t=1,v1=00"}},
		{hook.ReasonMalformedHeader, []string{"", good}},
		{hook.ReasonMissingHeader, []string{"", ""}},
	} {
		if got := reasonOf(s.Verify(http.Header{"Stripe-Signature": c.values}, body, now)); got != c.want {
			t.Errorf("%d values: %s, want %s", len(c.values), got, c.want)
		}
	}
}

func TestToleranceHoldsOnBothSides(t *testing.T) {
	s, h, body, at := stripeDelivery(t)
	for _, c := range []struct {
		off  time.Duration
		want hook.Reason
	}{
		{0, "ok"}, {300 * time.Second, "ok"}, {300*time.Second + 999*time.Millisecond, "ok"},
		{301 * time.Second, hook.ReasonTimestampTooOld}, {10 * 365 * 24 * time.Hour, hook.ReasonTimestampTooOld},
		{-300 * time.Second, "ok"}, {-301 * time.Second, hook.ReasonTimestampInFuture},
		{-10 * 365 * 24 * time.Hour, hook.ReasonTimestampInFuture},
	} {
		if got := reasonOf(s.Verify(h, body, at.Add(c.off))); got != c.want {
			t.Errorf("now = signed + %s: %s, want %s", c.off, got, c.want)
		}
	}
	far := http.Header{}
	if err := s.Sign(far, body, time.Unix(999999999999, 0)); err != nil {
		t.Fatal(err)
	}
	if got := reasonOf(s.Verify(far, body, at)); got != hook.ReasonTimestampInFuture {
		t.Errorf("year 33658: %s", got)
	}
}

func TestStripeModes(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		live           *bool
		body, mode     string
		quarantineName hook.Quarantine
	}{
		{nil, `{"id":"e","livemode":false}`, "test", ""},
		{nil, `{"id":"e","livemode":true}`, "live", ""},
		{&yes, `{"id":"e","livemode":true}`, "live", ""},
		{&yes, `{"id":"e","livemode":false}`, "test", hook.QuarantineMode},
		{&no, `{"id":"e","livemode":true}`, "live", hook.QuarantineMode},
		{&no, `{"id":"e","livemode":"true"}`, "", ""},
		{&yes, `{"id":"e","object":"v2.core.event","livemode":false}`, "test", hook.QuarantineMode},
		{&yes, `{"id":"e","livemode":true,"livemode":false}`, "", hook.QuarantineAmbiguous},
	} {
		s, err := source.New(source.Config{Name: "s", Sender: "stripe", Secrets: []string{stripeSecret}, Live: c.live})
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.Identify(nil, []byte(c.body))
		if got := quarantineOf(err); got != c.quarantineName || id.Mode != c.mode || id.Key != "e" {
			t.Errorf("%s: %q mode %q key %q, want %q %q", c.body, got, id.Mode, id.Key, c.quarantineName, c.mode)
		}
	}
}

func quarantineOf(err error) hook.Quarantine {
	var q *hook.QuarantineError
	if errors.As(err, &q) {
		return q.Reason
	}
	return ""
}

func TestStripeCanonicalLeavesOutOnlyTheCount(t *testing.T) {
	s := source.Stripe("stripe", stripeSecret)
	for in, want := range map[string]string{
		`{"id":"e","pending_webhooks":3,"x":1}`:                 `{"id":"e","pending_webhooks":,"x":1}`,
		"{\"pending_webhooks\" : 12 }":                          "{\"pending_webhooks\" :  }",
		`{"data":{"pending_webhooks":3}}`:                       `{"data":{"pending_webhooks":3}}`,
		`{"a":"\"pending_webhooks\":3","pending_webhooks":4}`:   `{"a":"\"pending_webhooks\":3","pending_webhooks":}`,
		`{"pending_webhooks":"3"}`:                              `{"pending_webhooks":"3"}`,
		`{"pending_webhooks":{"a":1}}`:                          `{"pending_webhooks":{"a":1}}`,
		`{"pending_webhooks":-1}`:                               `{"pending_webhooks":-1}`,
		`{"pending_webhooks":1.5}`:                              `{"pending_webhooks":1.5}`,
		`{"pending_webhooks":1,"pending_webhooks":2}`:           `{"pending_webhooks":1,"pending_webhooks":2}`,
		`{"pending_webhooks":1`:                                 `{"pending_webhooks":1`,
		`not json`:                                              `not json`,
		``:                                                      ``,
		`{"pending\u005fwebhooks":7}`:                           `{"pending\u005fwebhooks":}`,
		`{"id":"e"}`:                                            `{"id":"e"}`,
		`{"pending_webhooks":18446744073709551616000,"id":"e"}`: `{"pending_webhooks":18446744073709551616000,"id":"e"}`,
	} {
		body := []byte(in)
		if got := string(s.Canonical(body)); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
		if string(body) != in {
			t.Errorf("%s was changed", in)
		}
	}
}

func TestStripeRefusesWith400(t *testing.T) {
	s := source.Stripe("stripe", stripeSecret)
	if s.Refusal() != http.StatusBadRequest {
		t.Errorf("refusal %d", s.Refusal())
	}
	if _, ok := s.Handshake(nil, nil); ok {
		t.Error("a handshake")
	}
}

// TestHostileBodiesAreIdentified: what verified is quarantined or keyed, never
// refused, and its texts can be stored by any engine.
func TestHostileBodiesAreIdentified(t *testing.T) {
	s := source.Stripe("stripe", stripeSecret)
	long := strings.Repeat("é", 200)
	for _, c := range []struct {
		name, body, key, kind string
		q                     hook.Quarantine
	}{
		{"Empty", "", "", "", hook.QuarantineUnreadable},
		{"NotJSON", "hello", "", "", hook.QuarantineUnreadable},
		{"Array", `[{"id":"e"}]`, "", "", hook.QuarantineUnreadable},
		{"TrailingData", `{"id":"e"} x`, "", "", hook.QuarantineUnreadable},
		{"ByteOrderMark", "\uFEFF" + `{"id":"e"}`, "", "", hook.QuarantineUnreadable},
		{"TooDeep", `{"id":"e","a":` + strings.Repeat("[", 100000), "", "", hook.QuarantineUnreadable},
		{"NoID", `{"type":"x"}`, "", "x", ""},
		{"EmptyID", `{"id":"","type":"x"}`, "", "x", ""},
		{"NumberID", `{"id":7,"type":"x"}`, "", "x", ""},
		{"ObjectID", `{"id":{"id":"e"},"type":["x"]}`, "", "", ""},
		{"CaseCounts", `{"ID":"e","Type":"x"}`, "", "", ""},
		{"IDTwice", `{"id":"e","id":"f","type":"x"}`, "", "x", hook.QuarantineAmbiguous},
		{"EscapedID", `{"\u0069d":"e"}`, "e", "", ""},
		{"EscapedIDTwice", `{"\u0069d":"e","id":"f"}`, "", "", hook.QuarantineAmbiguous},
		{"HugeNumber", `{"id":"e","created":1e400}`, "e", "", ""},
		{"FarTime", `{"id":"e","created":999999999999999999}`, "e", "", ""},
		{"NUL", `{"id":"e\u0000","type":"a\u0000b"}`, "sha256:" + sha("e\x00"), "a\uFFFDb", ""},
		{"BadUTF8", "{\"id\":\"e\xff\",\"type\":\"a\xffb\"}", "sha256:" + sha("e\xff"), "a\uFFFDb", ""},
		{"LoneSurrogate", `{"id":"e\ud800","type":"\udc00"}`, "e\uFFFD", "\uFFFD", ""},
		{"Long", `{"id":"` + long + `","type":"` + long + `"}`, "sha256:" + sha(long), strings.Repeat("é", 127), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := s.Identify(nil, []byte(c.body))
			if got := quarantineOf(err); got != c.q || id.Key != c.key || id.Type != c.kind || id.Trust != hook.TrustSignature {
				t.Errorf("key %q type %q %q %s, want %q %q %q", id.Key, id.Type, got, id.Trust, c.key, c.kind, c.q)
			}
			if !id.OccurredAt.IsZero() {
				t.Errorf("a time out of nothing: %s", id.OccurredAt)
			}
		})
	}
}

func TestSignatureBytesAreHex(t *testing.T) {
	if raw, err := hex.DecodeString(stripeMAC(t, "{}", time.Unix(1, 0), stripeSecret)); err != nil || len(raw) != 32 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}
