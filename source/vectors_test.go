package source_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// vector is one delivery of testdata/vectors and what must be said of it.
type vector struct {
	ID          string            `json:"id"`
	Provider    string            `json:"provider"`
	Secret      string            `json:"secret"`
	Secrets     []string          `json:"secrets"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
	Now         int64             `json:"now"`
	Valid       bool              `json:"valid"`
	StrictValid *bool             `json:"strict_valid"`
	Reason      hook.Reason       `json:"reason"`
	EventID     string            `json:"event_id"`
	EventType   string            `json:"event_type"`
	Trust       string            `json:"trust"`
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(raw, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) < 80 {
		t.Fatalf("only %d vectors", len(vs))
	}
	return vs
}

func (v vector) source(t testing.TB) hook.Source {
	t.Helper()
	secrets := v.Secrets
	if secrets == nil {
		secrets = []string{v.Secret}
	}
	return make1(t, v.sender(), secrets...)
}

func (v vector) sender() string {
	return strings.Replace(v.Provider, "standardwebhooks", "standard-webhooks", 1)
}

func (v vector) header() http.Header {
	h := http.Header{}
	for name, value := range v.Headers {
		h.Set(name, value)
	}
	return h
}

// make1 makes a source of a sender with the settings that tests want.
func make1(t testing.TB, sender string, secrets ...string) hook.Source {
	t.Helper()
	c := source.Config{Name: "test", Sender: sender, Secrets: secrets}
	if sender == "hmac" {
		c.HMAC = &source.HMACSpec{
			Header: "X-Signature", Prefix: "sha256=", Split: ",", Signed: "{timestamp}.{header:X-Id}.{body}",
			TimestampHeader: "X-Time", Key: "header:X-Id", Type: "json:event", Subject: "json:data.id",
		}
	}
	s, err := source.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func reasonOf(err error) hook.Reason {
	if err == nil {
		return "ok"
	}
	var u *hook.UnverifiedError
	if !errors.As(err, &u) || !errors.Is(err, hook.ErrUnverified) {
		return hook.Reason("no UnverifiedError: " + err.Error())
	}
	return u.Reason
}

// strictReason is our answer where it is stricter than the sender's own.
func (v vector) strictReason() (bool, hook.Reason) {
	switch {
	case v.Provider == "stripe" && v.StrictValid != nil && !*v.StrictValid:
		return false, hook.ReasonTimestampInFuture
	case v.Valid:
		return true, "ok"
	}
	return v.Valid, v.Reason
}

func TestVectors(t *testing.T) {
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			if strings.HasPrefix(v.ID, "toss/deposit-secret-") {
				if got := source.TossDepositSecret([]byte(v.Body), v.Secret); got != v.Valid {
					t.Errorf("TossDepositSecret = %v, want %v", got, v.Valid)
				}
				if err := v.source(t).Verify(v.header(), []byte(v.Body), time.Unix(v.Now, 0)); err != nil {
					t.Errorf("a deposit is a hint whatever its secret: %v", err)
				}
				return
			}
			checkVector(t, v)
		})
	}
}

func checkVector(t *testing.T, v vector) {
	s, h, now := v.source(t), v.header(), time.Unix(v.Now, 0)
	valid, reason := v.strictReason()
	err := s.Verify(h, []byte(v.Body), now)
	if got := reasonOf(err); got != reason {
		t.Errorf("Verify: reason %s, want %s (%v)", got, reason, err)
	}
	e := source.Explain(s, h, []byte(v.Body), now, "")
	if e.Verified != valid || e.Reason != reason {
		t.Errorf("Explain: %v %s, want %v %s", e.Verified, e.Reason, valid, reason)
	}
	if !valid {
		if e.Key != "" || e.Type != "" || e.Subject != "" || e.Trust != "" {
			t.Errorf("Explain read from an unverified delivery: %+v", e)
		}
		if len(e.Detail) == 0 {
			t.Error("Explain gives no cause")
		}
		return
	}
	id, _ := s.Identify(h, []byte(v.Body))
	if id.Type != v.EventType {
		t.Errorf("type %q, want %q", id.Type, v.EventType)
	}
	if v.Trust == "refetch" {
		if id.Trust != hook.TrustHint || !strings.HasPrefix(id.Key, "hint:") || len(id.Key) != 69 {
			t.Errorf("not a hint: %+v", id)
		}
		return
	}
	if id.Key != v.EventID || id.Trust != hook.TrustSignature {
		t.Errorf("key %q trust %s, want %q signature", id.Key, id.Trust, v.EventID)
	}
}
