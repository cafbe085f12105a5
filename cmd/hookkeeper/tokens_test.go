package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// made adds a token and returns it.
func made(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	got := call(t, env, append([]string{"tokens", "add", "--json"}, args...)...)
	var line struct{ Token string }
	if err := json.Unmarshal([]byte(got.stdout), &line); got.code != 0 || err != nil || !strings.HasPrefix(line.Token, "hkt_") {
		t.Fatalf("tokens add %v: exit code %d, %v: %s%s", args, got.code, err, got.stdout, got.stderr)
	}
	return line.Token
}

func TestTokensOpenTheirRolesAndCanBeRevoked(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123"}
	boss := made(t, env, "boss", "--role", "admin", "--database", "sqlite:hookkeeper.db")
	s := serve(t, env)
	if strings.Contains(s.log.String(), "no operator token") {
		t.Errorf("a token is kept, and the log says there is none:\n%s", s.log)
	}
	at := []string{"--operator", s.operator, "--token"}
	viewer := made(t, env, append([]string{"grafana", "--role", "viewer"}, append(at, boss)...)...)
	as := func(token string, words ...string) said { return call(t, env, append(words, append(at, token)...)...) }
	if got := as(viewer, "events", "list"); got.code != 0 {
		t.Errorf("a viewer lists: %s", got.stderr)
	}
	for _, words := range [][]string{
		{"replay", "ev_1", "--reason", "try"}, {"tokens", "list"}, {"tokens", "add", "x", "--role", "admin"}, {"tokens", "revoke", "boss"},
	} {
		if got := as(viewer, words...); got.code != exitFailed || !strings.Contains(got.stderr, "token grafana has the role viewer, this needs") ||
			got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v as a viewer: exit code %d, %s%s", words, got.code, got.stdout, got.stderr)
		}
	}
	if got := call(t, env, "tokens", "add", "x", "--role", "admin", "--database", "sqlite:hookkeeper.db"); got.code != exitFailed ||
		!strings.Contains(got.stderr, "use --operator") {
		t.Errorf("a change beside a running server: %s%s", got.stdout, got.stderr)
	}
	if got := call(t, env, "tokens", "list", "--database", "sqlite:hookkeeper.db"); !strings.Contains(got.stdout, "grafana") {
		t.Errorf("a look beside a running server: %s%s", got.stdout, got.stderr)
	}
	if got := as(boss, "tokens", "revoke", "grafana"); got.stdout != "revoked grafana\n" {
		t.Errorf("revoke: %s%s", got.stdout, got.stderr)
	}
	if got := as(viewer, "events", "list"); got.code != exitFailed || !strings.Contains(got.stderr, "missing or wrong") {
		t.Errorf("after its revocation: %s%s", got.stdout, got.stderr)
	}
	if all := as(boss, "tokens", "list", "--json").stdout + s.log.String(); strings.Contains(all, viewer) || strings.Contains(all, boss) {
		t.Errorf("a token is shown: %s", all)
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123", "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env)
	for range 10 {
		if got := status(t, "GET", s.operator+"/api/v1/counts", "guess"); got != 401 {
			t.Fatalf("a wrong token: %d", got)
		}
	}
	got := call(t, env, "events", "list", "--operator", s.operator)
	if got.code != exitFailed || !strings.Contains(got.stderr, "too many wrong operator tokens: try again in ") {
		t.Errorf("after ten of them: exit code %d, %s%s", got.code, got.stdout, got.stderr)
	}
	s.log.wait(t, "too many wrong ones", "address=127.0.0.1")
}

// TestReplayStopsBetweenTwoEvents: what was said to be replayed is, what was not
// is not, and the summary says where to go on.
func TestReplayStopsBetweenTwoEvents(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env, "--config", file(t, "c.yaml", "handlers: {log: {events: ['*:*']}}"))
	if got := call(t, env, "send", "stripe", "invoice.paid", "--to", s.public, "--count", "5"); got.code != 0 {
		t.Fatalf("send: %s%s", got.stdout, got.stderr)
	}
	list := func(args ...string) int {
		return strings.Count(call(t, env, append([]string{"events", "list", "--operator", s.operator, "--json"}, args...)...).stdout, "\n")
	}
	within(t, func() bool { return list("--state", "done") == 5 })
	out, stderr := newWatched(), newWatched()
	ended, interrupt := background(t, env, out, stderr, "replay", "--source", "stripe", "--yes", "--rate", "2", "--reason", "try",
		"--operator", s.operator, "--json")
	out.wait(t, `"event":"`, "\n")
	begun := time.Now()
	interrupt()
	if code := <-ended; code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the interrupt took %s", took)
	}
	said := stderr.String()
	_, since, ok := strings.Cut(strings.TrimSpace(said), "go on with --since ")
	replayed := strings.Count(out.String(), "\n")
	if !ok || replayed >= 5 || !strings.Contains(said, " of 5, ") || !strings.Contains(said, "interrupted before ev_") {
		t.Fatalf("%d replayed, the summary is %q", replayed, said)
	}
	if got := list("--since", since); got != 5-replayed {
		t.Errorf("--since %s selects %d events, want the other %d", since, got, 5-replayed)
	}
	all := call(t, env, "events", "list", "--operator", s.operator, "--json").stdout
	if got := strings.Count(all, `"generation":2`); got != replayed {
		t.Errorf("%d events have a second generation, %d were said to be replayed", got, replayed)
	}
}
