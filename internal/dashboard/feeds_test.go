package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

func (d *desk) feed(query string) (keys, bodies []string, last string) {
	d.t.Helper()
	resp, data := d.ask("GET", "/api/v1/feeds/app"+query, "")
	var page struct {
		Events []struct {
			ID, Key string
			Body    []byte
			Headers map[string][]string
		}
	}
	if err := json.Unmarshal(data, &page); err != nil || resp.StatusCode != 200 || page.Events == nil {
		d.t.Fatalf("feed: %d %s", resp.StatusCode, data)
	}
	for _, e := range page.Events {
		if e.Headers["X-A"][0] != "b" {
			d.t.Errorf("headers of %s: %v", e.ID, e.Headers)
		}
		keys, bodies, last = append(keys, e.Key), append(bodies, string(e.Body)), e.ID
	}
	return keys, bodies, last
}

func TestFeedGoesOnFromItsCursor(t *testing.T) {
	d := newDesk(t)
	d.record("old", "t", []byte("old"))
	if keys, _, _ := d.feed(""); len(keys) != 0 {
		t.Errorf("a new feed begins with %v", keys)
	}
	d.record("a", "invoice.paid", []byte("\x00\xff exact\r\n"))
	d.record("b", "charge.failed", []byte("b"))
	keys, bodies, last := d.feed("?type=invoice.*&source=stripe")
	if !slices.Equal(keys, []string{"a"}) || bodies[0] != "\x00\xff exact\r\n" {
		t.Errorf("fed %q with %q", keys, bodies)
	}
	for range 2 { // a repeat does nothing
		if resp, data := d.ask("POST", "/api/v1/feeds/app/advance", `{"through":"`+last+`"}`); resp.StatusCode != 200 {
			t.Errorf("advance: %d %s", resp.StatusCode, data)
		}
	}
	if keys, _, _ := d.feed("?limit=1"); !slices.Equal(keys, []string{"b"}) {
		t.Errorf("after the advance: %q", keys)
	}
}

func TestFeedWaitsForAnEvent(t *testing.T) {
	d := newDesk(t)
	d.feed("")
	begun := time.Now()
	if keys, _, _ := d.feed("?wait=1"); len(keys) != 0 || time.Since(begun) < time.Second {
		t.Errorf("%q after %s, want nothing after 1 s", keys, time.Since(begun))
	}
	got := make(chan []string, 1)
	go func() {
		keys, _, _ := d.feed("?wait=20")
		got <- keys
	}()
	begun = time.Now()
	d.record("a", "t", []byte("a"))
	if keys := <-got; !slices.Equal(keys, []string{"a"}) || time.Since(begun) > 5*time.Second {
		t.Errorf("%q after %s", keys, time.Since(begun))
	}
}

func TestWaitingFeedEndsAtADrain(t *testing.T) {
	d := newDesk(t)
	draining := make(chan struct{})
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: d.store, Gate: gateOf(token), Draining: draining}))
	defer srv.Close()
	d = &desk{t: t, store: d.store, url: srv.URL}
	d.feed("")
	done := make(chan struct{})
	go func() { defer close(done); d.feed("?wait=20") }()
	close(draining)
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the answer is still held back")
	}
}

func TestWrongFeedsAreNamed(t *testing.T) {
	d := newDesk(t)
	d.feed("")
	for _, test := range []struct {
		method, route, body string
		status              int
		says                string
	}{
		{"GET", "/api/v1/feeds/app?wait=soon", "", 400, "wait"},
		{"GET", "/api/v1/feeds/app?wait=-1", "", 400, "wait"},
		{"GET", "/api/v1/feeds/app?limit=101", "", 400, "limit"},
		{"GET", "/api/v1/feeds/app?cursor=x", "", 400, "cursor"},
		{"GET", "/api/v1/feeds/app?since=noon", "", 400, "since"},
		{"GET", "/api/v1/feeds/Not%20A%20Name", "", 400, "feed"},
		{"GET", "/api/v1/feeds/", "", 404, "no such route"},
		{"DELETE", "/api/v1/feeds/app", "", 405, "DELETE"},
		{"POST", "/api/v1/feeds/app/advance", `{}`, 400, "through"},
		{"POST", "/api/v1/feeds/app/advance", `{"through":"ev_x","by":1}`, 400, "body"},
		{"POST", "/api/v1/feeds/app/advance", `{"through":"ev_nope"}`, 404, "ev_nope"},
		{"POST", "/api/v1/feeds/other/advance", fmt.Sprintf(`{"through":%q}`, d.record("k", "t", []byte("x"))), 404, "other"},
	} {
		t.Run(test.method+" "+test.route+" "+shortened(test.body), func(t *testing.T) {
			resp, body := d.ask(test.method, test.route, test.body)
			if resp.StatusCode != test.status {
				t.Errorf("%d, want %d: %s", resp.StatusCode, test.status, body)
			}
			checkProblem(t, resp, body, test.says)
		})
	}
	for _, route := range [][2]string{{"GET", "/api/v1/feeds/app"}, {"POST", "/api/v1/feeds/app/advance"}} {
		if resp, _ := d.askAs("", route[0], route[1], "{}"); resp.StatusCode != 401 {
			t.Errorf("%v without a token: %d", route, resp.StatusCode)
		}
	}
}
