package hookkeeper_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// telling is a channel that fails so many times first.
type telling struct {
	fails   atomic.Int64
	notices chan hook.AlarmNotice
}

func newTelling(fails int64) *telling {
	c := &telling{notices: make(chan hook.AlarmNotice, 10)}
	c.fails.Store(fails)
	return c
}

func (c *telling) SendAlarm(_ context.Context, n hook.AlarmNotice) error {
	if c.fails.Add(-1) >= 0 {
		return errors.New("the far side is down")
	}
	c.notices <- n
	return nil
}

// stuck is a department with one condition over a table of its own.
func stuck() hook.Department {
	text := hook.ConditionText{What: "%d things are stuck", Do: "Free them."}
	return hook.Department{
		Name:   "stuck",
		Tables: hook.Tables{Name: "stuck", Files: fstest.MapFS{"sqlite/0001_stuck.sql": {Data: []byte(`CREATE TABLE stuck (name TEXT, since INTEGER);`)}}},
		Alarms: []hook.Condition{{Rule: "stuck_things", Grave: true, Page: "records/stuck", Query: `SELECT name, since FROM stuck LIMIT 10`,
			Texts: map[string]hook.ConditionText{"en": text, "ko": {What: "%d개가 멈춤", Do: "푸세요."}}}},
	}
}

// TestAlarmsAreToldByEveryChannel: one that is down is tried again and holds up no
// other; the dashboard, the API and the metrics show the same.
func TestAlarmsAreToldByEveryChannel(t *testing.T) {
	t.Parallel()
	store, err := openGuests(t, filepath.Join(t.TempDir(), "hook.db"), stuck().Tables)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if err := store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO stuck (name, since) VALUES ('a', $1), ('b', $1)`, time.Now().Add(-time.Hour))
	up, down := newTelling(0), newTelling(3)
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Tokens: []string{testToken}, Departments: []hook.Department{stuck()}, BackoffBase: time.Millisecond, BackoffMax: 100 * time.Millisecond,
		Alarms: hookkeeper.AlarmConfig{Every: 50 * time.Millisecond, Dashboard: "https://ops.example/dashboard/", Channels: []hookkeeper.AlarmChannel{
			{Name: "down", Sender: down}, {Name: "up", Sender: up},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	first, second := <-up.notices, <-down.notices
	if first != second || first.Kind != "alarm.raised" || first.Title != "hookkeeper: 2 things are stuck" ||
		!strings.Contains(first.Body, "Free them.") || !strings.HasSuffix(first.Body, "\nhttps://ops.example/dashboard/records/stuck") {
		t.Errorf("told %+v and %+v", first, second)
	}
	if down.fails.Load() >= 0 {
		t.Error("the channel that was down was not tried again")
	}
	if status, body := get(t, k.Operator(), "/metrics", testToken); status != 200 ||
		!strings.Contains(body, `hookkeeper_alarm{rule="stuck_things"} 1`) || !strings.Contains(body, `hookkeeper_alarm{rule="oldest_job"} 0`) {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, body := get(t, k.Operator(), "/api/v1/alarms", testToken); status != 200 ||
		!strings.Contains(body, `"rule":"stuck_things"`) || !strings.Contains(body, `"what":"2 things are stuck"`) {
		t.Errorf("api: %d %s", status, body)
	}
	pages := pagesOf(t, k)
	for path, want := range map[string]string{"./": "2 things are stuck", "alarms": "Free them."} {
		if body := pages(path); !strings.Contains(body, want) || !strings.Contains(body, `href="records/stuck"`) {
			t.Errorf("page %s does not say %q", path, want)
		}
	}
	cancel()
	if err := errors.Join(<-done, store.Close()); err != nil {
		t.Error(err)
	}
	if len(up.notices)+len(down.notices) != 0 {
		t.Error("an alarm was told again")
	}
}

// pagesOf logs in and gives the pages of the dashboard.
func pagesOf(t *testing.T, k *hookkeeper.Keeper) func(path string) string {
	t.Helper()
	form := url.Values{"token": {testToken}}.Encode()
	resp := serve(t, k.Operator(), http.MethodPost, "/dashboard/login", form, "Content-Type", "application/x-www-form-urlencoded")
	cookie := strings.Split(resp.Header().Get("Set-Cookie"), ";")[0]
	return func(path string) string {
		return serve(t, k.Operator(), http.MethodGet, "/dashboard/"+strings.TrimPrefix(path, "./"), "", "Cookie", cookie).Body.String()
	}
}

// TestNewRefusesAlarmsThatCannotWork with everything that is wrong at once.
func TestNewRefusesAlarmsThatCannotWork(t *testing.T) {
	t.Parallel()
	d := stuck()
	d.Alarms = append(d.Alarms, hook.Condition{Rule: "Bad!"}, hook.Condition{Rule: "oldest_job", Query: "x"})
	_, err := hookkeeper.New(hookkeeper.Config{Store: deskStore(t), Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Departments: []hook.Department{d}, Handlers: []hook.Route{{Name: "alarm-mail", Handler: nothing}},
		Alarms: hookkeeper.AlarmConfig{Language: "fr", Off: []string{"oldest_jobs"}, Every: -1, Channels: []hookkeeper.AlarmChannel{
			{Name: "mail", Sender: newTelling(0)}, {Name: "Mail", Sender: newTelling(0)}}}})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{`condition "Bad!"`, `condition "oldest_job"`, "language", `no rule "oldest_jobs"`, "negative",
		`channel "Mail"`, "handler alarm-mail already"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	_, err = hookkeeper.New(hookkeeper.Config{Store: openStore(t), Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Alarms: hookkeeper.AlarmConfig{Channels: []hookkeeper.AlarmChannel{{Name: "mail", Sender: newTelling(0)}}}})
	if err == nil || !strings.Contains(err.Error(), "cannot be watched") {
		t.Errorf("a store that cannot be watched: %v", err)
	}
}

// serve asks a handler as a browser on this machine would.
func serve(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8081"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
