package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// gapIn reads the report that reconcile --json has printed.
func gapIn(t *testing.T, got said) (r struct {
	Missed, Listed, Subscriptions int
	Events                        []struct{ Key string }
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("exit code %d, no report: %s%s", got.code, got.stdout, got.stderr)
	}
	return r
}

// keyed is the environment of a server that may ask a double.
func keyed(sim *stripetest.Sim, t *testing.T) map[string]string {
	t.Helper()
	api := httptest.NewServer(sim)
	t.Cleanup(api.Close)
	return map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "STRIPE_SECRET_KEY": "sk_test_s3cret",
		"STRIPE_API_BASE": api.URL, "HOOKKEEPER_OPERATOR_TOKEN": billingToken}
}

// TestReconcileOnTheDatabaseItself: while no server runs the command finds what was
// missed, and the next server works it.
func TestReconcileOnTheDatabaseItself(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "hk.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Cluster(t).URL("postgres") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			sim := stripetest.New(time.Now().Add(-time.Minute), stripe.PinnedVersion)
			sim.Put(stripetest.Subscription("sub_1", "cus_1", "usr_1", "active", sim.Now(), sim.Now().Add(48*time.Hour)))
			sim.Emit("customer.subscription.created", "sub_1")
			env, db := keyed(sim, t), database(t)
			order := []string{"reconcile", "stripe", "--database", db, "--json"}
			first := call(t, env, order...)
			if r := gapIn(t, first); first.code != 0 || r.Missed != 1 || r.Events[0].Key != "evt_sim000001" {
				t.Errorf("first: exit code %d, %+v, want the one that was missed: %s", first.code, r, first.stderr)
			}
			again := call(t, env, append(order, "--since", "1h")...)
			if r := gapIn(t, again); again.code != 0 || r.Missed != 0 || r.Listed != 1 {
				t.Errorf("again: exit code %d, %+v, want nothing missed of one listed: %s", again.code, r, again.stderr)
			}
			list := call(t, env, "events", "list", "--database", db, "--json")
			if !strings.Contains(list.stdout, `"handler":"stripe-subscriptions"`) || !strings.Contains(list.stdout, `"state":"ready"`) {
				t.Errorf("its jobs: %s%s", list.stdout, list.stderr)
			}
			env["HOOKKEEPER_DATABASE"] = db
			s := serve(t, env)
			wantAccess(t, s, "usr_1")
			beside := call(t, env, order...)
			if inUse := strings.Contains(beside.stderr, "in use by pid"); inUse != (name == "SQLite") || inUse != (beside.code != 0) {
				t.Errorf("beside a server: exit code %d: %s%s", beside.code, beside.stdout, beside.stderr)
			}
		})
	}
}

// wantAccess waits until a user may use something.
func wantAccess(t *testing.T, s *serving, user string) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var a stripe.Access
	for until := time.Now().Add(10 * time.Second); !a.HasAccess; <-look.C {
		if time.Now().After(until) {
			t.Fatalf("%s has no access after ten seconds: %+v\n%s", user, a, s.log)
		}
		ask(t, s.operator+"/api/v1/users/"+user+"/access", &a)
	}
}

// TestReconcileSaysWhatItLacks: one line, and never the key.
func TestReconcileSaysWhatItLacks(t *testing.T) {
	t.Chdir(t.TempDir())
	sim := stripetest.New(time.Now(), stripe.PinnedVersion)
	env := keyed(sim, t)
	without := map[string]string{"STRIPE_WEBHOOK_SECRET": env["STRIPE_WEBHOOK_SECRET"], "HOOKKEEPER_BILLING": "on"}
	for _, test := range []struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		{env, []string{"stripe", "--database", "sqlite:hk.db", "--operator", "http://127.0.0.1:1"}, exitUsage, "exclude each other"},
		{env, []string{"github", "--database", "sqlite:hk.db"}, exitFailed, `source "github" is not reconciled`},
		{map[string]string{"TOSS_SECRET_KEY": "test_sk_s3cret"}, []string{"toss", "--database", "sqlite:hk.db"}, exitFailed, "only sources of Stripe"},
		{without, []string{"stripe", "--database", "sqlite:hk.db"}, exitFailed, "set STRIPE_SECRET_KEY"},
		{env, []string{"stripe", "--database", "mysql://x"}, exitFailed, "want sqlite:PATH or postgres:"},
		{env, []string{"stripe", "--database", "postgres://u:pass_s3cret@127.0.0.1:1/d"}, exitFailed, "127.0.0.1"},
		{env, []string{"stripe", "--database", "sqlite:none/hk.db"}, exitFailed, "none"},
		{env, []string{"stripe", "--database", "sqlite:hk.db", "--config", file(t, "c.yaml", "billing: {grace: soon}")}, exitFailed, "billing.grace"},
	} {
		got := call(t, test.env, append([]string{"reconcile"}, test.args...)...)
		if got.code != test.code || !strings.Contains(got.stderr, test.says) || strings.Contains(got.stderr, "s3cret") {
			t.Errorf("%v: exit code %d: %s", test.args, got.code, got.stderr)
		}
	}
	sim.Fail(stripetest.Fault{Status: 401, Times: -1})
	got := call(t, env, "reconcile", "stripe", "--database", "sqlite:hk.db")
	if got.code != exitFailed || !strings.Contains(got.stderr, "401") || !strings.Contains(got.stdout, "0 missed") ||
		strings.Contains(got.stderr+got.stdout, "s3cret") {
		t.Errorf("a key that is refused: exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

// TestAReceiverThatWasDown: thirty minutes in which nothing is delivered, and a
// start. Nobody acts, and within one interval nothing is missing.
func TestAReceiverThatWasDown(t *testing.T) {
	t.Chdir(t.TempDir())
	sim := stripetest.New(time.Now().Add(-time.Hour), stripe.PinnedVersion)
	env := keyed(sim, t)
	// A round is due once an interval, whoever runs: here the outage is shorter
	// than it looks to Stripe.
	env["HOOKKEEPER_CONFIG"] = file(t, "c.yaml", "billing: {reconcile: 1s}")
	sim.Put(stripetest.Subscription("sub_0", "cus_0", "usr_0", "active", sim.Now(), sim.Now().Add(48*time.Hour)))
	sim.Emit("customer.subscription.created", "sub_0")
	s := serve(t, env)
	wantAccess(t, s, "usr_0")
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	sim.Advance(20 * time.Minute)
	const lost = 30 // one customer a minute: 60 events
	for i := 1; i <= lost; i++ {
		id := fmt.Sprintf("sub_%d", i)
		sim.Put(stripetest.Subscription(id, fmt.Sprintf("cus_%d", i), fmt.Sprintf("usr_%d", i), "incomplete", sim.Now(), sim.Now().Add(48*time.Hour)))
		sim.Emit("customer.subscription.created", id)
		sim.Advance(30 * time.Second)
		sim.Change("customer.subscription.updated", id, stripetest.Object{"status": "active"})
		sim.Advance(30 * time.Second)
	}
	sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 429, RetryAfter: "0"})
	sim.Fail(stripetest.Fault{Path: "/v1/events", Status: 500})
	s = serve(t, env)
	for i := range lost + 1 {
		wantAccess(t, s, fmt.Sprintf("usr_%d", i))
	}
	var reports []stripe.Report
	ask(t, s.operator+"/api/v1/reconcile/stripe", &reports)
	if !slices.ContainsFunc(reports, func(r stripe.Report) bool { return r.Missed == 2*lost && len(r.Problems) == 0 }) {
		t.Errorf("no report tells of %d missed events: %+v", 2*lost, reports)
	}
	got := call(t, env, "reconcile", "stripe", "--since", "2h", "--json", "--operator", s.operator, "--token", billingToken)
	if r := gapIn(t, got); got.code != 0 || r.Missed != 0 || r.Listed != 2*lost+1 {
		t.Errorf("looked at again: exit code %d, %+v, want all %d recorded", got.code, r, 2*lost+1)
	}
}
