package hookkeeper_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// deskStore is a real store with everything that operators need.
func deskStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestPausedHandlerIsGivenNoJobs, and a bulk replay is got on with meanwhile: its
// jobs wait like all others until the handler is resumed.
func TestPausedHandlerIsGivenNoJobs(t *testing.T) {
	store := deskStore(t)
	worked := make(chan string, 10)
	route := func(name string) hook.Route {
		return hook.Route{Name: name, Handler: hook.HandlerFunc(func(_ context.Context, e *hook.Event) (hook.Effect, error) {
			worked <- name + " " + e.Key
			return nil, nil
		})}
	}
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Handlers: []hook.Route{route("mail"), route("books")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SetPaused(t.Context(), "mail", true, "me", "smtp down"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	record := func(key string) {
		t.Helper()
		if _, err := k.Record(ctx, hook.Delivery{Source: "stripe", Body: []byte("{}")},
			hook.Identity{Key: key, Type: "x", Trust: hook.TrustInternal}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string) {
		t.Helper()
		select {
		case got := <-worked:
			if got != what {
				t.Errorf("%s was worked, want %s", got, what)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not worked", what)
		}
	}
	record("one")
	want("books one")
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for range look.C { // a job that has not ended yet would be left out
		page, _, err := store.Events(ctx, hook.Filter{Key: "one"})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(page[0].Jobs, func(j hook.JobInfo) bool { return j.Handler == "books" && j.State == hook.StateDone }) {
			break
		}
	}
	if _, err := store.AddBulk(ctx, hook.BulkOrder{Handlers: []string{"books"}, Rate: 100, Reason: "a test", Actor: "me"}); err != nil {
		t.Fatal(err)
	}
	want("books one")
	if err := store.SetPaused(ctx, "mail", false, "me", ""); err != nil {
		t.Fatal(err)
	}
	want("mail one")
}

func TestDashboardStandsBehindTheLogin(t *testing.T) {
	store := deskStore(t)
	cfg := hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)}, Tokens: []string{testToken}}
	k, err := hookkeeper.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(k *hookkeeper.Keeper, method, path, form string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(form))
		r.Host = "127.0.0.1:8081"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		k.Operator().ServeHTTP(w, r)
		return w
	}
	if w := ask(k, "GET", "/", ""); w.Code != http.StatusSeeOther {
		t.Errorf("the root: %d", w.Code)
	}
	if w := ask(k, "GET", "/dashboard/events", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "login?next=events" {
		t.Errorf("without a session: %d to %q", w.Code, w.Header().Get("Location"))
	}
	link, err := url.Parse(k.LoginLink())
	if err != nil || link.Path != "/dashboard/login" {
		t.Fatalf("the link is %v, %v", link, err)
	}
	form := url.Values{"ticket": {link.Query().Get("ticket")}}.Encode()
	for i, status := range []int{http.StatusSeeOther, http.StatusUnauthorized} {
		if w := ask(k, "POST", "/dashboard/login", form); w.Code != status {
			t.Errorf("the link for the %d. time: %d, want %d", i+1, w.Code, status)
		}
	}
	w := httptest.NewRecorder()
	k.ServeHTTP(w, httptest.NewRequest("GET", "/dashboard/", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("on the public side: %d", w.Code)
	}
	cfg.Tokens = nil
	if k, err = hookkeeper.New(cfg); err != nil || k.LoginLink() != "" {
		t.Errorf("without a configured token there is a link, %v", err)
	}
	cfg.Tokens, cfg.Roles = []string{testToken}, []hookkeeper.NodeRole{hookkeeper.RoleReceive}
	if k, err = hookkeeper.New(cfg); err != nil || k.LoginLink() != "" || ask(k, "GET", "/dashboard/", "").Code != 404 {
		t.Errorf("a node that only receives has a dashboard, %v", err)
	}
}
