package crosscheck_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"
	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
)

// mock is Stripe's own stand-in, which checks every request against Stripe's
// OpenAPI specification. It keeps what it was asked and how it answered.
type mock struct {
	http.Handler

	mu    sync.Mutex
	asked map[string]int // path: worst status
}

func newMock(t *testing.T) *mock {
	t.Helper()
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := server.NewStubServer(fixtures, spec, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return &mock{Handler: http.HandlerFunc(stub.HandleRequest), asked: map[string]int{}}
}

// ServeHTTP hands the request on and notes the answer.
func (m *mock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	m.Handler.ServeHTTP(rec, r)
	m.mu.Lock()
	m.asked[r.URL.Path] = max(m.asked[r.URL.Path], rec.Code)
	m.mu.Unlock()
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (m *mock) statusOf(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[path]
}

// TestRequestsHaveTheShapeOfTheAPI: everything that billing asks of Stripe is a
// request that Stripe's specification knows, and the objects of its fixtures are
// read.
func TestRequestsHaveTheShapeOfTheAPI(t *testing.T) {
	m := newMock(t)
	api := httptest.NewServer(m)
	defer api.Close()
	r := serve(t, build(t), "STRIPE_SECRET_KEY=sk_test_123", "STRIPE_API_BASE="+api.URL)

	report := reconcile(t, r)
	if len(report.Problems) > 0 || report.Subscriptions == 0 {
		t.Errorf("reconcile: got %d subscriptions compared, problems %q, want the fixture read", report.Subscriptions, report.Problems)
	}
	want := []string{"/v1/events", "/v1/subscriptions"}
	for eventType, path := range map[string]string{
		"customer.created": "/v1/customers/cus_1", "customer.subscription.updated": "/v1/subscriptions/sub_1",
		"invoice.paid": "/v1/invoices/in_1", "charge.refunded": "/v1/charges/ch_1", "refund.created": "/v1/refunds/re_1",
		"charge.dispute.created": "/v1/disputes/du_1", "payment_intent.succeeded": "/v1/payment_intents/pi_1",
		"checkout.session.completed": "/v1/checkout/sessions/cs_1",
	} {
		want = append(want, path)
		id := path[strings.LastIndex(path, "/")+1:]
		body := fmt.Appendf(nil, `{"id":"evt_%s","object":"v2.core.event","type":"v1.%s","livemode":false,"created":%q,"related_object":{"id":%q,"url":%q}}`,
			id, eventType, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), id, path)
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: stripeSecret})
		header := http.Header{"Stripe-Signature": {signed.Header}, "Content-Type": {"application/json"}}
		if got := r.deliver(t, "stripe", header, body); got.code != http.StatusOK {
			t.Errorf("%s: got %d %s", eventType, got.code, got.Reason)
		}
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(patience); ; <-look.C {
		missing := ""
		for _, path := range want {
			if m.statusOf(path) == 0 {
				missing = path
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%s was never asked for", missing)
		}
	}
	for _, path := range want {
		if got := m.statusOf(path); got != http.StatusOK {
			t.Errorf("%s: the specification answers %d", path, got)
		}
	}
}

// gap is the part of a report that is looked at.
type gap struct {
	Subscriptions int      `json:"subscriptions"`
	Problems      []string `json:"problems"`
}

func reconcile(t *testing.T, r *receiver) (report gap) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.operator+"/api/v1/reconcile/stripe", bytes.NewReader([]byte(`{"all":true}`)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &report); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("reconcile: %d %s", resp.StatusCode, body)
	}
	return report
}
