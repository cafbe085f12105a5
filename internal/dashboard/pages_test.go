package dashboard_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
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

// office is the operators' pages over a real store, and a browser before them.
type office struct {
	*desk
	pages   *dashboard.Pages
	browser *http.Client
	again   func(context.Context, hook.Delivery) (hook.Receipt, error)
	outages map[string]time.Time
}

// departmentOperations are lists as a department offers them.
func departmentOperations() []hook.Operation {
	doc := []byte(`{"summary":"x","responses":{"200":{"description":"x"}}}`)
	return []hook.Operation{
		{Method: "GET", Path: "orders", Need: hook.RoleViewer, Query: []string{"state"}, Doc: doc,
			Handle: func(r *http.Request) (any, error) {
				return map[string]any{"orders": []any{map[string]any{"id": "o1", "state": r.URL.Query().Get("state"),
					"note": hostile + "<img src=x onerror=alert(1)>"}}, "total": 1}, nil
			}},
		{Method: "GET", Path: "orders/{order}", Need: hook.RoleViewer, Doc: doc,
			Handle: func(r *http.Request) (any, error) {
				if r.PathValue("order") != "o1" {
					return nil, hook.ErrNotFound
				}
				return map[string]any{"id": "o1", "who": hook.ActorOf(r.Context())}, nil
			}},
		{Method: "GET", Path: "secrets", Need: hook.RoleAdmin, Doc: doc,
			Handle: func(*http.Request) (any, error) { return map[string]any{"secret": "shown"}, nil }},
	}
}

func newOffice(t *testing.T) *office {
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
	return newOfficeOver(t, store, store)
}

func newOfficeOver(t *testing.T, store *sqlite.Store, ledger hook.Ledger) *office {
	t.Helper()
	o := &office{desk: &desk{t: t, store: store, clock: hooktest.NewClock()}}
	gate := dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}, Keeper: store, Now: o.clock.Now})
	routes := []hook.Route{{Name: "mail", Source: "stripe"}}
	if err := store.SetRoutes(t.Context(), routes); err != nil {
		t.Fatal(err)
	}
	o.pages = dashboard.NewPages(dashboard.PagesConfig{Ledger: ledger, Gate: gate, Routes: routes, Alarms: book{}, Previews: previewing{store}, Approvals: approvalsOf(store),
		Sources:    []dashboard.SourceInfo{{Name: "stripe", Endpoint: "/hooks/stripe", Warnings: []string{hostile}}},
		Operations: departmentOperations(),
		Again: func(ctx context.Context, d hook.Delivery) (hook.Receipt, error) {
			if o.again == nil {
				return hook.Receipt{}, errors.New("nobody verifies")
			}
			return o.again(ctx, d)
		},
		Outages: func() map[string]time.Time { return o.outages },
	})
	mux := http.NewServeMux()
	mux.Handle("/dashboard/", o.pages)
	mux.Handle("/dashboard", o.pages)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	o.url = srv.URL + "/dashboard/"
	o.browser = browserFor(t)
	return o
}

// browserFor keeps cookies and follows nothing.
func browserFor(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// visit asks for a page, or sends a form if there is one.
func (o *office) visit(path string, form url.Values, header ...string) (*http.Response, string) {
	o.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, body)
	if err != nil {
		o.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := o.browser.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp, string(text)
}

// enter logs in with a token.
func (o *office) enter(token string) {
	o.t.Helper()
	resp, body := o.visit("login", url.Values{"token": {token}})
	if resp.StatusCode != http.StatusSeeOther {
		o.t.Fatalf("login: %d %s", resp.StatusCode, body)
	}
}

// dead records an event whose job is dead.
func (o *office) dead(key, cause string, body []byte) string {
	o.t.Helper()
	id := o.record(key, "invoice.paid", body, "mail")
	jobs, err := o.store.Claim(o.t.Context(), hook.Ask{Handlers: []string{"mail"}, Lease: time.Minute, Max: 1, MaxAttempts: 3, Node: "n"})
	if err != nil || len(jobs) != 1 {
		o.t.Fatalf("claim: %d jobs, %v", len(jobs), err)
	}
	if err := o.store.Bury(o.t.Context(), jobs[0], hook.Cause{Text: cause}); err != nil {
		o.t.Fatal(err)
	}
	return id
}

// fixed fills in the variables of a route.
func fixed(pattern, id string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " /dashboard/")
	path = strings.NewReplacer("{$}", "", "{file}", "dashboard.css", "{kind}", "orders", "{name}", "mail", "{note}", "1-ab").Replace(path)
	if strings.HasPrefix(path, "events/") {
		return method, strings.Replace(path, "{id}", id, 1)
	}
	if strings.HasPrefix(path, "records/") {
		return method, strings.Replace(path, "{id}", "o1", 1)
	}
	return method, strings.Replace(path, "{id}", "1", 1)
}

func TestNoPageWithoutASession(t *testing.T) {
	o := newOffice(t)
	id := o.record("k", "invoice.paid", []byte(`{"secret":"body"}`), "mail")
	open := 0
	for _, s := range dashboard.Sheets() {
		if s.Need == "" {
			open++
			continue
		}
		method, path := fixed(s.Pattern, id)
		form := url.Values(nil)
		if method == http.MethodPost {
			form = url.Values{"reason": {"x"}, "handler": {"mail"}}
		}
		for _, cookie := range []string{"", "hookkeeper_session=" + token, "hookkeeper_session=x"} {
			resp, body := o.visit(path, form, "Cookie", cookie, "Authorization", "Bearer "+token)
			toLogin := resp.StatusCode == http.StatusSeeOther && strings.Contains(resp.Header.Get("Location"), "login")
			if resp.StatusCode != http.StatusUnauthorized && (form != nil || !toLogin) {
				t.Errorf("%s with %q: %d to %q, want the login", s.Pattern, cookie, resp.StatusCode, resp.Header.Get("Location"))
			}
			if strings.Contains(body, id) || strings.Contains(body, "stripe") {
				t.Errorf("%s with %q shows something", s.Pattern, cookie)
			}
		}
	}
	if open != 4 { // the login twice, the logout, and the files
		t.Errorf("%d pages are open to all", open)
	}
	if resp, _ := o.visit("nothing", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger learns what does not exist: %d", resp.StatusCode)
	}
	if e, err := o.store.Event(t.Context(), id); err != nil || e.Jobs[0].Generation != 1 {
		t.Errorf("a stranger changed something: %+v, %v", e, err)
	}
}

func TestPagesAskForTheirRole(t *testing.T) {
	o := newOffice(t)
	id := o.record("k", "invoice.paid", []byte(`{}`), "mail")
	for _, role := range []hook.Role{hook.RoleViewer, hook.RoleOperator, hook.RoleAdmin} {
		hash := dashboard.HashOf("kept-token-of-" + string(role))
		if err := o.store.AddToken(t.Context(), hook.NewToken{Name: "the-" + string(role), Role: role, Hash: hash}, "t"); err != nil {
			t.Fatal(err)
		}
		o.browser = browserFor(t)
		o.enter("kept-token-of-" + string(role))
		for _, s := range dashboard.Sheets() {
			method, path := fixed(s.Pattern, id)
			if s.Need == "" || strings.HasSuffix(path, "/tail") {
				continue
			}
			form := url.Values(nil)
			if method == http.MethodPost {
				form = url.Values{"act": {"x"}}
			}
			resp, _ := o.visit(path, form)
			if got, want := resp.StatusCode != http.StatusForbidden, role.Allows(s.Need); got != want {
				t.Errorf("%s as %s: %d, want allowed %t", s.Pattern, role, resp.StatusCode, want)
			}
		}
		if resp, body := o.visit("records/secrets", nil); (resp.StatusCode == 200) != (role == hook.RoleAdmin) || strings.Contains(body, "shown") != (role == hook.RoleAdmin) {
			t.Errorf("a department's page as %s: %d", role, resp.StatusCode)
		}
	}
}

func TestSessionDiesWithItsToken(t *testing.T) {
	o := newOffice(t)
	hash := dashboard.HashOf("kept-token-of-laptop")
	if err := o.store.AddToken(t.Context(), hook.NewToken{Name: "laptop", Role: hook.RoleViewer, Hash: hash}, "t"); err != nil {
		t.Fatal(err)
	}
	o.enter("kept-token-of-laptop")
	resp, body := o.visit("events", nil)
	if resp.StatusCode != 200 || !strings.Contains(body, "token laptop") {
		t.Fatalf("with a session: %d", resp.StatusCode)
	}
	if err := o.store.RevokeToken(t.Context(), "laptop", "t"); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(3 * time.Second) // the gate believes a token for two
	if resp, _ := o.visit("events", nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("after the token was revoked: %d", resp.StatusCode)
	}
}

func TestLogoutEndsTheSessionItself(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	base, err := url.Parse(o.url)
	if err != nil {
		t.Fatal(err)
	}
	var copied string
	for _, c := range o.browser.Jar.Cookies(base) {
		if c.Name == "hookkeeper_session" {
			copied = c.Name + "=" + c.Value
		}
	}
	if strings.Contains(copied, token) || len(copied) < 60 {
		t.Fatalf("the cookie is %q", copied)
	}
	if resp, _ := o.visit("logout", url.Values{}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %d", resp.StatusCode)
	}
	o.browser = browserFor(t)
	if resp, _ := o.visit("events", nil, "Cookie", copied); resp.StatusCode == 200 {
		t.Error("a copy of the cookie still opens pages")
	}
}

func TestSessionCookie(t *testing.T) {
	o := newOffice(t)
	for host, secure := range map[string]bool{"127.0.0.1:8081": false, "localhost": false, "[::1]:1": false, "desk.example": true, "127.0.0.1.example": true} {
		r := httptest.NewRequest("POST", "/dashboard/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Host = host
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		o.pages.ServeHTTP(w, r)
		c := w.Header().Get("Set-Cookie")
		if w.Code != http.StatusSeeOther || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") ||
			strings.Contains(c, "Secure") != secure || strings.Contains(c, "Path") {
			t.Errorf("%s: %d, cookie %q", host, w.Code, c)
		}
		r.Header.Del("X-Forwarded-Proto")
		r.Body = io.NopCloser(strings.NewReader(url.Values{"token": {token}}.Encode()))
		w = httptest.NewRecorder()
		o.pages.ServeHTTP(w, r)
		if refused := w.Code == http.StatusForbidden; refused != secure {
			t.Errorf("%s without TLS: %d", host, w.Code)
		}
	}
}

func TestLinkLogsInOnce(t *testing.T) {
	o := newOffice(t)
	secret, ok := o.pages.Ticket()
	if !ok {
		t.Fatal("no ticket")
	}
	for range 3 { // a preview of the link takes nothing away
		if resp, body := o.visit("login?ticket="+secret, nil); resp.StatusCode != 200 || !strings.Contains(body, secret) {
			t.Fatalf("the link: %d", resp.StatusCode)
		}
	}
	o.enterBy(secret, http.StatusSeeOther)
	if resp, _ := o.visit("events", nil); resp.StatusCode != 200 {
		t.Errorf("after the link: %d", resp.StatusCode)
	}
	o.browser = browserFor(t)
	o.enterBy(secret, http.StatusUnauthorized)
	late, _ := o.pages.Ticket()
	o.enterBy(late+"x", http.StatusUnauthorized)
}

func (o *office) enterBy(ticket string, want int) {
	o.t.Helper()
	if resp, _ := o.visit("login", url.Values{"ticket": {ticket}}); resp.StatusCode != want {
		o.t.Errorf("by a ticket: %d, want %d", resp.StatusCode, want)
	}
}

func TestLoginGoesOnToPagesOfOursOnly(t *testing.T) {
	for next, want := range map[string]string{
		"events?state=dead": "events?state=dead", "bulk/7": "bulk/7", "": "./", "//evil.example/": "./", "/etc": "./",
		"https://evil.example": "./", `\\evil.example`: "./", "javascript:alert(1)": "./", "a//b": "./", "x\r\nSet-Cookie: a=b": "./", "..": "./",
	} {
		o := newOffice(t)
		resp, _ := o.visit("login", url.Values{"token": {token}, "next": {next}})
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	o := newOffice(t)
	statuses := map[int]int{}
	for range 1000 {
		resp, _ := o.visit("login", url.Values{"token": {"guess"}})
		statuses[resp.StatusCode]++
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	if statuses[401] != 10 || statuses[429] != 990 {
		t.Errorf("of a thousand guesses: %v", statuses)
	}
	if resp, _ := o.visit("login", url.Values{"token": {token}}); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right one right after: %d", resp.StatusCode)
	}
	o.clock.Advance(2 * time.Minute)
	o.enter(token)
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.dead("k", "x", []byte(`{}`))
	for _, s := range dashboard.Sheets() {
		method, path := fixed(s.Pattern, id)
		if method != http.MethodPost {
			continue
		}
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			resp, _ := o.visit(path, url.Values{"reason": {"x"}, "handler": {"mail"}, "act": {"pause"}, "token": {token}}, header...)
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %d", s.Pattern, header, resp.StatusCode)
			}
		}
	}
	e, err := o.store.Event(t.Context(), id)
	if err != nil || e.Jobs[0].State != hook.StateDead {
		t.Errorf("another site changed something: %+v, %v", e.Jobs, err)
	}
	if resp, _ := o.visit("events/"+id+"/discard", url.Values{"reason": {"x"}, "handler": {"mail"}}, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("our own form: %d", resp.StatusCode)
	}
}

func TestGetChangesNothing(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.dead("k", "x", []byte(`{"email":"a@b.example"}`))
	before, err := o.store.Event(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range dashboard.Sheets() {
		method, path := fixed(s.Pattern, id)
		if method != http.MethodGet || strings.HasSuffix(path, "tail") {
			continue
		}
		resp, body := o.visit(path+"?reason=x&handler=mail&act=pause&confirm=1", nil)
		if strings.Contains(body, "<html") && (!strings.Contains(body, "</html>") || resp.Header.Get("Content-Security-Policy") == "") {
			t.Errorf("%s: broken off, or without a policy", s.Pattern)
		}
	}
	after, err := o.store.Event(t.Context(), id)
	if err != nil || after.State != before.State || len(after.Attempts) != len(before.Attempts) {
		t.Errorf("a GET changed the event: %+v, %v", after, err)
	}
	entries, _, err := o.store.Audit(t.Context(), "", 10)
	if err != nil || len(entries) != 0 {
		t.Errorf("a GET was audited: %+v, %v", entries, err)
	}
	if paused, err := o.store.Paused(t.Context()); err != nil || len(paused) != 0 {
		t.Errorf("a GET paused: %+v, %v", paused, err)
	}
}
