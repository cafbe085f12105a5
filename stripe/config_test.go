package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// TestConfigIsRefused: every problem at once, and never a secret in it.
func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	ok := source.Stripe("stripe", secret)
	for name, test := range map[string]struct {
		cfg  stripe.Config
		want []string
	}{
		"Nothing":      {stripe.Config{}, []string{"no source", "no store"}},
		"NoRecord":     {stripe.Config{Source: ok, Store: store{}, APIKey: "sk_test_s3cret"}, []string{"no Record"}},
		"KeyWithBreak": {stripe.Config{Source: ok, Store: store{}, APIKey: "sk_test_s3cret\n", Record: noRecord}, []string{"API key has blanks"}},
		"Base":         {stripe.Config{Source: ok, Store: store{}, APIBase: "file:///etc"}, []string{"api base"}},
		"Language":     {stripe.Config{Source: ok, Store: store{}, Language: "fr"}, []string{"language"}},
		"AccessPath":   {stripe.Config{Source: ok, Store: store{}, AccessPath: "access"}, []string{"{id}"}},
		"Channels": {stripe.Config{Source: ok, Store: store{}, Channels: []stripe.Channel{{Name: "A b"}, {Name: "x"}, {Name: "x"}}},
			[]string{"a name has", "configured twice", "has no Sender"}},
	} {
		_, err := stripe.New(test.cfg)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want %q in it", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the key stands in %q", name, err)
		}
	}
}

type store struct{ stripe.Store }

func noRecord(context.Context, hook.Delivery, hook.Identity) (hook.Receipt, error) {
	return hook.Receipt{}, errors.New("nothing is recorded")
}

// TestErrorsOfTheAPIHoldNoSecret: attempts keep their causes for operators.
func TestErrorsOfTheAPIHoldNoSecret(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", "req_1\"><script>")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprintf(w, `{"error":{"code":"<b>%s</b>","message":"key %s"}}`, r.Header.Get("Authorization"), r.Header.Get("Authorization"))
	}))
	defer server.Close()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{Tables: []hook.Tables{stripe.Tables()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, base := range []string{server.URL, "http://127.0.0.1:1"} {
		desk, err := stripe.New(stripe.Config{Source: source.Stripe("stripe", secret), Store: s, Record: noRecord,
			APIKey: "sk_test_s3cret", APIBase: base})
		if err != nil {
			t.Fatal(err)
		}
		sim := stripetest.New(time.Now(), stripe.PinnedVersion)
		sim.Put(stripetest.Subscription("sub_1", "cus_1", "u", "active", sim.Now(), sim.Now().Add(time.Hour)))
		body := sim.Emit("customer.subscription.created", "sub_1")
		for _, r := range desk.Department().Routes {
			if r.Name != "stripe-subscriptions" {
				continue
			}
			_, err := r.Handler.Handle(t.Context(), &hook.Event{Source: "stripe", Mode: "test", Trust: hook.TrustSignature, Key: "evt_1",
				Type: "customer.subscription.created", OccurredAt: sim.Now(), Body: body})
			if err == nil || strings.Contains(err.Error(), "s3cret") || strings.ContainsAny(err.Error(), "<>\"") {
				t.Errorf("%s: got %v, want an error without the key and without anything of the answer's text", base, err)
			}
		}
	}
}

// TestTheKeyGoesNowhereElse: an answer that points elsewhere is not followed.
func TestTheKeyGoesNowhereElse(t *testing.T) {
	t.Parallel()
	var strangers atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		strangers.Add(1)
		fmt.Fprint(w, `{"object":"list","data":[],"has_more":false}`)
	}))
	defer stranger.Close()
	server := httptest.NewServer(http.RedirectHandler(stranger.URL, http.StatusFound))
	defer server.Close()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{Tables: []hook.Tables{stripe.Tables()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	desk, err := stripe.New(stripe.Config{Source: source.Stripe("stripe", secret), Store: s, Record: noRecord,
		APIKey: "sk_test_s3cret", APIBase: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := desk.Reconcile(ctx, stripe.Look{}); err == nil || strangers.Load() != 0 {
		t.Errorf("got %v, and %d requests went elsewhere, want an error and none", err, strangers.Load())
	}
}
