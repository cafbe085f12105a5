package stripetest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/stripetest"
)

// page is a list as the API gives it.
type page struct {
	HasMore bool `json:"has_more"`
	Data    []struct {
		ID      string
		Created int64
		Status  string
		Invoice any `json:"latest_invoice"`
	}
}

func get(t *testing.T, url, key string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	if into != nil && json.Unmarshal(body, into) != nil {
		return -1
	}
	return resp.StatusCode
}

func TestListsArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	sim := stripetest.New(now, "2026-10-28.endive")
	server := httptest.NewServer(sim)
	defer server.Close()
	sim.Put(stripetest.Invoice("in_1", "sub_0", "cus_0", "u", "paid", 1, now))
	for i := range 7 {
		o := stripetest.Subscription(fmt.Sprintf("sub_%d", i), "cus_0", "u", "active", sim.Now(), sim.Now().Add(time.Hour))
		o["latest_invoice"] = "in_1"
		if i == 3 {
			o["status"] = "canceled"
		}
		sim.Put(o)
		sim.Emit("customer.subscription.created", fmt.Sprintf("sub_%d", i))
		sim.Advance(time.Second)
	}
	sim.EmitLate("customer.subscription.updated", "sub_0", time.Minute)
	var got []int64
	url := server.URL + "/v1/events?limit=3"
	for cursor := ""; ; {
		var p page
		if code := get(t, url+cursor, "sk", &p); code != 200 {
			t.Fatalf("events: %d", code)
		}
		for _, e := range p.Data {
			got = append(got, e.Created)
			cursor = "&starting_after=" + e.ID
		}
		if !p.HasMore {
			break
		}
	}
	if len(got) != 7 || got[0] != now.Unix()+6 || got[6] != now.Unix() {
		t.Errorf("events: got %v, want seven, the newest first; the late one is not visible yet", got)
	}
	sim.Advance(time.Minute)
	var p page
	if get(t, server.URL+fmt.Sprintf("/v1/events?created[gte]=%d", now.Unix()+5), "sk", &p); len(p.Data) != 3 {
		t.Errorf("since the sixth second: got %d events, want the last two and the late one", len(p.Data))
	}
	if get(t, server.URL+"/v1/subscriptions?limit=100&expand[]=data.latest_invoice", "sk", &p); len(p.Data) != 6 {
		t.Errorf("subscriptions: got %d, want those that are not canceled", len(p.Data))
	}
	if _, ok := p.Data[0].Invoice.(map[string]any); !ok {
		t.Error("the invoice is not expanded")
	}
	if get(t, server.URL+"/v1/subscriptions?status=all", "sk", &p); len(p.Data) != 7 {
		t.Errorf("all subscriptions: got %d, want 7", len(p.Data))
	}
	for path, want := range map[string]int{"/v1/invoices/in_1": 200, "/v1/invoices/sub_1": 404, "/v1/events/evt_none": 404,
		"/v1/nothing": 404, "/v1/events?limit=0": 400, "/v1/events?starting_after=evt_none": 400} {
		if code := get(t, server.URL+path, "sk", nil); code != want {
			t.Errorf("%s: got %d, want %d", path, code, want)
		}
	}
	if code := get(t, server.URL+"/v1/events", "", nil); code != 401 {
		t.Errorf("without a key: got %d, want 401", code)
	}
}

func TestFaultsStrikeInOrder(t *testing.T) {
	t.Parallel()
	sim := stripetest.New(time.Now(), "2026-10-28.endive")
	server := httptest.NewServer(sim)
	defer server.Close()
	sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 500, Times: 2})
	sim.Fail(stripetest.Fault{Path: "/v1/events", Garbage: true})
	sim.Fail(stripetest.Fault{Path: "/v1/events", Cut: true})
	sim.Fail(stripetest.Fault{Path: "/v1/customers", Status: 429, RetryAfter: "3", Times: -1})
	var p page
	for i, want := range []int{500, 500, -1, 0, 200} {
		if code := get(t, server.URL+"/v1/events", "sk", &p); code != want {
			t.Errorf("request %d: got %d, want %d", i, code, want)
		}
	}
	for range 3 {
		if code := get(t, server.URL+"/v1/customers", "sk", nil); code != 429 {
			t.Errorf("for ever: got %d, want 429", code)
		}
	}
	sim.Heal()
	if code := get(t, server.URL+"/v1/customers", "sk", nil); code != 200 {
		t.Errorf("healed: got %d, want 200", code)
	}
	if n := len(sim.Calls()); n != 9 {
		t.Errorf("got %d calls, want 9", n)
	}
}
