package dashboard_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

const token = "operator-token-0123456789"

// hostile is a text that would steer a terminal or a page.
const hostile = "\x1b[31m\r\n\x00\u0085\u202e</script>\U000e0001"

// desk is an API over a real store.
type desk struct {
	t     *testing.T
	store *sqlite.Store
	url   string
	clock *hooktest.Clock
}

func gateOf(tokens ...string) *dashboard.Gate {
	return dashboard.NewGate(dashboard.GateConfig{Tokens: tokens})
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	clock := hooktest.NewClock()
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{
		Ledger: store, Alarms: book{}, Previews: previewing{store}, Approvals: approvalsOf(store), Gate: dashboard.NewGate(dashboard.GateConfig{
			Tokens: []string{"another-token-9876543210", token}, Keeper: store, Now: clock.Now,
		}),
		Sources: []dashboard.SourceInfo{{Name: "stripe", Endpoint: "/hooks/stripe", Warnings: []string{}}},
	}))
	t.Cleanup(srv.Close)
	return &desk{t, store, srv.URL, clock}
}

func (d *desk) record(key, eventType string, body []byte, handlers ...string) string {
	d.t.Helper()
	r, err := d.store.Record(d.t.Context(),
		hook.Delivery{Source: "stripe", Header: http.Header{"X-A": {"b"}}, Body: body, ReceivedAt: time.Now()},
		hook.Identity{Key: key, Type: eventType, Mode: hook.ModeTest, Trust: hook.TrustSignature}, handlers)
	if err != nil {
		d.t.Fatal(err)
	}
	return r.EventID
}

// ask makes a request with the operator token.
func (d *desk) ask(method, route, body string) (*http.Response, []byte) {
	d.t.Helper()
	return d.askAs("Bearer "+token, method, route, body)
}

func (d *desk) askAs(authorization, method, route, body string) (*http.Response, []byte) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+route, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp, data
}

// every gives method and path of all routes, and of one that is none.
func every() [][2]string {
	all := [][2]string{{"GET", "/api/v1/nothing"}}
	for _, r := range dashboard.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		all = append(all, [2]string{method, strings.NewReplacer("{id}", "ev_1", "{name}", "app").Replace(path)})
	}
	return all
}

func TestNothingIsShownWithoutAToken(t *testing.T) {
	d := newDesk(t)
	closed := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: d.store,
		Gate: dashboard.NewGate(dashboard.GateConfig{Tokens: []string{"", "  "}, Now: d.clock.Now})}))
	defer closed.Close()
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Bearer  ", "Basic " + token, token} {
		for _, route := range every() {
			d.clock.Advance(time.Minute) // or the wrong ones would be too many
			for _, address := range []string{d.url, closed.URL} {
				resp, body := (&desk{t: t, url: address}).askAs(authorization, route[0], route[1], "{}")
				if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s with %q: %d, want 401", route, authorization, resp.StatusCode)
				}
				checkProblem(t, resp, body, "token")
			}
		}
	}
	if resp, _ := (&desk{t: t, url: closed.URL}).ask("GET", "/api/v1/counts", ""); resp.StatusCode != 401 {
		t.Errorf("without configured tokens: %d, want 401", resp.StatusCode)
	}
	if resp, _ := d.askAs("bearer another-token-9876543210", "GET", "/api/v1/counts", ""); resp.StatusCode != 200 {
		t.Errorf("the first of two tokens: %d, want 200", resp.StatusCode)
	}
}

func checkProblem(t *testing.T, resp *http.Response, body []byte, says string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal(body, &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("no problem document: %s %q", resp.Header.Get("Content-Type"), body)
		return
	}
	if p.Status != resp.StatusCode || p.Type != "about:blank" || p.Title == "" || !strings.Contains(p.Detail, says) {
		t.Errorf("problem %+v of answer %d does not say %q", p, resp.StatusCode, says)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", resp.Header.Get("Cache-Control"))
	}
}

func TestWrongRequestsAreNamed(t *testing.T) {
	d := newDesk(t)
	id := d.record("k", "t", []byte("{}"), "mail")
	long := strings.Repeat("x", 5000)
	for _, test := range []struct {
		method, route, body string
		status              int
		says                string
	}{
		{"GET", "/api/v1/nothing", "", 404, "no such route"},
		{"GET", "/api/v1/", "", 404, "no such route"},
		{"GET", "/api/v1/events/../counts", "", 404, "no such route"},
		{"GET", "/api/v1/events/", "", 404, "no such route"},
		{"DELETE", "/api/v1/events", "", 405, "DELETE"},
		{"GET", "/api/v1/events/" + id + "/replay", "", 405, "GET"},
		{"GET", "/api/v1/events/ev_nope", "", 404, ""},
		{"GET", "/api/v1/events/ev_nope/raw", "", 404, ""},
		{"GET", "/api/v1/events/%2e%2e%2fetc", "", 404, ""},
		{"GET", "/api/v1/events/" + url.PathEscape("' OR 1=1 --"), "", 404, ""},
		{"GET", "/api/v1/events?limit=0", "", 400, "limit"},
		{"GET", "/api/v1/events?limit=1001", "", 400, "limit"},
		{"GET", "/api/v1/events?limit=ten", "", 400, "limit"},
		{"GET", "/api/v1/events?cursor=forged", "", 400, "cursor"},
		{"GET", "/api/v1/events?cursor=" + url.QueryEscape("' OR 1=1"), "", 400, "cursor"},
		{"GET", "/api/v1/events?state=lost", "", 400, "state"},
		{"GET", "/api/v1/events?since=noon", "", 400, "since"},
		{"GET", "/api/v1/events?until=2026-13-01T00:00:00Z", "", 400, "until"},
		{"GET", "/api/v1/events?sort=id;drop", "", 400, "query"},
		{"GET", "/api/v1/events?sort=id", "", 400, "sort"},
		{"GET", "/api/v1/events?source=a&source=b", "", 400, "source"},
		{"GET", "/api/v1/events?key=" + long, "", 400, "key"},
		{"GET", "/api/v1/events?key=%ff", "", 400, "key"},
		{"GET", "/api/v1/events?key=%00", "", 400, "key"},
		{"GET", "/api/v1/export?limit=5", "", 400, "limit"},
		{"GET", "/api/v1/history?source=a", "", 400, "source"},
		{"GET", "/api/v1/rejections?limit=-1", "", 400, "limit"},
		{"GET", "/api/v1/counts?source=a", "", 400, "this route has none"},
		{"GET", "/api/v1/events/" + id + "?raw=1", "", 400, "raw"},
		{"POST", "/api/v1/tokens", `{"name":"a","role":"viewer","sha256":"abc"}`, 400, "sha256"},
		{"POST", "/api/v1/tokens", `{"name":"a","role":"root","sha256":"` + strings.Repeat("ab", 32) + `"}`, 400, "role"},
		{"POST", "/api/v1/tokens", `{"name":"A!","role":"viewer","sha256":"` + strings.Repeat("ab", 32) + `"}`, 409, "A!"},
		{"DELETE", "/api/v1/tokens/nobody", "", 404, "nobody"},
		{"POST", "/api/v1/events/ev_nope/replay", `{"dry_run":true}`, 404, ""},
		{"POST", "/api/v1/events/" + id + "/replay", `{}`, 400, "reason"},
		{"POST", "/api/v1/events/" + id + "/replay", `{"reason":"x","actor":"me"}`, 400, "body"},
		{"POST", "/api/v1/events/" + id + "/replay", `{"reason":"x"}{}`, 400, "body"},
		{"POST", "/api/v1/events/" + id + "/replay", `[`, 400, "body"},
		{"POST", "/api/v1/events/" + id + "/replay", `{"reason":"` + strings.Repeat("x", 70000) + `"}`, 400, "body"},
		{"POST", "/api/v1/events/" + id + "/replay", `{"reason":"x","handlers":["mail"]}`, 409, id},
		{"POST", "/api/v1/events/" + id + "/discard", `{"reason":"x"}`, 400, "handler"},
		{"POST", "/api/v1/events/" + id + "/discard", `{"reason":"x","handler":"mail"}`, 409, id},
		{"POST", "/api/v1/events/ev_nope/replay", `{"reason":"x"}`, 404, ""},
	} {
		t.Run(test.method+" "+shortened(test.route)+" "+shortened(test.body), func(t *testing.T) {
			resp, body := d.ask(test.method, test.route, test.body)
			if resp.StatusCode != test.status {
				t.Errorf("%d, want %d: %s", resp.StatusCode, test.status, body)
			}
			checkProblem(t, resp, body, test.says)
		})
	}
}

func shortened(s string) string { return s[:min(len(s), 60)] }

func TestListGivesEveryEventOnceInPages(t *testing.T) {
	d := newDesk(t)
	want := map[string]bool{}
	for i := range 25 {
		want[d.record(fmt.Sprint(i), "invoice.paid", []byte(fmt.Sprint(i)))] = true
	}
	d.record("other", "charge.refunded", []byte("x"))
	route := "/api/v1/events?limit=10&type=invoice.*&source=stripe"
	for pages := 1; ; pages++ {
		resp, body := d.ask("GET", route, "")
		var page struct {
			Events []hook.EventInfo
			Next   string
		}
		if err := json.Unmarshal(body, &page); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		for _, e := range page.Events {
			if !want[e.ID] {
				t.Errorf("%s was not asked for, or comes twice", e.ID)
			}
			delete(want, e.ID)
		}
		if page.Next == "" || pages > 5 {
			break
		}
		route = "/api/v1/events?limit=10&type=invoice.*&source=stripe&cursor=" + url.QueryEscape(page.Next)
	}
	if len(want) > 0 {
		t.Errorf("%d events are on no page", len(want))
	}
	if _, body := d.ask("GET", "/api/v1/events?key=none", ""); !bytes.Contains(body, []byte(`"events":[]`)) {
		t.Errorf("an empty list is %s", body)
	}
}

func TestRawBodyIsExactAndHarmless(t *testing.T) {
	d := newDesk(t)
	body := []byte("<script>alert(1)</script>\x00\xff\r\n")
	id := d.record("k", "t", body)
	resp, got := d.ask("GET", "/api/v1/events/"+id+"/raw", "")
	if !bytes.Equal(got, body) {
		t.Errorf("got %q, want %q", got, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Content-Disposition": `attachment; filename="` + id + `.body"`,
	} {
		if resp.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, resp.Header.Get(name), want)
		}
	}
}

func TestAnswersHoldNoControlCharacters(t *testing.T) {
	d := newDesk(t)
	id := d.record(hostile, hostile, []byte("{}"))
	for _, route := range []string{"/api/v1/events", "/api/v1/events/" + id, "/api/v1/export", "/api/v1/history"} {
		resp, body := d.ask("GET", route, "")
		if resp.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s: %d", route, resp.StatusCode)
		}
		for _, r := range strings.TrimRight(string(body), "\n") {
			if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0xe0001 || r == '<' {
				t.Errorf("%s holds %U", route, r)
			}
		}
	}
	var e hook.EventInfo
	_, body := d.ask("GET", "/api/v1/events/"+id, "")
	if err := json.Unmarshal(body, &e); err != nil || e.Type != hostile {
		t.Errorf("the type reads back as %q, %v", e.Type, err)
	}
}

func TestExportHoldsBodiesAndChecksums(t *testing.T) {
	d := newDesk(t)
	d.record("1", "a", []byte("first\x00"))
	d.record("2", "b", []byte("second"))
	resp, body := d.ask("GET", "/api/v1/export?type=a", "")
	var line struct{ Key, Body, SHA256 string }
	if err := json.Unmarshal(body, &line); err != nil {
		t.Fatalf("want exactly one line: %v: %s", err, body)
	}
	raw, err := base64.StdEncoding.DecodeString(line.Body)
	if err != nil || string(raw) != "first\x00" || len(line.SHA256) != 64 || line.Key != "1" {
		t.Errorf("line %+v, body %q, %v", line, raw, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type is %q", got)
	}
}

func TestReplayIsAuditedUnderTheToken(t *testing.T) {
	ledger := &orders{}
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: ledger, Gate: gateOf("first-token", token)}))
	defer srv.Close()
	d := &desk{t: t, url: srv.URL}
	resp, body := d.ask("POST", "/api/v1/events/ev_1/replay", `{"handlers":["mail"],"reason":"mended"}`)
	if resp.StatusCode != 200 || !bytes.Contains(body, []byte(`"jobs":1`)) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if got := ledger.replay; got.Actor != "operator token 2" || got.Reason != "mended" || len(got.Handlers) != 1 {
		t.Errorf("the ledger got %+v", got)
	}
	d.ask("POST", "/api/v1/events/ev_1/discard", `{"handler":"mail","reason":"spam"}`)
	if ledger.discarded != "ev_1 mail operator token 2 spam" {
		t.Errorf("the ledger got %q", ledger.discarded)
	}
}

// TestBrokenStreamIsNotTakenForWhole: after the first line the status has gone
// out, so the connection must be cut.
func TestBrokenStreamIsNotTakenForWhole(t *testing.T) {
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: &orders{}, Gate: gateOf(token)}))
	defer srv.Close()
	req, err := http.NewRequest("GET", srv.URL+"/api/v1/history", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the stream ended as if it were whole")
	}
}

// orders is a ledger that notes what it is told, and whose history breaks off.
type orders struct {
	hook.Ledger
	replay    hook.Replay
	discarded string
}

func (o *orders) Replay(_ context.Context, _ string, r hook.Replay) (int, error) {
	o.replay = r
	return 1, nil
}

func (o *orders) Discard(_ context.Context, id, handler, actor, reason string) error {
	o.discarded = strings.Join([]string{id, handler, actor, reason}, " ")
	return nil
}

func (o *orders) History(_ context.Context, write func(hook.HistoryLine) error) error {
	if err := write(hook.HistoryLine{Kind: "event"}); err != nil {
		return err
	}
	return errors.New("disk on fire")
}

func TestOverviewRoutes(t *testing.T) {
	d := newDesk(t)
	d.record("k", "t", []byte("{}"), "mail")
	for route, want := range map[string]string{
		"/api/v1/sources":    `"last_event":"20`,
		"/api/v1/counts":     `"mail":{"ready":1`,
		"/api/v1/rejections": `"rejections":[]`,
		"/api/v1/history":    `"kind":"event"`,
	} {
		if resp, body := d.ask("GET", route, ""); resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, want %s", route, resp.StatusCode, body, want)
		}
	}
}

func TestGuardOpensOnlyWithATokenOrOnPurpose(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, test := range []struct {
		tokens []string
		open   bool
		auth   string
		want   int
	}{
		{[]string{token}, false, "", 401}, {[]string{token}, false, "Bearer " + token, 418},
		{nil, false, "Bearer ", 401}, {nil, true, "", 418},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Authorization", test.auth)
		gateOf(test.tokens...).Guard(inner, test.open).ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%+v: %d", test, w.Code)
		}
	}
}
