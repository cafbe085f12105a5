package forward_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const (
	secret         = "whsec_0123456789abcdef0123456789abcdef"
	standardSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// anEvent was delivered hours ago, with a signature of that time and headers
// that are none of its sender's.
func anEvent() *hook.Event {
	e := &hook.Event{
		ID: "ev_1", Source: "stripe", Mode: "test", Trust: hook.TrustSignature, Key: "evt_1", Type: "invoice.paid",
		Body: []byte("{\"id\": \"evt_1\",\n  \"type\":\"invoice.paid\", \"ä\": \"\\u00e4 \u2028\"}\n"),
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Forwarded-For": {"1.2.3.4"},
			"X-Remote-User": {"admin"}, "Cookie": {"a=b"}, "User-Agent": {"Stripe/1.0"}},
	}
	if err := source.Stripe("stripe", "whsec_of_the_real_endpoint").Sign(e.Header, e.Body, time.Now().Add(-7*time.Hour)); err != nil {
		panic(err)
	}
	return e
}

func stripe(string) hook.Signer { return source.Stripe("stripe", secret) }

// newForwarder fills in what a test does not care about.
func newForwarder(t *testing.T, d forward.Destination) *forward.Forwarder {
	t.Helper()
	d.Name = "app"
	d.Events = []string{"stripe:*"}
	f, err := forward.New(d, stripe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// got is a request as a destination sees it.
type got struct {
	*http.Request
	body []byte
}

// receiver is a destination that keeps what it gets.
func receiver(t *testing.T, answer http.HandlerFunc) (string, func() []got) {
	t.Helper()
	kept := make(chan got, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		kept <- got{r, body}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/hooks?x=1", func() (all []got) {
		for len(kept) > 0 {
			all = append(all, <-kept)
		}
		return all
	}
}

func TestTheVendorsOwnCheckAcceptsAForwardHoursLater(t *testing.T) {
	to, all := receiver(t, nil)
	e := anEvent()
	app := source.Stripe("app", secret)
	for _, sign := range []string{"", forward.SignSender, forward.SignOriginal} {
		f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}, Sign: sign})
		if status, err := f.Forward(t.Context(), e); status != 200 || err != nil {
			t.Fatalf("%s: %d, %v", sign, status, err)
		}
		r := all()[0]
		if !bytes.Equal(r.body, e.Body) || r.Header.Get("Content-Type") != "application/json; charset=utf-8" || r.Method != "POST" || r.URL.String() != "/hooks?x=1" {
			t.Errorf("%s: got %s %s %q as %s", sign, r.Method, r.URL, r.body, r.Header.Get("Content-Type"))
		}
		if sign == forward.SignOriginal {
			if r.Header.Get("Stripe-Signature") != e.Header.Get("Stripe-Signature") || app.Verify(r.Header, r.body, time.Now()) == nil {
				t.Error("original: the signature is not the one that came")
			}
			continue
		}
		if err := app.Verify(r.Header, r.body, time.Now()); err != nil {
			t.Errorf("%s: %v", sign, err)
		}
	}
}

func TestHeadersOfAForward(t *testing.T) {
	to, all := receiver(t, func(w http.ResponseWriter, _ *http.Request) { http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"}) })
	f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}})
	e := anEvent()
	for range 2 {
		if _, err := f.Forward(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	requests := all()
	first := requests[1].Header // it has the cookie that the first answer set, if any is kept
	want := []string{"Content-Length", "Content-Type", "Hookkeeper-Event", "Hookkeeper-Source", "Hookkeeper-Trust",
		"Idempotency-Key", "Stripe-Signature", "User-Agent"}
	var names []string
	for name := range first {
		names = append(names, name)
	}
	slices.Sort(names)
	// A stranger's headers do not reach a program that trusts its own proxy.
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if first.Get("Hookkeeper-Event") != "ev_1" || first.Get("Hookkeeper-Source") != "stripe" || first.Get("Hookkeeper-Trust") != "signature" {
		t.Errorf("headers: %v", first)
	}
	if f.HasProxy() {
		t.Error("a proxy of the environment would be used")
	}
}

func TestIdempotencyKeyTellsEventsApart(t *testing.T) {
	to, all := receiver(t, nil)
	f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}})
	keys := map[string]bool{}
	for _, e := range []*hook.Event{
		{Source: "stripe", Mode: "test", Key: "a"}, {Source: "stripe", Mode: "live", Key: "a"}, {Source: "stripe", Mode: "test", Key: "b"},
		{Source: "stripes", Mode: "test", Key: "a"}, {Source: "stripe", Mode: "testa", Key: ""}, {Source: "stripe", Mode: "tes", Key: "ta"},
	} {
		for range 2 {
			if _, err := f.Forward(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		r := all()
		key := r[0].Header.Get("Idempotency-Key")
		if len(key) != 3+64 || !strings.HasPrefix(key, "hk_") || key != r[1].Header.Get("Idempotency-Key") {
			t.Errorf("keys of one event: %q and %q", key, r[1].Header.Get("Idempotency-Key"))
		}
		if keys[key] {
			t.Errorf("%+v has the key of another", e)
		}
		keys[key] = true
	}
}

func TestStandardWebhooksVerify(t *testing.T) {
	to, all := receiver(t, nil)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}, Sign: forward.SignStandardWebhooks, Secret: standardSecret,
		Now: func() time.Time { at = at.Add(time.Hour); return at }})
	e := anEvent()
	for range 2 {
		if _, err := f.Forward(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		app, err := source.New(source.Config{Name: "app", Sender: "standard-webhooks", Secrets: []string{standardSecret}})
		if err != nil {
			t.Fatal(err)
		}
		r := all()[0]
		if err := app.Verify(r.Header, r.body, at); err != nil {
			t.Error(err)
		}
		if id, err := app.Identify(r.Header, r.body); err != nil || id.Key != "ev_1" {
			t.Errorf("id %q, %v; want the event's on every attempt", id.Key, err)
		}
		if r.Header.Get("Stripe-Signature") != "" {
			t.Error("the sender's signature is sent along")
		}
	}
}

// github is a signer that names its headers.
type github struct{ hook.Signer }

func (github) Headers() []string { return []string{"X-GitHub-*", "X-Hub-Signature*"} }

func TestTheSendersOwnIDsGoAlong(t *testing.T) {
	to, all := receiver(t, nil)
	e := anEvent()
	e.Source, e.Body = "github", []byte(`{"zen":"x","hook_id":1}`)
	e.Header = http.Header{"X-Github-Event": {"ping"}, "X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4c9367dc0958"},
		"X-Github-Hook-Id": {"1"}, "X-Hub-Signature": {"sha1=old"}, "X-Hub-Signature-256": {"sha256=old"}, "X-User": {"root"}}
	real, err := source.New(source.Config{Name: "github", Sender: "github", Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	d := forward.Destination{Name: "app", To: to, Events: []string{"github:*"}, Allow: []string{"loopback"}}
	f, err := forward.New(d, func(string) hook.Signer { return github{real.(hook.Signer)} })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Forward(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r := all()[0]
	if err := real.Verify(r.Header, r.body, time.Now()); err != nil {
		t.Error(err)
	}
	if r.Header.Get("X-Github-Delivery") != e.Header.Get("X-Github-Delivery") || r.Header.Get("X-Github-Hook-Id") != "1" {
		t.Errorf("ids are lost: %v", r.Header)
	}
	if r.Header.Get("X-Hub-Signature") != "" || r.Header.Get("X-User") != "" {
		t.Errorf("what is no longer true, or no sender's, goes along: %v", r.Header)
	}
}

func TestAnswersDecide(t *testing.T) {
	long := strings.Repeat("long ", 100_000)
	for _, test := range []struct {
		status     int
		retryAfter string
		body       string
		permanent  bool
		delay      time.Duration // -1: none said
		says       string
	}{
		{200, "", "ok", false, -1, ""}, {204, "", "", false, -1, ""}, {299, "", "", false, -1, ""},
		{400, "", "bad\x1b[31m\nsignature", false, -1, "answered 400 Bad Request: bad[31m signature"},
		{401, "5", "", false, -1, "answered 401 Unauthorized"}, {404, "", "", false, -1, "404"},
		{410, "", "gone", true, -1, "answered 410 Gone: gone: permanent"},
		{429, "7", "", false, 7 * time.Second, "429"}, {429, "", "", false, -1, "429"}, {503, "90", "", false, 90 * time.Second, "503"},
		{503, "nonsense", "", false, -1, "503"}, {500, "", long, false, -1, "500"}, {502, "", "\xff\xfe", false, -1, "502"}, {304, "", "", false, -1, "304"},
		{504, "", "", false, -1, "504"},
	} {
		t.Run(fmt.Sprint(test.status, test.retryAfter), func(t *testing.T) {
			to, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.retryAfter != "" {
					w.Header().Set("Retry-After", test.retryAfter)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}})
			status, err := f.Forward(t.Context(), anEvent())
			if status != test.status || (err == nil) != (test.says == "") {
				t.Fatalf("status %d, error %v", status, err)
			}
			if err == nil {
				return
			}
			if delay, ok := hook.Delay(err); ok != (test.delay >= 0) || ok && delay != test.delay {
				t.Errorf("delay %s, %v; want %s", delay, ok, test.delay)
			}
			away := slices.Contains([]int{429, 502, 503, 504}, status)
			if got := errors.Is(err, hook.ErrUnavailable); got != away {
				t.Errorf("unavailable is %t, want %t", got, away)
			}
			if hook.Permanent(err) != test.permanent || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 1200 {
				t.Errorf("permanent %v, %d bytes: %.200s", hook.Permanent(err), len(err.Error()), err)
			}
		})
	}
}

func TestWrongDestinationsAreNamed(t *testing.T) {
	good := forward.Destination{Name: "app", To: "https://app.example.com/", Events: []string{"stripe:*"}}
	for _, test := range []struct {
		change func(*forward.Destination)
		says   string
	}{
		{func(d *forward.Destination) { d.Name = "App" }, "name"},
		{func(d *forward.Destination) { d.Events = nil }, "events: none"},
		{func(d *forward.Destination) { d.Events = []string{"invoice.paid"} }, `pattern "invoice.paid"`},
		{func(d *forward.Destination) { d.Events = []string{":x"} }, "source:type"},
		{func(d *forward.Destination) { d.Trust = []hook.Trust{"blind"} }, `trust: "blind"`},
		{func(d *forward.Destination) { d.Sign = "none" }, `sign: "none"`},
		{func(d *forward.Destination) { d.Timeout = -1 }, "timeout"},
		{func(d *forward.Destination) { d.Allow = []string{"everything"} }, `allow: "everything"`},
		{func(d *forward.Destination) { d.Allow = []string{"0.0.0.0/0"} }, "so wide"},
		{func(d *forward.Destination) { d.Allow = []string{"::/0"} }, "so wide"},
		{func(d *forward.Destination) { d.Allow = []string{"::ffff:10.0.0.0/104"} }, "::ffff:"},
		{func(d *forward.Destination) { d.Sign = forward.SignStandardWebhooks }, "secret: none"},
		{func(d *forward.Destination) { d.Sign, d.Secret = forward.SignStandardWebhooks, "whsec_" }, "secret: none"},
		{func(d *forward.Destination) { d.Sign, d.Secret = forward.SignStandardWebhooks, "no base64 at all" }, "secret: must be base64"},
		{func(d *forward.Destination) { d.Events = []string{"toss:*"} }, `source "toss" cannot be signed`},
	} {
		d := good
		test.change(&d)
		_, err := forward.Routes(d, func(source string) hook.Signer {
			if source == "toss" {
				return nil
			}
			return stripe(source)
		})
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "no base64") {
			t.Errorf("want %q, got %v", test.says, err)
		}
	}
	everything := forward.Destination{Name: "-A", To: "x", Sign: "y"}
	if err := everything.Validate(); strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestARouteTakesWhatItsDestinationNames(t *testing.T) {
	d := forward.Destination{Name: "app", To: "https://app.example.com/", Events: []string{"stripe:invoice.*", "github:push"},
		Sign: forward.SignStandardWebhooks, Secret: base64.StdEncoding.EncodeToString(make([]byte, 32))}
	for _, test := range []struct {
		named                 []hook.Trust
		signed, token, hinted bool
	}{
		{nil, true, true, false},
		{[]hook.Trust{hook.TrustHint}, true, true, true},
		{[]hook.Trust{hook.TrustSignature}, true, false, false},
		{[]hook.Trust{hook.TrustSignature, hook.TrustHint}, true, false, true},
	} {
		d.Trust = test.named
		routes, err := forward.Routes(d, nil)
		if err != nil || len(routes) != 1 || routes[0].Name != "app" {
			t.Fatalf("routes %v, %v", routes, err)
		}
		for trust, want := range map[hook.Trust]bool{hook.TrustSignature: test.signed, hook.TrustToken: test.token, hook.TrustHint: test.hinted, hook.TrustInternal: false} {
			if got := routes[0].Wants("stripe", "invoice.paid", trust); got != want {
				t.Errorf("trust %v takes %s: %v", test.named, trust, got)
			}
		}
		for pair, want := range map[[2]string]bool{{"stripe", "invoice.paid"}: true, {"github", "push"}: true,
			{"stripe", "push"}: false, {"github", "invoice.paid"}: false, {"toss", "push"}: false} {
			if got := routes[0].Wants(pair[0], pair[1], hook.TrustSignature); got != want {
				t.Errorf("takes %v: %v", pair, got)
			}
		}
	}
}
