package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

const billingToken = "token-0123456789abcdef"

// ask gets an operation of the API as JSON.
func ask(t *testing.T, url string, into any) int {
	t.Helper()
	return askAs(t, billingToken, url, into)
}

func askAs(t *testing.T, token, url string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, body)
	}
	return resp.StatusCode
}

// TestReconcileFindsWhatWasMissed: the whole way, from the environment to the
// gap report, the access of a user and the operator's command.
func TestReconcileFindsWhatWasMissed(t *testing.T) {
	t.Chdir(t.TempDir())
	sim := stripetest.New(time.Now(), stripe.PinnedVersion)
	sim.Put(stripetest.Subscription("sub_1", "cus_1", "usr_1", "active", sim.Now(), sim.Now().Add(48*time.Hour)))
	api := httptest.NewServer(sim)
	defer api.Close()
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "STRIPE_SECRET_KEY": "sk_test_s3cret",
		"STRIPE_API_BASE": api.URL, "HOOKKEEPER_OPERATOR_TOKEN": billingToken}
	s := serve(t, env)
	at := []string{"--operator", s.operator, "--token", billingToken}
	sim.Emit("customer.subscription.created", "sub_1") // nobody delivers it
	sim.Advance(-time.Minute)                          // and it is not of this moment
	sim.Emit("customer.subscription.updated", "sub_1")

	var access stripe.Access
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(10 * time.Second); ; <-look.C {
		got := call(t, env, append([]string{"reconcile", "stripe", "--since", "1h", "--all", "--json"}, at...)...)
		var r struct{ Missed int }
		if err := json.Unmarshal([]byte(got.stdout), &r); got.code != 0 || err != nil {
			t.Fatalf("reconcile: exit code %d, %v: %s%s", got.code, err, got.stdout, got.stderr)
		}
		if ask(t, s.operator+"/api/v1/users/usr_1/access", &access); access.HasAccess {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("no access after ten seconds: %+v", access)
		}
	}
	if access.Plan != "pro_monthly" || access.Why != "active" {
		t.Errorf("access: got %+v", access)
	}
	got := call(t, env, append([]string{"reconcile", "stripe"}, at...)...)
	if got.code != 0 || !strings.Contains(got.stdout, "missed, recorded now") {
		t.Errorf("reconcile: exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	var reports []stripe.Report
	if code := ask(t, s.operator+"/api/v1/reconcile/stripe", &reports); code != 200 || len(reports) < 2 {
		t.Errorf("reports: got %d, %d of them", code, len(reports))
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"reconcile", "github"}, exitFailed, `source "github" is not reconciled`},
		{[]string{"reconcile", "stripe", "--since", "soon"}, exitUsage, "--since"},
		{[]string{"reconcile"}, exitUsage, "<source>"},
	} {
		if got := call(t, env, append(test.args, at...)...); got.code != test.code || !strings.Contains(got.stderr, test.says) {
			t.Errorf("%v: exit code %d: %s", test.args, got.code, got.stderr)
		}
	}
	sim.Fail(stripetest.Fault{Status: 401, Times: -1})
	if got := call(t, env, append([]string{"reconcile", "stripe"}, at...)...); got.code != exitFailed ||
		!strings.Contains(got.stderr, "401") || strings.Contains(got.stderr+s.log.String(), "s3cret") {
		t.Errorf("a key that is refused: exit code %d: %s", got.code, got.stderr)
	}
}

// TestBillingConfiguration: what is wrong is told with its place, and what is
// secret is never shown.
// refuses wants a configuration refused with these words, without the secret.
func refuses(t *testing.T, env map[string]string, text, says, secret string) {
	t.Helper()
	got := call(t, env, "serve", "--print-config", "--config", file(t, "hookkeeper.yaml", text))
	if got.code != exitFailed || !strings.Contains(got.stderr, says) || strings.Contains(got.stderr, secret) {
		t.Errorf("%s: exit code %d, %s, want %q", text, got.code, got.stderr, says)
	}
}

func TestBillingConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123"}
	for text, says := range map[string]string{
		"billing: {grace: soon}":                                   "billing.grace",
		"billing: {language: fr}":                                  "language: want ko or en",
		"billing: {users: {table: users}}":                         "needs id and customer",
		"billing: {users: {url: https://x.example, table: t}}":     "exclude each other",
		"billing: {users: {url: https://x.example}}":               "needs a secret",
		"billing: {channels: {mail: {kinds: [a]}}}":                "billing.channels.mail: url is missing",
		"billing: {channels: {mail: {url: 'smtp://s3cret-host'}}}": "billing.channels.mail: channel smtp",
		"billing: {chanels: {}}":                                   "channels",
		"billing: {on: true}\nsources: {stripe: {sender: github, secrets: [env:STRIPE_WEBHOOK_SECRET]}}": "no source of the sender stripe",
	} {
		refuses(t, env, text, says, "s3cret")
	}
	text := `billing:
  users: {url: "https://x.example/ask?token=s3cret", secret: "s3cret-0123456789abcdef"}
  grace: 5d
  reconcile: 0
  plans: [pro_monthly]
  channels:
    mail: {url: "smtp://u:s3cret@h.example:25/?from=a@h.example", kinds: ["invoice.*"]}
`
	got := call(t, env, "serve", "--print-config", "--config", file(t, "hookkeeper.yaml", text))
	if got.code != 0 || strings.Contains(got.stdout+got.stderr, "s3cret") {
		t.Fatalf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	for _, want := range []string{"grace: 120h0m0s", "reconcile: 0s", "- pro_monthly", "- invoice.*", "url: '********'"} {
		if !strings.Contains(got.stdout, want) && !strings.Contains(got.stdout, strings.ReplaceAll(want, "'", `"`)) && !strings.Contains(got.stdout, strings.ReplaceAll(want, "'", "")) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	for _, v := range []string{"on", "off"} {
		env["HOOKKEEPER_BILLING"] = v
		c, p := loadConfig("", func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if on := len(c.stripeDepartments(&p)) == 1; on != (v == "on") || len(p) > 0 {
			t.Errorf("HOOKKEEPER_BILLING=%s: on is %t, %v", v, on, p)
		}
	}
	env["HOOKKEEPER_BILLING"] = "maybe"
	if got := call(t, env, "serve", "--print-config"); got.code != exitFailed || !strings.Contains(got.stderr, "want on or off") {
		t.Errorf("HOOKKEEPER_BILLING=maybe: %s", got.stderr)
	}
}

// TestTheLifeOfASubscriptionIsSent: to a running server that works it.
func TestTheLifeOfASubscriptionIsSent(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "HOOKKEEPER_BILLING": "on",
		"HOOKKEEPER_OPERATOR_TOKEN": billingToken}
	s := serve(t, env)
	for _, scenario := range []string{"subscription-lifecycle", "subscription-lifecycle-shuffled", "subscription-lifecycle-duplicates"} {
		got := call(t, env, "send", "stripe", "--scenario", scenario, "--to", s.public)
		if lines := strings.Count(got.stdout, "\n"); got.code != 0 || lines < 13 {
			t.Errorf("%s: exit code %d, %d lines: %s", scenario, got.code, lines, got.stderr)
		}
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(10 * time.Second); ; <-look.C {
		var a stripe.Access
		ask(t, s.operator+"/api/v1/users/usr_1001/access", &a)
		ended := 0
		for _, p := range a.Details {
			if p.Status == "canceled" {
				ended++
			}
		}
		if ended == 3 && len(a.Details) == 3 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("after ten seconds: %+v", a)
		}
	}
}
