package dev_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/source"
)

// secrets fit the senders that have samples.
var secrets = [...][2]string{
	{"stripe", "whsec_hookkeeperTestSecretNotReal"},
	{"toss", "3f1c0a9b7d5e4c2f8a6b1d0e9f7c5a3b2d4e6f8091a2b3c4d5e6f708192a3b4c"},
	{"github", "0123456789abcdef0123456789abcdef"},
	{"standard-webhooks", "whsec_c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtISEhISE="},
	{"portone", "whsec_c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtISEhISE="},
}

func newSource(t *testing.T, sender, secret string) hook.Source {
	t.Helper()
	s, err := source.New(source.Config{Name: sender, Sender: sender, Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEverySampleVerifiesAndIsNewEachTime: for every sample that is shipped, a
// signed delivery verifies, is identified without quarantine, and two of them
// are two events.
func TestEverySampleVerifiesAndIsNewEachTime(t *testing.T) {
	for _, s := range secrets {
		src := newSource(t, s[0], s[1])
		types := dev.Types(s[0])
		if len(types) == 0 {
			t.Errorf("%s has no samples", s[0])
		}
		for _, name := range types {
			t.Run(s[0]+"/"+name, func(t *testing.T) {
				first, second := identify(t, src, s[0], name), identify(t, src, s[0], name)
				if first.Trust == hook.TrustHint {
					return // keyed by transmission and body
				}
				if first.Key == second.Key || first.Key == "" {
					t.Errorf("two deliveries have the keys %q and %q", first.Key, second.Key)
				}
				if !strings.HasPrefix(strings.TrimPrefix(name, "connect."), first.Type) || first.Type == "" {
					t.Errorf("identified as %q", first.Type)
				}
			})
		}
	}
}

func identify(t *testing.T, src hook.Source, sender, name string) hook.Identity {
	t.Helper()
	d, err := dev.Compose(sender, name, dev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := src.(hook.Signer).Sign(d.Header, d.Body, now); err != nil {
		t.Fatal(err)
	}
	if err := src.Verify(d.Header, d.Body, now); err != nil {
		t.Error(err)
	}
	id, err := src.Identify(d.Header, d.Body)
	if err != nil {
		t.Errorf("quarantined: %v", err)
	}
	if signed := id.Trust != hook.TrustHint; signed != d.Signed {
		t.Errorf("trust is %s, but Signed is %t", id.Trust, d.Signed)
	}
	return id
}

func TestComposeFindsTypesTrainsAndIDs(t *testing.T) {
	for _, test := range []struct {
		sender, name string
		o            dev.Options
		want         []string // in the body
	}{
		{"stripe", "checkout.session.completed", dev.Options{}, []string{`.dahlia"`, `"checkout.session.completed"`, `"mode": "payment"`}},
		{"stripe", "invoice.paid", dev.Options{Train: "acacia", ID: "evt_mine"}, []string{`.acacia"`, `"id": "evt_mine"`}},
		{"stripe", "invoice.paid", dev.Options{Train: "endive"}, []string{`.endive"`}},
		{"stripe", "v1.customer.created", dev.Options{ID: "evt_thin"}, []string{`"v2.core.event"`, `"evt_thin"`}},
		{"stripe", "account.application.deauthorized", dev.Options{}, []string{`"account":`}},
		{"toss", "PAYMENT_STATUS_CHANGED", dev.Options{}, []string{`"DONE"`}},
		{"toss", "DEPOSIT_CALLBACK", dev.Options{}, []string{`"transactionKey"`, `"DONE"`}},
		{"toss", "payout.changed", dev.Options{ID: "evt_p"}, []string{`"eventId": "evt_p"`, `"COMPLETED"`}},
		{"standard-webhooks", "any.type", dev.Options{}, []string{`"type":"any.type"`}},
		{"hmac", "made.up", dev.Options{ID: "7"}, []string{`"id":"7"`, `"event":"made.up"`}},
	} {
		d, err := dev.Compose(test.sender, test.name, test.o)
		if err != nil {
			t.Errorf("%s %s: %v", test.sender, test.name, err)
		}
		if !json.Valid(d.Body) {
			t.Errorf("%s %s is no JSON: %s", test.sender, test.name, d.Body)
		}
		for _, want := range test.want {
			if !strings.Contains(string(d.Body), want) {
				t.Errorf("%s %s does not hold %s", test.sender, test.name, want)
			}
		}
	}
}

func TestComposeRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, test := range []struct {
		sender, name string
		o            dev.Options
		says         string
	}{
		{"stripe", "invioce.paid", dev.Options{}, "nearest is invoice.paid"},
		{"stripe", "customer.subscription", dev.Options{}, "no sample"},
		{"stripe", "invoice.paid", dev.Options{Train: "none"}, "unknown train"},
		{"stripe", "invoice.paid", dev.Options{Set: []string{"nothing"}}, "path=value"},
		{"stripe", "../../secret", dev.Options{}, "no sample"},
		{"slack", "message", dev.Options{}, "no samples of slack"},
	} {
		_, err := dev.Compose(test.sender, test.name, test.o)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %s: %v, want %q", test.sender, test.name, err, test.says)
		}
	}
}

func TestGivenBytesStayAsTheyAre(t *testing.T) {
	data := []byte("{ \"id\":\"evt_x\",\t\"created\":5 }\n")
	d, err := dev.Compose("stripe", "x", dev.Options{Data: data})
	if err != nil || string(d.Body) != string(data) {
		t.Errorf("got %q, %v", d.Body, err)
	}
	d, err = dev.Compose("stripe", "x", dev.Options{Data: data, ID: "evt_y"})
	if want := strings.Replace(string(data), "evt_x", "evt_y", 1); err != nil || string(d.Body) != want {
		t.Errorf("got %q, %v; want %q", d.Body, err, want)
	}
}

func TestEditKeepsAllOtherBytes(t *testing.T) {
	const doc = "{\n  \"a\": {\"b\": [1, {\"c\" : \"old\"}]},\t\"n\":1, \"e\":{}\n}\n"
	for _, test := range []struct{ path, text, want string }{
		{"a.b.1.c", "new", strings.Replace(doc, `"old"`, `"new"`, 1)},
		{"a.b.0", "2.5e3", strings.Replace(doc, "[1,", "[2.5e3,", 1)},
		{"n", "true", strings.Replace(doc, `"n":1`, `"n":true`, 1)},
		{"n", "null", strings.Replace(doc, `"n":1`, `"n":null`, 1)},
		{"n", "007", strings.Replace(doc, `"n":1`, `"n":"007"`, 1)},
		{"n", `"quoted"`, strings.Replace(doc, `"n":1`, `"n":"\"quoted\""`, 1)},
		{"e.x", "y", strings.Replace(doc, `"e":{}`, `"e":{"x":"y"}`, 1)},
		{"z", "9", strings.Replace(doc, "{}\n}\n", "{},\"z\":9\n}\n", 1)},
	} {
		got, err := dev.Edit([]byte(doc), test.path, test.text)
		if err != nil || !json.Valid(got) {
			t.Errorf("%s=%s: %q, %v", test.path, test.text, got, err)
		}
		if compact(t, got) != compact(t, []byte(test.want)) {
			t.Errorf("%s=%s: got %q, want %q", test.path, test.text, got, test.want)
		}
	}
	for _, path := range []string{"a.b.7", "a.b.x", "n.m", "q.r", ""} {
		if got, err := dev.Edit([]byte(doc), path, "1"); err == nil {
			t.Errorf("%q gives %q, want an error", path, got)
		}
	}
}

// compact drops blanks between tokens, which an added key may move.
func compact(t *testing.T, doc []byte) string {
	t.Helper()
	return strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(string(doc))
}
