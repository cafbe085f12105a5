package hookkeeper_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

const (
	testSecret = "whsec_a_secret_for_tests_only"
	testToken  = "an-operator-token-for-tests"
)

func openStore(t *testing.T) *hooktest.Faulty {
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
	return &hooktest.Faulty{Store: s}
}

var nothing = hook.HandlerFunc(func(context.Context, *hook.Event) (hook.Effect, error) { return nil, nil })

// New names every problem at once and opens nothing.
func TestNewRefusesDangerousEmptiness(t *testing.T) {
	_, err := hookkeeper.New(hookkeeper.Config{})
	for _, want := range []string{"no store", "no sources"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an empty configuration: %v, want %q", err, want)
		}
	}
	store := openStore(t)
	for name, c := range map[string]struct {
		cfg  hookkeeper.Config
		want string
	}{
		"empty secret":    {hookkeeper.Config{Sources: []hook.Source{source.Stripe("stripe", "")}}, "stripe"},
		"no secret":       {hookkeeper.Config{Sources: []hook.Source{source.GitHub("github")}}, "github"},
		"placeholder":     {hookkeeper.Config{Sources: []hook.Source{source.Stripe("stripe", "whsec_")}}, "secrets"},
		"bad name":        {hookkeeper.Config{Sources: []hook.Source{source.Stripe("Stripe!", testSecret)}}, "a-z"},
		"twice":           {hookkeeper.Config{Sources: []hook.Source{source.Stripe("s", testSecret), source.Stripe("s", testSecret)}}, "twice"},
		"negative":        {hookkeeper.Config{Lease: -1}, "Lease"},
		"short token":     {hookkeeper.Config{Tokens: []string{"short"}}, "token"},
		"handler twice":   {hookkeeper.Config{Handlers: []hook.Route{{Name: "h", Handler: nothing}, {Name: "h", Handler: nothing}}}, "twice"},
		"no handler":      {hookkeeper.Config{Handlers: []hook.Route{{Name: "h"}}}, "no Handler"},
		"unnamed handler": {hookkeeper.Config{Handlers: []hook.Route{{Handler: nothing}}}, "a name has"},
	} {
		c.cfg.Store = store
		if c.cfg.Sources == nil {
			c.cfg.Sources = []hook.Source{source.Stripe("stripe", testSecret)}
		}
		_, err := hookkeeper.New(c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: got %v, want it refused with %q and no secret", name, err, c.want)
		}
	}
	if _, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Toss("toss")}}); err != nil {
		t.Errorf("Toss without a security key must start: %v", err)
	}
}

func get(t *testing.T, h http.Handler, path, token string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Body)
	return w.Code, string(text)
}

func TestWholeWay(t *testing.T) {
	done := make(chan struct{}, 1)
	k, err := hookkeeper.New(hookkeeper.Config{
		Store: openStore(t), Sources: []hook.Source{source.Stripe("stripe", testSecret)}, Tokens: []string{testToken},
		Handlers: []hook.Route{{Name: "h", Source: "stripe", Types: "invoice.*", Handler: hook.HandlerFunc(
			func(context.Context, *hook.Event) (hook.Effect, error) {
				return func(context.Context, hook.Tx) error { done <- struct{}{}; return nil }, nil
			})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()

	body := `{"id":"evt_1","object":"event","type":"invoice.paid","livemode":true}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/stripe", strings.NewReader(body))
	if err := source.Stripe("stripe", testSecret).Sign(r.Header, []byte(body), time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"recorded"`) {
		t.Fatalf("delivery: %d %s", w.Code, w.Body)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the effect never ran")
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if code, text := get(t, k.Operator(), "/api/v1/events?state=done", testToken); code != 200 || !strings.Contains(text, `"evt_1"`) {
		t.Errorf("events: %d %s", code, text)
	}
	checkMetrics(t, k)
}

// checkMetrics holds the names of the contract.
func checkMetrics(t *testing.T, k *hookkeeper.Keeper) {
	t.Helper()
	if code, _ := get(t, k.Operator(), "/metrics", ""); code != 401 {
		t.Errorf("metrics without a token: %d", code)
	}
	_, text := get(t, k.Operator(), "/metrics", testToken)
	for _, want := range []string{
		`hookkeeper_deliveries_total{outcome="recorded",source="stripe"} 1`,
		`hookkeeper_ack_seconds_count{source="stripe"} 1`,
		`hookkeeper_attempts_total{handler="h",outcome="done"} 1`,
		`hookkeeper_handler_seconds_count{handler="h"} 1`,
		`hookkeeper_source_last_event_timestamp_seconds{source="stripe"}`,
		`hookkeeper_ledger_imbalance 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	store := openStore(t)
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/other": 404, "/metrics": 404, "/api/v1/events": 404} {
		if code, text := get(t, k, path, ""); code != want {
			t.Errorf("%s on the public side: %d %s, want %d", path, code, text, want)
		}
	}
	k.Drain()
	k.Drain()
	if code, text := get(t, k, "/readyz", ""); code != 503 || !strings.Contains(text, "shutting down") {
		t.Errorf("readyz while draining: %d %s", code, text)
	}
	if code, _ := get(t, k, "/healthz", ""); code != 200 {
		t.Errorf("healthz while draining: %d", code)
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := hookkeeper.New(hookkeeper.Config{Store: s, Sources: []hook.Source{source.Stripe("stripe", testSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, k, "/readyz", ""); code != 503 || !strings.Contains(text, "closed") {
		t.Errorf("readyz without a store: %d %s", code, text)
	}
	if err := k.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("run without a store: %v", err)
	}
}

// tables of a department, as files.
var guestTables = hook.Tables{Name: "guests", Files: fstest.MapFS{
	"sqlite/0001_guests.sql": {Data: []byte(`CREATE TABLE guests (name TEXT NOT NULL);`)},
	"sqlite/0002_since.sql":  {Data: []byte(`ALTER TABLE guests ADD COLUMN since INTEGER;`)},
}}

// openGuests opens the store with the tables of a department.
func openGuests(t *testing.T, path string, tables hook.Tables) (*sqlite.Store, error) {
	t.Helper()
	return sqlite.Open(path, sqlite.Options{Tables: []hook.Tables{tables}})
}

// guests is a department that brings one of everything along.
func guests(worked chan<- string, duty chan<- struct{}) hook.Department {
	handler := hook.HandlerFunc(func(_ context.Context, e *hook.Event) (hook.Effect, error) {
		return func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO guests (name) VALUES ($1)`, e.Key)
			worked <- e.Key
			return err
		}, nil
	})
	return hook.Department{
		Name: "guests",
		Pages: map[string]http.Handler{"/guests/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "page "+r.URL.Path)
		})},
		Routes: []hook.Route{{Name: "guests", Source: "guests", Handler: handler}},
		Operations: []hook.Operation{{Method: "GET", Path: "guests", Need: hook.RoleViewer,
			Handle: func(*http.Request) (any, error) { return []string{"all of them"}, nil },
			Doc:    []byte(`{"summary":"guests","responses":{"200":{"description":"all"}}}`)}},
		Duties: []hook.Duty{{Name: "count-guests", Every: time.Hour, Run: func(context.Context) error {
			duty <- struct{}{}
			return nil
		}}},
	}
}

// A department's tables, route, page, operation and duty all work, and what it
// records is worked by its own route.
func TestADepartmentMovesIn(t *testing.T) {
	store, err := openGuests(t, filepath.Join(t.TempDir(), "hook.db"), guestTables)
	if err != nil {
		t.Fatal(err)
	}
	worked, duty := make(chan string, 1), make(chan struct{}, 1)
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Tokens: []string{testToken}, Departments: []hook.Department{guests(worked, duty)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	internal := hook.Identity{Key: "k", Type: "arrived", Trust: hook.TrustInternal}
	for i, want := range []bool{false, true} {
		r, err := k.Record(t.Context(), hook.Delivery{Source: "guests", Body: []byte(`{}`)}, internal)
		if err != nil || r.Duplicate != want {
			t.Errorf("record %d: %+v, %v", i, r, err)
		}
	}
	if got := <-worked; got != "k" {
		t.Errorf("worked %q", got)
	}
	<-duty
	if status, body := get(t, k, "/guests/list", ""); status != 200 || body != "page /guests/list" {
		t.Errorf("page: %d %s", status, body)
	}
	for _, path := range []string{"/guests", "/other/x", "/guestsx/"} {
		if status, _ := get(t, k, path, ""); status != 404 {
			t.Errorf("%s: %d, want 404", path, status)
		}
	}
	if status, body := get(t, k.Operator(), "/api/v1/guests", testToken); status != 200 || !strings.Contains(body, "all of them") {
		t.Errorf("operation: %d %s", status, body)
	}
	internal.Trust = hook.TrustSignature
	if _, err := k.Record(t.Context(), hook.Delivery{Source: "guests", Body: []byte(`{}`)}, internal); err == nil {
		t.Error("an event that claims a signature was recorded without the door")
	}
	cancel()
	if err := errors.Join(<-done, store.Close()); err != nil {
		t.Error(err)
	}
}

// The steps of a department's tables run once each, and a database that has more
// of them than this binary is refused.
func TestADepartmentsTablesAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	first := "sqlite/0001_guests.sql"
	fewer := hook.Tables{Name: "guests", Files: fstest.MapFS{first: guestTables.Files.(fstest.MapFS)[first]}}
	for i, tables := range []hook.Tables{fewer, guestTables, guestTables} {
		store, err := openGuests(t, path, tables)
		if err != nil {
			t.Fatalf("open %d: %v", i, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openGuests(t, path, fewer); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("tables newer than the binary: %v", err)
	}
}

func TestNewRefusesADepartmentThatDoesNotFit(t *testing.T) {
	fine := func() hook.Department { return hook.Department{Name: "guests"} }
	store := openStore(t)
	for want, spoil := range map[string]func(*hook.Department){
		"department": func(d *hook.Department) { d.Name = "Guests!" },
		"duty":       func(d *hook.Department) { d.Duties = []hook.Duty{{Name: "x"}} },
		"page":       func(d *hook.Department) { d.Pages = map[string]http.Handler{"/hooks/": http.NotFoundHandler()} },
		"operation":  func(d *hook.Department) { d.Operations = []hook.Operation{{Method: "GET", Path: "events"}} },
		"no Handler": func(d *hook.Department) { d.Routes = []hook.Route{{Name: "h"}} },
	} {
		d := fine()
		spoil(&d)
		_, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
			Departments: []hook.Department{d}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want it refused with %q, got %v", want, err)
		}
	}
}
