package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sound is an environment with which nothing is wrong.
func sound() map[string]string {
	return map[string]string{
		"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "STRIPE_SECRET_KEY": "sk_test_0123456789abcdef",
		"HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef",
		"HOOKKEEPER_LISTEN":         "127.0.0.1:0", "HOOKKEEPER_OPERATOR_LISTEN": "127.0.0.1:0",
	}
}

// examined runs the doctor and gives its findings by check; of several with one
// name the worst.
func examined(t *testing.T, env map[string]string, args ...string) (map[string]finding, said) {
	t.Helper()
	got := call(t, env, append([]string{"doctor", "--json"}, args...)...)
	found := map[string]finding{}
	severity := map[health]int{healthSkipped: 0, healthOK: 1, healthWarning: 2, healthFailed: 3}
	failed := false
	for line := range strings.Lines(got.stdout) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if old, ok := found[f.Check]; !ok || severity[f.State] > severity[old.State] {
			found[f.Check] = f
		}
		failed = failed || f.State == healthFailed
	}
	if want := map[bool]int{true: exitFailed, false: exitDone}[failed]; got.code != want || got.stderr != "" {
		t.Errorf("exit code %d, want %d; stderr %q", got.code, want, got.stderr)
	}
	for name, value := range env {
		if secret := strings.Contains(name, "SECRET") || strings.Contains(name, "TOKEN"); secret && len(value) > 3 &&
			strings.Contains(got.stdout+got.stderr, value) {
			t.Errorf("shows %s:\n%s", name, got.stdout)
		}
	}
	return found, got
}

func TestDoctorFindsNothingWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	found, got := examined(t, sound())
	for check, want := range map[string]health{
		"configuration": healthOK, "database": healthOK, "database folder": healthOK, "secrets stripe": healthOK,
		"mode stripe": healthOK, "operator token": healthOK, "public listener": healthOK, "operator listener": healthOK,
		"sender API stripe": healthSkipped, "clock": healthSkipped,
		"API key stripe": healthOK, "billing": healthSkipped,
	} {
		if found[check].State != want {
			t.Errorf("%s is %q (%s), want %s", check, found[check].State, found[check].Found, want)
		}
	}
	if found["disk"].State == "" || got.code != 0 {
		t.Errorf("exit code %d, disk %+v", got.code, found["disk"])
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("the doctor left %v behind, %v", entries, err)
	}
	table := call(t, sound(), "doctor")
	if !strings.HasPrefix(table.stdout, "CHECK ") || !strings.Contains(table.stdout, "configuration ") {
		t.Errorf("the table:\n%s", table.stdout)
	}
}

func TestDoctorNamesWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for _, test := range []struct {
		name  string
		env   map[string]string // over a sound one; empty takes away
		check string
		state health
		says  string
	}{
		{"nothing configured", map[string]string{"STRIPE_WEBHOOK_SECRET": "", "STRIPE_SECRET_KEY": ""}, "configuration", healthFailed, "no sources"},
		{"placeholder", map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_"}, "secrets stripe", healthFailed, "secrets[0]"},
		{"short secret", map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_short"}, "secrets stripe", healthWarning, "short"},
		{"API key for a secret", map[string]string{"GITHUB_WEBHOOK_SECRET": "your_secret_of_prod"}, "secrets github", healthFailed, "placeholder"},
		{"placeholder key", map[string]string{"STRIPE_SECRET_KEY": "<stripe key>"}, "secrets stripe", healthFailed, "STRIPE_SECRET_KEY"},
		{"toss without a security key", map[string]string{"TOSS_SECRET_KEY": "test_sk_0123456789"}, "secrets toss", healthWarning,
			"payout.changed and seller.changed are 401 bad_config"},
		{"unknown mode", map[string]string{"STRIPE_SECRET_KEY": ""}, "mode stripe", healthWarning, "set live"},
		{"stripe key alone", map[string]string{"STRIPE_WEBHOOK_SECRET": ""}, "secrets stripe", healthFailed, "set STRIPE_WEBHOOK_SECRET"},
		{"publishable key", map[string]string{"STRIPE_SECRET_KEY": "pk_test_0123456789"}, "API key stripe", healthFailed, "publishable"},
		{"signing secret for a key", map[string]string{"STRIPE_SECRET_KEY": "whsec_0123456789abcdef"}, "API key stripe", healthFailed, "signing secret"},
		{"key of Toss", map[string]string{"STRIPE_SECRET_KEY": "test_sk_0123456789"}, "API key stripe", healthWarning, "no known kind"},
		{"billing without a key", map[string]string{"STRIPE_SECRET_KEY": "", "HOOKKEEPER_BILLING": "on"}, "API key stripe", healthWarning, "stays unknown"},
		{"no token", map[string]string{"HOOKKEEPER_OPERATOR_TOKEN": ""}, "operator token", healthWarning, "tokens add"},
		{"short token", map[string]string{"HOOKKEEPER_OPERATOR_TOKEN": "short-token"}, "operator token", healthFailed, "16"},
		{"no folder", map[string]string{"HOOKKEEPER_DATABASE": "sqlite:none/hk.db"}, "database folder", healthFailed, "create it"},
		{"another database", map[string]string{"HOOKKEEPER_DATABASE": "mysql://u:pass_secret@h/d"}, "configuration", healthFailed, "want sqlite:PATH or postgres:"},
		{"dead PostgreSQL", map[string]string{"HOOKKEEPER_DATABASE": "postgres://u:pass_secret@127.0.0.1:1/d"}, "database", healthFailed, "127.0.0.1"},
		{"no address", map[string]string{"HOOKKEEPER_LISTEN": "nowhere"}, "configuration", healthFailed, "HOST:PORT"},
		{"taken port", map[string]string{"HOOKKEEPER_LISTEN": taken.Listener.Addr().String()}, "public listener", healthFailed, "another program"},
		{"foreign address", map[string]string{"HOOKKEEPER_LISTEN": "192.0.2.1:80"}, "public listener", healthFailed, "choose another"},
		{"dead API", map[string]string{"STRIPE_API_BASE": "http://user:pass_secret@127.0.0.1:1/v1"}, "sender API stripe", healthFailed, "does not answer"},
		{"no URL", map[string]string{"STRIPE_API_BASE": "file:///etc/passwd"}, "sender API stripe", healthFailed, "no http or https"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := sound()
			for name, value := range test.env {
				if env[name] = value; value == "" {
					delete(env, name)
				}
			}
			found, got := examined(t, env)
			f := found[test.check]
			if f.State != test.state || !strings.Contains(f.Found+": "+f.Todo, test.says) {
				t.Errorf("%s: %+v, want %s that says %q", test.check, f, test.state, test.says)
			}
			if strings.Contains(got.stdout, "pass_secret") {
				t.Errorf("shows a password:\n%s", got.stdout)
			}
		})
	}
}

// TestDoctorAsksOnlyConfiguredAddresses: without the key, following nobody, and
// only of sources that have one.
func TestDoctorAsksOnlyConfiguredAddresses(t *testing.T) {
	t.Chdir(t.TempDir())
	var asked, strayed atomic.Int32
	stray := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer stray.Close()
	off := new(atomic.Int64)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), "sk_test") {
			t.Errorf("the key went out: %s %v", r.URL, r.Header)
		}
		w.Header().Set("Date", time.Now().Add(time.Duration(off.Load())).UTC().Format(http.TimeFormat))
		http.Redirect(w, r, stray.URL, http.StatusFound)
	}))
	defer api.Close()
	env := sound()
	env["STRIPE_API_BASE"] = api.URL
	for ahead, want := range map[time.Duration]health{0: healthOK, 2 * time.Minute: healthWarning, -2 * time.Hour: healthFailed} {
		off.Store(int64(-ahead))
		found, _ := examined(t, env)
		if f := found["sender API stripe"]; f.State != healthOK {
			t.Errorf("the API answers: %+v", f)
		}
		if f := found["clock"]; f.State != want || want == healthFailed && !strings.Contains(f.Found, "behind") {
			t.Errorf("a clock ahead by %s: %+v, want %s", ahead, f, want)
		}
	}
	if asked.Load() != 3 || strayed.Load() != 0 {
		t.Errorf("asked %d times, want 3; a redirect was followed %d times", asked.Load(), strayed.Load())
	}
	without := maps.Clone(env)
	delete(without, "STRIPE_SECRET_KEY")
	if found, _ := examined(t, without); asked.Load() != 3 || found["sender API stripe"].State != "" {
		t.Errorf("a source without a key: asked %d times, %+v", asked.Load(), found["sender API stripe"])
	}
}

func TestDoctorKnowsARunningHookkeeper(t *testing.T) {
	t.Chdir(t.TempDir())
	env := sound()
	s := serve(t, env)
	env["HOOKKEEPER_LISTEN"] = strings.TrimPrefix(s.public, "http://")
	env["HOOKKEEPER_OPERATOR_LISTEN"] = strings.TrimPrefix(s.operator, "http://")
	found, got := examined(t, env)
	for check, says := range map[string]string{
		"public listener": "held by a running hookkeeper", "operator listener": "held by a running hookkeeper",
		"database": "is worked by the process", "schema": "up to date",
	} {
		if f := found[check]; f.State != healthOK || !strings.Contains(f.Found, says) {
			t.Errorf("%s: %+v, want ok and %q", check, f, says)
		}
	}
	if got.code != 0 {
		t.Errorf("exit code %d:\n%s", got.code, got.stdout)
	}
	kept := maps.Clone(env)
	delete(kept, "HOOKKEEPER_OPERATOR_TOKEN")
	if got := call(t, env, "tokens", "add", "boss", "--role", "admin", "--operator", s.operator); got.code != 0 {
		t.Errorf("tokens add: %s", got.stderr)
	}
	if found, _ := examined(t, kept); found["operator token"].State != healthOK {
		t.Errorf("a kept token is a token: %+v", found["operator token"])
	}
	// The two doors are not mistaken for each other.
	env["HOOKKEEPER_LISTEN"] = env["HOOKKEEPER_OPERATOR_LISTEN"]
	if found, _ := examined(t, env); found["public listener"].State != healthFailed {
		t.Errorf("the operators' door for the public one: %+v", found["public listener"])
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code of serve %d", code)
	}
	if err := os.WriteFile("hookkeeper.db", []byte("no database at all, but long enough to be read as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _ := examined(t, sound()); found["database"].State != healthFailed {
		t.Errorf("a file that is no database: %+v", found["database"])
	}
}

func TestDoctorJudgesTheDisk(t *testing.T) {
	for free, want := range map[uint64]health{
		0: healthFailed, diskFull - 1: healthFailed, diskFull: healthWarning, diskTight - 1: healthWarning, diskTight: healthOK,
	} {
		if got, _ := diskHealth(free); got != want {
			t.Errorf("%d bytes free: %s, want %s", free, got, want)
		}
	}
}
