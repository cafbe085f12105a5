//go:build hktest

package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// Every page of the desk and every list of the API answers over a month of events,
// on both engines. With HK_DESK_EVENTS raised, as `make desk-10m` does, all words are in
// the index before, the median of each page must stay within pageLimit and that of each
// search of the API within searchLimit, and HK_DESK_RESULTS names a file for the figures.
func TestTheDeskOverAMonth(t *testing.T) {
	n := number(t, "HK_DESK_EVENTS", 5_000)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			o := month(t, engine == "postgres", n)
			o.work = fast + "\nhandlers: {log: {events: [\"*:*\"]}}"
			rounds := 1
			if n >= measured {
				rounds = 7
				indexWords(t, o)
			}
			s := start(t, o)
			c := s.desk(t)
			var table strings.Builder
			w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
			for _, page := range c.pages(t, n) {
				took := make([]time.Duration, rounds)
				for i := range took {
					took[i] = c.get(t, page)
				}
				slices.Sort(took)
				median := took[rounds/2]
				fmt.Fprintf(w, "%s\t%.1f ms\t%.1f ms\n", page, ms(median), ms(took[rounds-1]))
				if limit := limitOf(page); n >= measured && median > limit {
					t.Errorf("%s takes %s over %d events, want at most %s", page, median, n, limit)
				}
			}
			w.Flush()
			t.Logf("%d events:\n%s", n, &table)
			keepResults(t, fmt.Sprintf("%s, %d events: page, median and slowest of seven\n\n```text\n%s```", engine, n, &table))
		})
	}
}

const (
	measured    = 1_000_000 // from so many events on, times are looked at
	pageLimit   = 300 * time.Millisecond
	searchLimit = 200 * time.Millisecond
)

func limitOf(page string) time.Duration {
	if strings.HasPrefix(page, "/api/v1/events?") {
		return searchLimit
	}
	return pageLimit
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// deskClient is an operator's browser, and an application with the same token.
type deskClient struct {
	s       *server
	browser *http.Client
}

func (s *server) desk(t *testing.T) *deskClient {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &deskClient{s: s, browser: &http.Client{Jar: jar, Transport: s.client.Transport, Timeout: time.Minute}}
	resp, err := c.browser.PostForm("http://"+s.operator+"/dashboard/login", url.Values{"token": {operatorToken}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("logging in is answered %d", resp.StatusCode)
	}
	return c
}

// get reads a page to its end and says how long that took.
func (c *deskClient) get(t *testing.T, page string) time.Duration {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.s.operator+page, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(page, "/api/") || page == "/metrics" {
		req.Header.Set("Authorization", "Bearer "+operatorToken)
	}
	began := time.Now()
	resp, err := c.browser.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err != nil || resp.StatusCode != http.StatusOK || strings.Contains(resp.Request.URL.Path, "login") {
		t.Errorf("%s: %d, %v: %.300s", page, resp.StatusCode, err, body)
	}
	return took
}

// pages are those whose cost could grow with the log; the key and the subject are of
// an event in its middle.
func (c *deskClient) pages(t *testing.T, n int) []string {
	t.Helper()
	key := fmt.Sprintf("evt_%020d", n/2/10*10+5)
	found := c.s.events(t, "key", key)
	if len(found) != 1 {
		t.Fatalf("%d events have the key %s", len(found), key)
	}
	customer := fmt.Sprintf("cus_%08d", (n/2/10*10+5)/5)
	since := time.Now().Add(-15 * 24 * time.Hour).UTC().Format(time.RFC3339)
	list := []string{"/metrics", "/dashboard/", "/dashboard/events/" + found[0].ID, "/dashboard/events/" + found[0].ID + "/replay",
		"/api/v1/events/" + found[0].ID, "/api/v1/counts"}
	for _, name := range []string{"alarms", "rejected", "jobs", "jobs?state=waiting", "jobs?state=dead", "dead", "bulk", "bulk/new?type=push",
		"sources", "handlers", "metrics", "audit", "privacy", "settings", "search?q=" + key} {
		list = append(list, "/dashboard/"+name)
	}
	for _, filter := range []string{"", "source=shop", "source=legacy", "type=push", "type=invoice.kind_1*", "type=radar.early_fraud_warning.created",
		"subject=sub_heavy", "subject=" + found[0].Subject, "subject=sub_heavy&type=push", "subject=sub_heavy&source=legacy", "key=" + key,
		"state=done", "state=dead", "state=waiting", "state=quarantined", "state=no_handler", "source=legacy&state=dead",
		"since=" + since, "until=" + since, "until=" + since + "&source=legacy&type=invoice.kind_7", "q=found_nowhere", "q=sub_heavy&source=legacy", "json=nowhere%3D" + key,
		// a word of one event, of five, of half of all, two together, a beginning
		"q=" + key, "q=" + customer, "q=past_due", "q=past_due+" + customer, "q=past_due&source=legacy", "q=" + customer[:len(customer)-1] + "*",
		"json=data.object.customer%3D" + customer} {
		list = append(list, "/dashboard/events?"+filter, "/api/v1/events?"+filter)
	}
	return list
}

// keepResults adds a paragraph to the file that is asked for.
func keepResults(t *testing.T, text string) {
	path := os.Getenv("HK_DESK_RESULTS")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s\n\n", text)
}
