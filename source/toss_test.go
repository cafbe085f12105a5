package source_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const (
	tossKey = "3f1c0a9b7d5e4c2f8a6b1d0e9f7c5a3b2d4e6f8091a2b3c4d5e6f708192a3b4c"
	payout  = `{"eventType":"payout.changed","eventId":"evt_1","createdAt":"2026-03-05T15:00:05+09:00","entityBody":{"id":"FPA_1"}}`
)

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func tossHeader(key []byte, body, at string) http.Header {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(body + ":" + at))
	h := http.Header{}
	h.Set("tosspayments-webhook-signature", "v1:"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	h.Set("tosspayments-webhook-transmission-time", at)
	h.Set("tosspayments-webhook-transmission-id", "whtrans_1")
	return h
}

func TestTossKeyIsReadInBothWays(t *testing.T) {
	raw, err := hex.DecodeString(tossKey)
	if err != nil {
		t.Fatal(err)
	}
	s := source.Toss("toss", tossKey)
	const at = "2026-03-05T15:00:07+09:00"
	for name, key := range map[string][]byte{"text": []byte(tossKey), "bytes": raw} {
		if err := s.Verify(tossHeader(key, payout, at), []byte(payout), time.Unix(0, 0)); err != nil {
			t.Errorf("key as %s: %v", name, err)
		}
	}
	if got := reasonOf(s.Verify(tossHeader(nil, payout, at), []byte(payout), time.Unix(0, 0))); got != hook.ReasonBadSignature {
		t.Errorf("the empty key: %s", got)
	}
}

func TestTossSignedTypeNeverPassesAsAHint(t *testing.T) {
	for _, s := range []*source.TossSource{source.Toss("toss", tossKey), source.Toss("toss")} {
		for _, body := range []string{
			payout,
			`{"eventType":"seller.changed","eventId":"e"}`,
			`{"\u0065ventType":"payout.changed"}`,
			`{"eventType":"payout\u002echanged"}`,
			`{"eventType":"payout.changed","eventType":"X"}`,
			`{"eventType":"X","eventType":"payout.changed"}`,
			`{"eventType":"X","\u0065ventType":"payout.changed"}`,
			`{"eventType":["payout.changed"]}`, `{"eventType":null,"orderId":"o","transactionKey":"t"}`,
			`{"eventType":""}`, `{"eventType":1}`, `{"eventType":{}}`,
			`[{"eventType":"X"}]`, `"X"`, ``, `{`, payout + `x`, "\uFEFF" + `{"eventType":"X"}`,
			`{"eventType":"X","a":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`,
		} {
			if err := s.Verify(http.Header{}, []byte(body), time.Unix(0, 0)); err == nil {
				t.Errorf("%.60s was taken", body)
			}
		}
	}
}

func TestTossWithoutAKey(t *testing.T) {
	s := source.Toss("toss")
	if err := s.Validate(); err != nil {
		t.Errorf("it must start: %v", err)
	}
	if len(s.Warnings()) != 1 {
		t.Errorf("warnings: %q", s.Warnings())
	}
	h := tossHeader(nil, payout, "2026-03-05T15:00:07+09:00")
	if got := reasonOf(s.Verify(h, []byte(payout), time.Unix(0, 0))); got != hook.ReasonBadConfig {
		t.Errorf("a signed type: %s", got)
	}
	if err := s.Verify(http.Header{}, []byte(`{"eventType":"PAYMENT_STATUS_CHANGED"}`), time.Unix(0, 0)); err != nil {
		t.Errorf("a hint: %v", err)
	}
	if err := s.Sign(http.Header{}, []byte(payout), time.Unix(0, 0)); err == nil {
		t.Error("signed without a key")
	}
}

func TestTossWindowIsOffUnlessSet(t *testing.T) {
	d := time.Minute
	with, err := source.New(source.Config{Name: "toss", Sender: "toss", Secrets: []string{tossKey}, Tolerance: &d})
	if err != nil {
		t.Fatal(err)
	}
	h := tossHeader([]byte(tossKey), payout, "2026-03-05T15:00:07+09:00")
	at := time.Date(2026, 3, 5, 6, 0, 7, 0, time.UTC)
	for off, want := range map[time.Duration]hook.Reason{
		0: "ok", time.Minute: "ok", -time.Minute: "ok",
		61 * time.Second: hook.ReasonTimestampTooOld, -61 * time.Second: hook.ReasonTimestampInFuture,
	} {
		if got := reasonOf(with.Verify(h, []byte(payout), at.Add(off))); got != want {
			t.Errorf("%s: %s, want %s", off, got, want)
		}
		if err := source.Toss("toss", tossKey).Verify(h, []byte(payout), at.Add(off*1000)); err != nil {
			t.Errorf("no window: %v", err)
		}
	}
	odd := tossHeader([]byte(tossKey), payout, "yesterday")
	if got := reasonOf(with.Verify(odd, []byte(payout), at)); got != hook.ReasonMalformedHeader {
		t.Errorf("an unreadable time under a window: %s", got)
	}
}

func TestHintKeysNeverCollide(t *testing.T) {
	s := source.Toss("toss")
	key := func(transmission, body string) string {
		h := http.Header{}
		h.Set("tosspayments-webhook-transmission-id", transmission)
		id, err := s.Identify(h, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return id.Key
	}
	const a, b = `{"eventType":"A"}`, ` {"eventType":"A"}`
	want := "hint:" + sha("t1\x00"+a)
	if got := key("t1", a); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	seen := map[string]string{}
	for _, k := range [][2]string{{"t1", a}, {"t2", a}, {"t1", b}, {"t1 ", a}, {"", a}, {"t1" + a, a}} {
		got := key(k[0], k[1])
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q share a key", k, other)
		}
		seen[got] = k[0] + "|" + k[1]
	}
}

func TestTossAddresses(t *testing.T) {
	s := source.Toss("toss")
	for addr, want := range map[string]bool{
		"13.124.18.147": true, "115.92.221.121": true, "115.92.221.124": false, "115.92.221.127": true,
		"::ffff:3.38.81.32": true, "127.0.0.1": false, "::1": false,
	} {
		if got := s.Published(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if s.Published(netip.Addr{}) {
		t.Error("no address is published")
	}
}

func TestTossDepositSecretIsNeverEmpty(t *testing.T) {
	for _, c := range []struct {
		body, stored string
		want         bool
	}{
		{`{"secret":"ps_1"}`, "ps_1", true},
		{`{"secret":"ps_\u0031"}`, "ps_1", true},
		{`{"secret":"ps_1"}`, "ps_12", false},
		{`{"secret":"ps_12"}`, "ps_1", false},
		{`{"secret":""}`, "", false},
		{`{}`, "", false},
		{`{"secret":null}`, "", false},
		{`{"secret":0}`, "0", false},
		{`{"secret":"ps_1","secret":"ps_1"}`, "ps_1", false},
		{`{"Secret":"ps_1"}`, "ps_1", false},
		{`{"data":{"secret":"ps_1"}}`, "ps_1", false},
		{`ps_1`, "ps_1", false},
		{``, "", false},
	} {
		if got := source.TossDepositSecret([]byte(c.body), c.stored); got != c.want {
			t.Errorf("%s with %q: %v", c.body, c.stored, got)
		}
	}
}
