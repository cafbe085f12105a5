package source_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func signedStandard(t testing.TB, secret, id, body string, at time.Time) http.Header {
	t.Helper()
	h := http.Header{}
	h.Set("Webhook-Id", id)
	if err := source.StandardWebhooks("s", secret).Sign(h, []byte(body), at); err != nil {
		t.Fatal(err)
	}
	return h
}

func rename(h http.Header, from, to string) http.Header {
	out := http.Header{}
	for name, v := range h {
		out[strings.Replace(name, from, to, 1)] = v
	}
	return out
}

func merge(hs ...http.Header) http.Header {
	out := http.Header{}
	for _, h := range hs {
		for name, v := range h {
			out[name] = v
		}
	}
	return out
}

func TestOneFamilyOfHeadersIsReadCompletely(t *testing.T) {
	s, at := source.StandardWebhooks("s", standardSecret), time.Unix(1614265330, 0)
	const body = `{"type":"a"}`
	one := signedStandard(t, standardSecret, "msg_1", body, at)
	two := rename(signedStandard(t, standardSecret, "msg_2", body, at), "Webhook", "Svix")
	without := func(h http.Header, name string) http.Header {
		h = h.Clone()
		h.Del(name)
		return h
	}
	for _, c := range []struct {
		name string
		h    http.Header
		want hook.Reason
		key  string
	}{
		{"Webhook", one, "ok", "msg_1"},
		{"Svix", two, "ok", "msg_2"},
		{"BothCompleteReadWebhook", merge(one, two), "ok", "msg_1"},
		{"WebhookWithAForeignSvixID", merge(one, http.Header{"Svix-Id": {"evil"}}), "ok", "msg_1"},
		{"SvixWithAForeignWebhookID", merge(two, http.Header{"Webhook-Id": {"evil"}}), "ok", "msg_2"},
		{"HalfAndHalf", merge(without(one, "Webhook-Id"), http.Header{"Svix-Id": {"msg_1"}}), hook.ReasonMissingHeader, ""},
		{"ForgedWebhookBesideSvix", merge(two, http.Header{"Webhook-Id": {"x"}, "Webhook-Timestamp": one["Webhook-Timestamp"], "Webhook-Signature": one["Webhook-Signature"]}), hook.ReasonBadSignature, ""},
		{"SvixWithoutTime", without(two, "Svix-Timestamp"), hook.ReasonMissingHeader, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reasonOf(s.Verify(c.h, []byte(body), at)); got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			if id, err := s.Identify(c.h, []byte(body)); c.want == "ok" && (err != nil || id.Key != c.key) {
				t.Errorf("key %q %v, want %q", id.Key, err, c.key)
			}
		})
	}
}

func TestEd25519KeysSignAndVerify(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	whsk := "whsk_" + base64.StdEncoding.EncodeToString(private)
	whpk := "whpk_" + base64.StdEncoding.EncodeToString(private[32:])
	at := time.Unix(1614265330, 0)
	const body = `{"type":"a"}`
	h := signedStandard(t, whsk, "msg_1", body, at)
	if !strings.HasPrefix(h.Get("Webhook-Signature"), "v1a,") {
		t.Fatal("not signed with v1a")
	}
	for _, secrets := range [][]string{{whpk}, {whsk}, {standardSecret, whpk}} {
		s := source.StandardWebhooks("s", secrets...)
		if err := s.Verify(h, []byte(body), at); err != nil {
			t.Error(err)
		}
		if got := reasonOf(s.Verify(h, []byte(body+" "), at)); got != hook.ReasonBadSignature {
			t.Errorf("changed body: %s", got)
		}
	}
	if err := source.StandardWebhooks("s", whpk).Sign(http.Header{}, nil, at); err == nil {
		t.Error("signed with a public key")
	}
	if got := reasonOf(source.StandardWebhooks("s", whpk).Verify(signedStandard(t, standardSecret, "i", body, at), []byte(body), at)); got != hook.ReasonUnsupportedVersionOnly {
		t.Errorf("v1 for a public key: %s", got)
	}
	broken := append(ed25519.PrivateKey(nil), private...)
	broken[63] ^= 1
	for name, bad := range map[string]string{
		"halves": "whsk_" + base64.StdEncoding.EncodeToString(broken),
		"short":  "whpk_" + base64.StdEncoding.EncodeToString(private[:31]),
		"text":   "whsec_not base64 at all!",
		"api":    "sk_live_" + strings.Repeat("a", 24),
	} {
		if err := source.StandardWebhooks("s", bad).Validate(); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStandardSignatureList(t *testing.T) {
	s, at := source.StandardWebhooks("s", standardSecret), time.Unix(1614265330, 0)
	h := signedStandard(t, standardSecret, "msg_1", "{}", at)
	good := h.Get("Webhook-Signature")
	junk := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		list string
		want hook.Reason
	}{
		{good, "ok"}, {junk + " " + good, "ok"}, {"v1,!! " + good, "ok"}, {" " + good + " ", "ok"},
		{strings.Repeat(junk+" ", 7) + good, "ok"}, {strings.Repeat(junk+" ", 8) + good, hook.ReasonBadSignature},
		{good[:len(good)-4], hook.ReasonBadSignature}, {"v1,", hook.ReasonBadSignature}, {"garbage", hook.ReasonMalformedHeader},
		{"v2," + good[3:], hook.ReasonUnsupportedVersionOnly}, {"V1," + good[3:], hook.ReasonUnsupportedVersionOnly},
	} {
		h.Set("Webhook-Signature", c.list)
		if got := reasonOf(s.Verify(h, []byte("{}"), at)); got != c.want {
			t.Errorf("%.40s: %s, want %s", c.list, got, c.want)
		}
	}
}

func TestPortOneSubjects(t *testing.T) {
	for _, c := range []struct{ body, kind, portone string }{
		{`{"type":"Transaction.Paid","timestamp":"2026-03-01T00:30:40.123Z","data":{"paymentId":"order-1"}}`, "Transaction.Paid", "order-1"},
		{`{"type":"BillingKey.Issued","data":{"billingKey":"bk"}}`, "BillingKey.Issued", ""},
		{`{"payment_id":"order-2","tx_id":"t","status":"Paid"}`, "", "order-2"},
		{`{"type":"Transaction.Paid","data":{"paymentId":7}}`, "Transaction.Paid", ""},
	} {
		h := http.Header{"Webhook-Id": {"w"}}
		p, err := source.PortOne("p", standardSecret).Identify(h, []byte(c.body))
		if err != nil || p.Subject != c.portone || p.Type != c.kind || p.Key != "w" || p.KeyUnsigned {
			t.Errorf("%s: %+v %v", c.body, p, err)
		}
		if s, _ := source.StandardWebhooks("s", standardSecret).Identify(h, []byte(c.body)); s.Subject != "" {
			t.Errorf("standard: subject %q", s.Subject)
		}
	}
	id, err := source.PortOne("p", standardSecret).Identify(http.Header{"Webhook-Id": {"w"}}, []byte("not json"))
	if quarantineOf(err) != hook.QuarantineUnreadable || id.Key != "w" {
		t.Errorf("unreadable: %+v %v", id, err)
	}
}
