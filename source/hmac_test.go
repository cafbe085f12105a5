package source_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const hmacSecret = "aSecretForTheDeclaredSender"

func TestSpecsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		setting string
		spec    source.HMACSpec
	}{
		{"hmac.header", source.HMACSpec{}},
		{"hmac.header", source.HMACSpec{Header: "X Bad"}},
		{"hmac.algorithm", source.HMACSpec{Header: "X", Algorithm: "sha1"}},
		{"hmac.algorithm", source.HMACSpec{Header: "X", Algorithm: "md5"}},
		{"hmac.encoding", source.HMACSpec{Header: "X", Encoding: "base32"}},
		{"hmac.secret_encoding", source.HMACSpec{Header: "X", SecretEncoding: "rot13"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "constant"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{body}{body}"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{body"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{body}{url}"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{body}{header:}"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{timestamp}{body}"}},
		{"hmac.signed", source.HMACSpec{Header: "X", TimestampHeader: "X-Time"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{header:x}{body}"}},
		{"hmac.signed", source.HMACSpec{Header: "X", Signed: "{timestamp}{body}", TimestampHeader: "x"}},
		{"hmac.timestamp_unit", source.HMACSpec{Header: "X", TimestampUnit: "ns"}},
		{"hmac.timestamp_unit", source.HMACSpec{Header: "X", TimestampUnit: "ms"}},
		{"hmac.key", source.HMACSpec{Header: "X", Key: "id"}},
		{"hmac.key", source.HMACSpec{Header: "X", Key: "json:"}},
		{"hmac.key", source.HMACSpec{Header: "X", Key: "json:a..b"}},
		{"hmac.type", source.HMACSpec{Header: "X", Type: "json:a.b.c.d.e.f.g.h.i"}},
		{"hmac.type", source.HMACSpec{Header: "X", Type: "json:a.*"}},
		{"hmac.subject", source.HMACSpec{Header: "X", Subject: "header:"}},
	} {
		s := source.HMAC("legacy", c.spec, hmacSecret)
		err := s.Validate()
		if err == nil || !strings.Contains(err.Error(), c.setting+":") {
			t.Errorf("%+v: %v, want %s named", c.spec, err, c.setting)
		}
		if got := reasonOf(s.Verify(http.Header{}, nil, time.Unix(0, 0))); got != hook.ReasonBadConfig {
			t.Errorf("%+v: a wrong spec verifies with %s", c.spec, got)
		}
		if err := s.Sign(http.Header{}, nil, time.Unix(0, 0)); err == nil {
			t.Errorf("%+v: a wrong spec signs", c.spec)
		}
	}
}

// TestDeclaredSenders spells out senders whose recipes are known, so that a
// signature made by other code is understood.
func TestDeclaredSenders(t *testing.T) {
	m := hmac.New(sha512.New, []byte{0xab, 0xcd})
	m.Write([]byte("v0:1772323242123:POST:{}!"))
	h := http.Header{}
	h.Set("X-Sig", "a=AAAA; v0="+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	h.Set("X-Time", "1772323242123")
	h.Set("X-Method", "POST")
	s := source.HMAC("legacy", source.HMACSpec{
		Header: "x-sig", Prefix: "v0=", Split: ";", Algorithm: "sha512", Encoding: "base64", SecretEncoding: "hex",
		Signed: "v0:{timestamp}:{header:x-method}:{body}!", TimestampHeader: "x-time", TimestampUnit: "ms",
	}, "abcd")
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1772323242123)
	for off, want := range map[time.Duration]hook.Reason{
		0: "ok", 5 * time.Minute: "ok", 5*time.Minute + time.Millisecond: hook.ReasonTimestampTooOld,
		-5*time.Minute - time.Millisecond: hook.ReasonTimestampInFuture,
	} {
		if got := reasonOf(s.Verify(h, []byte("{}"), at.Add(off))); got != want {
			t.Errorf("%s: %s, want %s", off, got, want)
		}
	}
	for _, name := range []string{"X-Sig", "X-Time", "X-Method"} {
		less := h.Clone()
		less.Del(name)
		if got := reasonOf(s.Verify(less, []byte("{}"), at)); got != hook.ReasonMissingHeader {
			t.Errorf("without %s: %s", name, got)
		}
	}
	h.Set("X-Method", "PUT")
	if got := reasonOf(s.Verify(h, []byte("{}"), at)); got != hook.ReasonBadSignature {
		t.Errorf("another signed header: %s", got)
	}
	h.Set("X-Sig", "v1=AAAA")
	if got := reasonOf(s.Verify(h, []byte("{}"), at)); got != hook.ReasonMalformedHeader {
		t.Errorf("no prefix: %s", got)
	}
}

func TestDeclaredIdentity(t *testing.T) {
	h := http.Header{}
	h.Set("X-Id", "header-id")
	h.Set("X-Event", "header-type")
	const body = `{"id":12,"event":"paid","data":{"order":"o-1"},"d.x":1}`
	for _, c := range []struct {
		name string
		spec source.HMACSpec
		body string
		want hook.Identity
		q    hook.Quarantine
	}{
		{"JSON", source.HMACSpec{Key: "json:id", Type: "json:event", Subject: "json:data.order"}, body,
			hook.Identity{Key: "12", Type: "paid", Subject: "o-1"}, ""},
		{"SamePathTwice", source.HMACSpec{Key: "json:id", Subject: "json:id"}, body, hook.Identity{Key: "12", Subject: "12"}, ""},
		{"UnsignedHeaderKey", source.HMACSpec{Key: "header:X-ID", Type: "header:x-event"}, body,
			hook.Identity{Key: "header-id", Type: "header-type", KeyUnsigned: true}, ""},
		{"MissingUnsignedHeaderKey", source.HMACSpec{Key: "header:X-Other"}, body, hook.Identity{KeyUnsigned: true}, ""},
		{"SignedHeaderKey", source.HMACSpec{Key: "header:x-id", Signed: "{header:X-Id}.{body}"}, body, hook.Identity{Key: "header-id"}, ""},
		{"NothingToRead", source.HMACSpec{}, "not json", hook.Identity{}, ""},
		{"NotJSON", source.HMACSpec{Key: "json:id", Type: "header:x-event"}, "not json", hook.Identity{Type: "header-type"}, hook.QuarantineUnreadable},
		{"Twice", source.HMACSpec{Key: "json:id", Type: "json:event"}, `{"id":1,"id":2,"event":"e"}`, hook.Identity{Type: "e"}, hook.QuarantineAmbiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Header = "X-Signature"
			s := source.HMAC("legacy", c.spec, hmacSecret)
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			got, err := s.Identify(h, []byte(c.body))
			if got.Key != c.want.Key || got.Type != c.want.Type || got.Subject != c.want.Subject ||
				got.KeyUnsigned != c.want.KeyUnsigned || got.Trust != hook.TrustSignature || quarantineOf(err) != c.q {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	warned := source.HMAC("legacy", source.HMACSpec{Header: "X", Type: "header:X-Event"}, hmacSecret)
	if w := warned.Warnings(); len(w) != 1 || !strings.Contains(w[0], "hmac.type") {
		t.Errorf("an unsigned type draws %q", w)
	}
}
