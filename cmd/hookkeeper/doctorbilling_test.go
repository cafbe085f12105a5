package main

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// TestDoctorLooksIntoBilling: what the database says, beside the server that works
// it and after it; the key is never sent.
func TestDoctorLooksIntoBilling(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite":     func(*testing.T) string { return "sqlite:hk.db" },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Cluster(t).URL("postgres") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			sim := stripetest.New(time.Now().Add(-time.Minute), stripe.PinnedVersion)
			env := maps.Clone(sound())
			maps.Copy(env, keyed(sim, t))
			env["HOOKKEEPER_DATABASE"] = database(t)
			wantFound(t, env, "billing", healthSkipped, "no database to read yet")
			if got := call(t, env, "migrate", "up"); got.code != 0 {
				t.Fatalf("migrate up: %s", got.stderr)
			}
			wantFound(t, env, "billing stripe", healthSkipped, "has not begun on this database")

			stranger := stripetest.Subscription("sub_1", "cus_1", "", "active", sim.Now(), sim.Now().Add(48*time.Hour))
			stranger["metadata"] = map[string]any{}
			sim.Put(stranger)
			sim.Emit("customer.subscription.created", "sub_1")
			s := serve(t, env)
			waitFor(t, env, "billing stripe", "for the user of a customer whom nobody knows")
			wantFound(t, env, "billing stripe", healthWarning, "--state waiting; what waits for longer than 72h0m0s is dead")
			wantFound(t, env, "reconcile stripe", healthOK, "1 event listed since")
			wantFound(t, env, "API key stripe", healthOK, "a secret key of mode test")
			sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 401, Times: -1})
			if got := call(t, env, "reconcile", "stripe", "--operator", s.operator); got.code != exitFailed {
				t.Errorf("a round with a refused key: exit code %d", got.code)
			}
			wantFound(t, env, "reconcile stripe", healthFailed, "API key refused: stripe: /v1/events: 401")
			sim.Heal()
			if got := call(t, env, "reconcile", "stripe", "--operator", s.operator); got.code != 0 {
				t.Errorf("a round: %s", got.stderr)
			}
			wantFound(t, env, "reconcile stripe", healthOK, "0 of them missed")
			if code := s.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			wantFound(t, env, "billing stripe", healthWarning, "waiting")

			env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "billing: {users: {table: customers, id: user_id, customer: customer_id}}")
			wantFound(t, env, "billing users", healthOK, "the table customers can be asked")
			env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "billing: {users: {table: members, id: id, customer: stripe_id}}")
			wantFound(t, env, "billing users", healthFailed, "the table members cannot be asked")
			wantFound(t, env, "billing users", healthFailed, "give this user SELECT on it")
		})
	}
}

// wantFound runs the doctor and looks at one check.
func wantFound(t *testing.T, env map[string]string, check string, state health, says string) {
	t.Helper()
	found, got := examined(t, env)
	if f := found[check]; f.State != state || !strings.Contains(f.Found+": "+f.Todo, says) {
		t.Errorf("%s: %+v, want %s that says %q", check, f, state, says)
	}
	if strings.Contains(got.stdout+got.stderr, "s3cret") {
		t.Errorf("shows a key:\n%s", got.stdout)
	}
}

// waitFor runs the doctor until a check says so.
func waitFor(t *testing.T, env map[string]string, check, says string) {
	t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(10 * time.Second); ; <-look.C {
		found, got := examined(t, env)
		if strings.Contains(found[check].Found, says) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%s never says %q:\n%s", check, says, got.stdout)
		}
	}
}

// TestDoctorLooksAtTheWayToUsers: whether the application answers, without asking
// it for anybody.
func TestDoctorLooksAtTheWayToUsers(t *testing.T) {
	t.Chdir(t.TempDir())
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/" || r.Header.Get("Hookkeeper-Signature") != "" {
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer app.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]health{app.URL + "/users?token=s3cret": healthOK, "http://" + gone.Addr().String() + "/users?token=s3cret": healthFailed} {
		env := maps.Clone(sound())
		env["USERS_SECRET"] = "s3cret-0123456789abcdef"
		env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "billing: {users: {url: '"+address+"', secret: env:USERS_SECRET}}")
		says := map[health]string{healthOK: "answers", healthFailed: "start your application"}[want]
		wantFound(t, env, "billing users", want, says)
	}
	env := maps.Clone(sound())
	env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "billing: {language: fr}")
	wantFound(t, env, "billing", healthFailed, "want ko or en")
	env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "sources: {stripe: {sender: stripe, live: true, secrets: [env:STRIPE_WEBHOOK_SECRET]}}")
	wantFound(t, env, "mode stripe", healthFailed, "live is true, but the API key (STRIPE_SECRET_KEY) is of the other mode")
}

func TestDoctorJudgesTheRounds(t *testing.T) {
	now := time.Now()
	ended := func(ago time.Duration, change func(*stripe.Report)) *stripe.Report {
		r := &stripe.Report{Ended: now.Add(-ago), From: now.Add(-ago - time.Hour)}
		if change != nil {
			change(r)
		}
		return r
	}
	for _, test := range []struct {
		name  string
		last  *stripe.Report
		every time.Duration
		state health
		says  string
	}{
		{"none", nil, time.Minute, healthWarning, "no round yet"},
		{"fresh", ended(time.Minute, nil), 5 * time.Minute, healthOK, "ended 1m0s ago: 0 events listed"},
		{"late", ended(16*time.Minute, nil), 5 * time.Minute, healthWarning, "one is due every 5m0s"},
		{"turned off", ended(16*time.Minute, nil), 0, healthWarning, "billing.reconcile: 0"},
		{"unfinished", ended(0, func(r *stripe.Report) { r.Problems = []string{"stripe: /v1/events: 500"} }), time.Minute, healthFailed, "unfinished: stripe: /v1/events: 500"},
		{"a long gap", ended(0, func(r *stripe.Report) { r.TooOld = true }), time.Minute, healthWarning, "30 days"},
		{"our clock was set back", ended(-time.Hour, nil), time.Minute, healthOK, "ended 0s ago"},
	} {
		c := defaults()
		c.Sources["stripe"] = &sourceConfig{Sender: "stripe", APIKey: secret{value: "sk_test_1", set: true}}
		c.Billing.ReconcileEvery = test.every
		var f findings
		checkRounds(c, "stripe", stripe.Health{Known: true, Last: test.last}, now, &f)
		if len(f) != 1 || f[0].State != test.state || !strings.Contains(f[0].Found+": "+f[0].Todo, test.says) {
			t.Errorf("%s: got %+v, want %s that says %q", test.name, f, test.state, test.says)
		}
	}
}
