package dev_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type told struct {
	ID, Type, APIVersion string
	Created              int64
	Data                 struct{ Object map[string]any }
}

// listen takes what a plan sends and verifies it.
func listen(t *testing.T, p dev.Plan) (all []told, results []dev.Result) {
	t.Helper()
	src := newSource(t, "stripe", secrets[0][1])
	var mu sync.Mutex
	seen := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := src.Verify(r.Header, body, time.Now()); err != nil {
			t.Errorf("verify: %v", err)
		}
		var e told
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("body: %v", err)
		}
		var version struct {
			V string `json:"api_version"`
		}
		_ = json.Unmarshal(body, &version)
		e.APIVersion = version.V
		mu.Lock()
		defer mu.Unlock()
		status := "recorded"
		if seen[e.ID] {
			status = "duplicate"
		}
		seen[e.ID] = true
		all = append(all, e)
		fmt.Fprintf(w, `{"status":%q,"event":"ev_1"}`, status)
	}))
	defer srv.Close()
	p.URL, p.Source, p.Sender = srv.URL, src, "stripe"
	wrong, err := dev.Send(t.Context(), p, func(r dev.Result) { results = append(results, r) })
	if err != nil || wrong > 0 {
		t.Fatalf("%s: %d wrong, %v", p.Scenario, wrong, err)
	}
	return all, results
}

// TestStoriesTellOneLife: every event is about one new subscription, in order of
// its time unless shuffled, in the shapes of the train.
func TestStoriesTellOneLife(t *testing.T) {
	for _, train := range []string{"", "acacia", "basil", "dahlia", "endive"} {
		for _, scenario := range dev.Stories() {
			all, results := listen(t, dev.Plan{Scenario: scenario, Options: dev.Options{Train: train}})
			want := 13
			if strings.HasSuffix(scenario, "duplicates") {
				want = 26
			}
			if len(all) != want || len(results) != want {
				t.Errorf("%s %s: got %d deliveries, want %d", train, scenario, len(all), want)
			}
			times := map[string]int64{}
			subs := map[string]bool{}
			for i, e := range all {
				times[e.ID] = e.Created
				if e.Data.Object["object"] == "subscription" {
					subs[e.Data.Object["id"].(string)] = true
				}
				if train != "" && !strings.HasSuffix(e.APIVersion, train) {
					t.Errorf("%s: %s is rendered under %s", train, e.Type, e.APIVersion)
				}
				if results[i].Type != e.Type {
					t.Errorf("result %d says %s, sent was %s", i, results[i].Type, e.Type)
				}
				if scenario == "subscription-lifecycle" && i > 0 && e.Created <= all[i-1].Created {
					t.Errorf("%s is not later than %s", e.Type, all[i-1].Type)
				}
			}
			if len(times) != 13 || len(subs) != 1 {
				t.Errorf("%s %s: %d events about %d subscriptions, want 13 about one", train, scenario, len(times), len(subs))
			}
		}
	}
	a, _ := listen(t, dev.Plan{Scenario: "subscription-lifecycle"})
	b, _ := listen(t, dev.Plan{Scenario: "subscription-lifecycle"})
	if a[1].Data.Object["id"] == b[1].Data.Object["id"] {
		t.Error("two lives are of one subscription")
	}
	shuffled, _ := listen(t, dev.Plan{Scenario: "subscription-lifecycle-shuffled", Count: 3})
	if slices.IsSortedFunc(shuffled, func(x, y told) int { return int(x.Created - y.Created) }) {
		t.Error("three shuffled lives came in order")
	}
}

func TestOnlyStripeTellsStories(t *testing.T) {
	for sender, plan := range map[string]dev.Plan{
		"toss":   {Sender: "toss", Source: newSource(t, "toss", secrets[1][1])},
		"stripe": {Sender: "stripe", Source: newSource(t, "stripe", secrets[0][1]), Options: dev.Options{Train: "thin"}},
	} {
		plan.URL, plan.Scenario = "http://127.0.0.1:1", "subscription-lifecycle"
		if _, err := dev.Send(t.Context(), plan, func(dev.Result) {}); err == nil {
			t.Errorf("%s: no error", sender)
		}
	}
}

// TestEveryBillingTypeInEveryTrain: what the billing department handles can be
// sent in the shapes of three generations.
func TestEveryBillingTypeInEveryTrain(t *testing.T) {
	for _, eventType := range strings.Fields(`checkout.session.completed checkout.session.async_payment_succeeded
		checkout.session.async_payment_failed checkout.session.expired customer.created customer.updated customer.deleted
		customer.subscription.created customer.subscription.updated customer.subscription.deleted customer.subscription.paused
		customer.subscription.resumed customer.subscription.trial_will_end invoice.paid invoice.payment_succeeded
		invoice.payment_failed invoice.payment_action_required charge.refunded refund.created refund.updated refund.failed
		charge.refund.updated charge.dispute.created charge.dispute.updated charge.dispute.closed
		charge.dispute.funds_withdrawn charge.dispute.funds_reinstated payment_intent.succeeded payment_intent.payment_failed`) {
		for _, train := range []string{"acacia", "basil", "endive", "dahlia", ""} {
			d, err := dev.Compose("stripe", eventType, dev.Options{Train: train})
			if err != nil {
				t.Errorf("%s in %s: %v", eventType, train, err)
				continue
			}
			var e struct {
				Type    string
				Version string `json:"api_version"`
			}
			if err := json.Unmarshal(d.Body, &e); err != nil || e.Type != eventType || !strings.HasSuffix(e.Version, train) {
				t.Errorf("%s in %s: got %s under %s, %v", eventType, train, e.Type, e.Version, err)
			}
		}
		if !slices.ContainsFunc(dev.Types("stripe"), func(name string) bool { return strings.HasPrefix(name, eventType) }) {
			t.Errorf("%s is not listed", eventType)
		}
	}
}
