package source_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// fuzzSource feeds a source with foreign headers and bodies. Nothing may panic;
// what verifies must be the signature that we make ourselves or a hint; and what
// Identify returns must fit every engine.
func fuzzSource(f *testing.F, sender string, sig, at, third string) {
	f.Helper()
	for _, v := range loadVectors(f) {
		if v.sender() == sender {
			h := v.header()
			f.Add(h.Get(sig), h.Get(at), h.Get(third), []byte(v.Body), v.Now)
		}
	}
	f.Add("", "", "", []byte(strings.Repeat("[", 2000)), int64(0))
	s := make1(f, sender, goodSecret(sender))
	f.Fuzz(func(t *testing.T, sigText, atText, thirdText string, body []byte, now int64) {
		h := http.Header{}
		h.Set(sig, sigText)
		h.Set(at, atText)
		h.Set(third, thirdText)
		clock := time.Unix(now%(1<<40), 0)
		err := s.Verify(h, body, clock)
		if r := reasonOf(err); strings.Contains(string(r), " ") {
			t.Fatal(err)
		}
		checkIdentity(t, s, h, body)
		if c, ok := s.(hook.Canonicaler); ok && len(c.Canonical(body)) > len(body) {
			t.Fatal("Canonical makes a body longer")
		}
		if e := source.Explain(s, h, body, clock, thirdText); err != nil && e.Verified {
			t.Fatal("Explain takes what Verify refuses")
		}
		checkRoundTrip(t, s, h, body, clock)
	})
}

func checkIdentity(t *testing.T, s hook.Source, h http.Header, body []byte) {
	before := bytes.Clone(body)
	id, err := s.Identify(h, body)
	if err != nil && quarantineOf(err) == "" {
		t.Fatalf("an error that is no quarantine: %v", err)
	}
	for _, text := range []string{id.Key, id.Type, id.Subject} {
		if len(text) > 255 || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			t.Fatalf("a text that not every engine holds: %q", text)
		}
	}
	if y := id.OccurredAt.Year(); !id.OccurredAt.IsZero() && (y < 1970 || y > 9999) {
		t.Fatalf("a time that not every engine holds: %s", id.OccurredAt)
	}
	if again, _ := s.Identify(h, body); again.Key != id.Key || again.Type != id.Type || again.Subject != id.Subject {
		t.Fatal("the same bytes give two answers")
	}
	if !bytes.Equal(before, body) {
		t.Fatal("the body was changed")
	}
}

func checkRoundTrip(t *testing.T, s hook.Source, h http.Header, body []byte, clock time.Time) {
	if clock.Unix() < 0 || s.(hook.Signer).Sign(h, body, clock) != nil {
		return
	}
	if err := s.Verify(h, body, clock); err != nil && reasonOf(err) != hook.ReasonMalformedBody {
		t.Fatalf("what we sign does not verify: %v", err)
	}
}

func FuzzStripe(f *testing.F) { fuzzSource(f, "stripe", "Stripe-Signature", "X-None", "X-None-Either") }

func FuzzToss(f *testing.F) {
	fuzzSource(f, "toss", "Tosspayments-Webhook-Signature", "Tosspayments-Webhook-Transmission-Time",
		"Tosspayments-Webhook-Transmission-Id")
}

func FuzzGitHub(f *testing.F) {
	fuzzSource(f, "github", "X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery")
}

func FuzzStandardWebhooks(f *testing.F) {
	fuzzSource(f, "standard-webhooks", "Webhook-Signature", "Webhook-Timestamp", "Webhook-Id")
}

func FuzzPortOne(f *testing.F) {
	fuzzSource(f, "portone", "Webhook-Signature", "Webhook-Timestamp", "Webhook-Id")
}

func FuzzHMAC(f *testing.F) { fuzzSource(f, "hmac", "X-Signature", "X-Time", "X-Id") }

// FuzzHMACSpec compiles foreign specs: a spec is refused or it signs what it
// verifies.
func FuzzHMACSpec(f *testing.F) {
	f.Add("X-Sig", "sha256=", ",", "{timestamp}.{body}", "X-Time", "json:id", []byte(`{"id":"a"}`))
	f.Add("X-Sig", "", "", "{header:X-Id}{body}", "", "header:X-Id", []byte("x"))
	f.Add("X-Sig", "", " ", "{", "}", "json:a.[].*", []byte("{}"))
	f.Fuzz(func(t *testing.T, header, prefix, split, signed, timestamp, key string, body []byte) {
		s := source.HMAC("s", source.HMACSpec{
			Header: header, Prefix: prefix, Split: split, Signed: signed, TimestampHeader: timestamp, Key: key,
		}, hmacSecret)
		h, now := http.Header{}, time.Unix(1772323242, 0)
		err := s.Sign(h, body, now)
		if s.Validate() != nil {
			if reasonOf(s.Verify(h, body, now)) != hook.ReasonBadConfig {
				t.Fatal("a refused spec verifies")
			}
			return
		}
		checkIdentity(t, s, h, body)
		if err == nil && s.Verify(h, body, now) == nil {
			if s.Verify(h, append(bytes.Clone(body), 'x'), now) == nil {
				t.Fatal("the body is not covered")
			}
		}
	})
}

func FuzzTossDepositSecret(f *testing.F) {
	for _, v := range loadVectors(f) {
		if v.Provider == "toss" {
			f.Add([]byte(v.Body), v.Secret)
		}
	}
	f.Add([]byte(`{"secret":""}`), "")
	f.Fuzz(func(t *testing.T, body []byte, stored string) {
		if source.TossDepositSecret(body, stored) && (stored == "" || !bytes.Contains(body, []byte("s"))) && !bytes.Contains(body, []byte(`\u`)) {
			t.Fatal("nothing equals an empty secret")
		}
	})
}

func FuzzExplain(f *testing.F) {
	for _, v := range loadVectors(f) {
		for name, value := range v.Headers {
			f.Add(name, value, []byte(v.Body), v.Now, v.Secret)
		}
	}
	senders := source.Senders()
	f.Fuzz(func(t *testing.T, name, value string, body []byte, now int64, secret string) {
		h := http.Header{name: {value}}
		for _, sender := range senders {
			s := make1(t, sender, secret)
			e := source.Explain(s, h, body, time.Unix(now%(1<<40), 0), "ps_1")
			if len(secret) >= 16 && strings.Contains(strings.Join(e.Detail, "\n"), secret) && !strings.Contains(string(body), secret) {
				t.Fatal("the explanation shows the secret")
			}
			if !e.Verified && (e.Key != "" || e.Type != "" || len(e.Detail) == 0) {
				t.Fatalf("unverified: %+v", e)
			}
		}
	})
}
