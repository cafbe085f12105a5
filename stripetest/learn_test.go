package stripetest_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/stripetest"
)

// TestLearnedEventsTellThePresent: whatever the order, the newest event of an
// object says what it is; each event is listed once, and what is none is refused.
func TestLearnedEventsTellThePresent(t *testing.T) {
	t.Parallel()
	sim := stripetest.New(time.Unix(1_700_000_000, 0), "2026-10-28.endive")
	server := httptest.NewServer(sim)
	defer server.Close()
	event := func(id, kind, object string, created int, fields string) []byte {
		return fmt.Appendf(nil, `{"id":%q,"object":"event","type":%q,"created":%d,"data":{"object":{"id":%q,%s}}}`, id, kind, created, object, fields)
	}
	for _, body := range [][]byte{
		event("evt_2", "customer.subscription.updated", "sub_1", 20, `"object":"subscription","status":"active"`),
		event("evt_1", "customer.subscription.created", "sub_1", 10, `"object":"subscription","status":"incomplete"`),
		event("evt_1", "customer.subscription.created", "sub_1", 30, `"object":"subscription","status":"trialing"`),
		event("evt_3", "customer.subscription.updated", "sub_2", 20, `"object":"subscription","status":"active"`),
		event("evt_4", "customer.subscription.updated", "sub_2", 20, `"object":"subscription","status":"past_due"`),
		event("evt_5", "customer.deleted", "cus_1", 20, `"object":"customer"`),
	} {
		if err := sim.Learn(body); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"/v1/subscriptions/sub_1": "active", "/v1/subscriptions/sub_2": "past_due"} {
		var o struct{ Status string }
		if code := get(t, server.URL+path, "sk", &o); code != 200 || o.Status != want {
			t.Errorf("%s: got %d %q, want %q", path, code, o.Status, want)
		}
	}
	var customer struct{ Deleted bool }
	if code := get(t, server.URL+"/v1/customers/cus_1", "sk", &customer); code != 200 || !customer.Deleted {
		t.Errorf("a deleted customer: got %d, %+v", code, customer)
	}
	var all page
	if get(t, server.URL+"/v1/events", "sk", &all); len(all.Data) != 5 {
		t.Errorf("got %d events, want five: one was learned twice", len(all.Data))
	}
	for _, bad := range []string{"", "[]", `{"id":"evt_9","object":"event","data":{"object":{}}}`,
		`{"id":"evt_9","object":"v2.core.event","related_object":{"id":"sub_1"}}`} {
		if err := sim.Learn([]byte(bad)); err == nil {
			t.Errorf("%q: learned, want it refused", bad)
		}
	}
	if n := len(sim.Events()); n != 5 {
		t.Errorf("got %d events after what was refused, want 5", n)
	}
}

// TestLearningIsBounded: an account that learns for days keeps the newest.
func TestLearningIsBounded(t *testing.T) {
	t.Parallel()
	sim := stripetest.New(time.Unix(1_700_000_000, 0), "2026-10-28.endive")
	server := httptest.NewServer(sim)
	defer server.Close()
	const many = 2100
	for i := range many {
		body := fmt.Appendf(nil, `{"id":"evt_%d","object":"event","type":"customer.created","created":%d,"data":{"object":{"id":"cus_%d","object":"customer"}}}`, i, i, i)
		if err := sim.Learn(body); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sim.Events()); n != 2000 {
		t.Errorf("keeps %d events, want 2000", n)
	}
	for id, want := range map[int]int{0: 404, many - 1: 200} {
		if code := get(t, fmt.Sprintf("%s/v1/customers/cus_%d", server.URL, id), "sk", nil); code != want {
			t.Errorf("customer %d: got %d, want %d", id, code, want)
		}
	}
}
