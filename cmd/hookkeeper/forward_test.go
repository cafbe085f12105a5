package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

// program is an application on localhost that verifies what it gets.
type program struct {
	url  string
	more chan struct{}

	mu     sync.Mutex
	bodies []string
	bad    []string
	down   bool
}

func newProgram(t *testing.T, secret string) *program {
	t.Helper()
	p := &program{more: make(chan struct{}, 1000)}
	app := source.Stripe("app", secret)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if err == nil {
			err = app.Verify(r.Header, body, time.Now())
		}
		if err != nil {
			p.bad = append(p.bad, err.Error())
		}
		p.bodies = append(p.bodies, string(body))
		p.more <- struct{}{}
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL + "/api/webhooks/stripe"
	return p
}

func (p *program) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// got gives what has come so far.
func (p *program) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bodies)
}

func (p *program) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for range n {
		select {
		case <-p.more:
		case <-deadline:
			t.Fatalf("only %d events came", len(p.got()))
		}
	}
}

// forwarding is a forward that runs until stop is called.
func forwarding(t *testing.T, env map[string]string, args ...string) (out *watched, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = newWatched()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"forward"}, args...),
			func(name string) (string, bool) { v, ok := env[name]; return v, ok }, strings.NewReader(""), out, out)
	}()
	stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { stop() })
	return out, stop
}

const (
	realSecret  = "whsec_0123456789abcdef0123"
	localSecret = "whsec_local_9876543210abcdef"
)

// TestForwardCatchesUp: what came while forward was stopped, while the program
// was down and while hookkeeper was restarted arrives afterwards, byte-exact,
// once each, in order.
func TestForwardCatchesUp(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": realSecret, "GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123", "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env)
	p := newProgram(t, localSecret)
	forwardArgs := []string{"--to", p.url, "--operator", s.operator, "--secret", localSecret}
	var want []string
	send := func(n int) {
		t.Helper()
		for range n {
			i := len(want)
			body := fmt.Sprintf("{\"id\":\"evt_%d\",\"object\":\"event\", \"type\":\"invoice.paid\",\n\"data\":{\"object\":{\"object\":\"invoice\",\"n\":%d}}}\n", i, i)
			path := file(t, "body.json", body)
			if got := call(t, env, "send", "stripe", "invoice.paid", "--data", path, "--to", s.public); got.code != 0 {
				t.Fatalf("send: %s%s", got.stdout, got.stderr)
			}
			want = append(want, body)
		}
	}
	if got := call(t, env, "send", "stripe", "charge.succeeded", "--to", s.public); got.code != 0 {
		t.Fatal(got.stderr) // before the cursor: never forwarded
	}
	out, stop := forwarding(t, env, forwardArgs...)
	out.wait(t, "cursor ", "\n")
	out.wait(t, "forwarding events of stripe to ", "\n")
	awaitCursor(t, env, s.operator, p.url)
	send(3)
	p.await(t, 3)
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after a stop: %s", code, out)
	}
	send(15) // nobody forwards
	if got := call(t, env, "send", "github", "push", "--to", s.public); got.code != 0 {
		t.Fatal(got.stderr) // of another source than the URL ends in
	}
	p.setDown(true)
	out, stop = forwarding(t, env, forwardArgs...)
	out.wait(t, "502  retrying", "again in")
	p.setDown(false)
	p.await(t, 15)

	operator := strings.TrimPrefix(s.operator, "http://")
	s.stop()
	out.wait(t, "no hookkeeper answers", "until it answers")
	s = serve(t, env, "--operator-listen", operator)
	send(4)
	p.await(t, 4)
	out.wait(t, "hookkeeper answers again", "\n")
	out.wait(t, "200  forwarded", "\n")
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after a stop: %s", code, out)
	}
	// Nothing is left, and nothing comes twice.
	if got := call(t, env, append([]string{"forward", "--once", "--json"}, forwardArgs...)...); got.code != 0 || got.stdout != "" {
		t.Errorf("something was left: %d %s%s", got.code, got.stdout, got.stderr)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.bodies, want) {
		t.Errorf("got %d bodies %q, want %d", len(p.bodies), p.bodies, len(want))
	}
	if len(p.bad) > 0 {
		t.Errorf("not verified: %q", p.bad)
	}
	if strings.Contains(out.String(), localSecret) {
		t.Error("a secret that was given is printed")
	}
}

// awaitCursor returns when forward has made its cursor, so that what is sent
// afterwards is after it.
func awaitCursor(t *testing.T, env map[string]string, operator, to string) {
	t.Helper()
	name := (&forwardCmd{To: to, Source: "stripe"}).feedName()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		// An unknown cursor is 404, also for an event that does not exist; only a
		// known one names the event.
		list := call(t, env, "events", "list", "--operator", operator, "--json", "--limit", "1")
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(list.stdout), &e); err != nil {
			t.Fatalf("%v: %s", err, list.stdout)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", operator+"/api/v1/feeds/"+name+"/advance", strings.NewReader(`{"through":"`+e.ID+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+env["HOOKKEEPER_OPERATOR_TOKEN"])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no cursor %s", name)
		}
	}
}

func TestForwardMakesAndKeepsASecret(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": realSecret, "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env)
	var lines []string
	for range 2 {
		got := call(t, env, "forward", "--to", "http://localhost:1/stripe", "--operator", s.operator, "--once")
		_, after, _ := strings.Cut(got.stdout, "STRIPE_WEBHOOK_SECRET=")
		line, _, _ := strings.Cut(after, "\n")
		if got.code != 0 || !strings.HasPrefix(line, "whsec_") || line == realSecret {
			t.Fatalf("%d %s%s", got.code, got.stdout, got.stderr)
		}
		lines = append(lines, line)
	}
	if lines[0] != lines[1] {
		t.Error("each start has a secret of its own: the application's .env would go stale")
	}
	info, err := os.Stat(filepath.Join(".hookkeeper", "forward.env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// The secret does not make other commands believe in a dev folder.
	if f, err := readDevFolder(".hookkeeper"); err != nil || f.found {
		t.Errorf("found %v, %v", f.found, err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--to", "http://10.0.0.1/stripe"}, 2, "--to: 10.0.0.1 (private) must not be dialled unless allow names private"},
		{[]string{"--to", "http://169.254.169.254/", "--allow", "private"}, 2, "where a cloud keeps credentials"},
		{[]string{"--to", "file:///etc/passwd"}, 2, "--to: want an http or https URL"},
		{[]string{"--to", "http://localhost:1/", "--allow", "all"}, 2, `--allow: "all"`},
		{[]string{"--to", "http://localhost:1/", "--source", "toss"}, 1, `source "toss"`},
		{[]string{"--to", "http://localhost:1/", "--since", "noon"}, 2, "--since"},
		{[]string{"--to", "http://localhost:1/", "--sign", "loudly"}, 2, "--sign must be one of"},
		{[]string{"--to", "http://localhost:1/", "--name", "Not A Name"}, 1, "a name has 1 to 64"},
		{[]string{"--to", "http://localhost:1/", "--token", "wrong"}, 1, "token is missing or wrong"},
		{[]string{"--to", "http://localhost:1/", "--secret", "your_secret"}, 1, "placeholder"},
		{[]string{}, 2, "--to"},
	} {
		got := call(t, env, append([]string{"forward", "--operator", s.operator, "--once"}, test.args...)...)
		if got.code != test.code || !strings.Contains(got.stderr, test.says) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v: %d, %q", test.args, got.code, got.stderr)
		}
	}
}

// TestForwardSaysWhatItSkips: hints and quarantined events only on demand, and a
// program that never takes an event only stops the others if nobody said
// otherwise.
func TestForwardSaysWhatItSkips(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": realSecret, "STRIPE_SECRET_KEY": "sk_live_51Habcdefghijklmn", "TOSS_SECRET_KEY": "test_sk_0123456789abcdef",
		"HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env)
	for _, one := range [][2]string{{"stripe", "invoice.paid"}, {"toss", "PAYMENT_STATUS_CHANGED"}} { // a test event at a live source, and a hint
		if got := call(t, env, "send", one[0], one[1], "--to", s.public); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	p := newProgram(t, localSecret)
	args := []string{"forward", "--to", p.url, "--source", "*", "--operator", s.operator, "--since", "1h", "--once", "--secret", localSecret}
	got := call(t, env, args...)
	if got.code != 0 || !strings.Contains(got.stdout, "skipped") || !strings.Contains(got.stdout, "--hints") || !strings.Contains(got.stdout, "--quarantined") {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	if sent := p.got(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
	got = call(t, env, append(args, "--name", "again", "--hints", "--quarantined")...)
	if got.code != 0 || strings.Count(got.stdout, "200  forwarded") != 2 || len(p.got()) != 2 {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	p.setDown(true)
	got = call(t, env, append(args, "--name", "third", "--hints", "--attempts", "1", "--json")...)
	if got.code != 0 || !strings.Contains(got.stdout, `"outcome":"passed_over","status":502`) {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(got.stdout), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
}

func TestServeForwardsToADestination(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": realSecret, "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef", "APP": localSecret}
	p := newProgram(t, localSecret)
	s := serve(t, env, "--config", file(t, "c.yaml", `forward:
  app: {to: `+p.url+`, events: ["stripe:invoice.*"], sign: sender, secret: env:APP, allow: [loopback], timeout: 5s}`))
	for _, kind := range []string{"charge.succeeded", "invoice.paid"} {
		if got := call(t, env, "send", "stripe", kind, "--to", s.public); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	p.await(t, 1)
	p.mu.Lock()
	if len(p.bad) > 0 || len(p.bodies) != 1 || !strings.Contains(p.bodies[0], "invoice") {
		t.Errorf("got %q, not verified %q", p.bodies, p.bad)
	}
	p.mu.Unlock()
	list := call(t, env, "events", "list", "--operator", s.operator, "--json", "--state", "no_handler")
	if !strings.Contains(list.stdout, "charge.succeeded") || strings.Count(list.stdout, "\n") != 1 {
		t.Errorf("without a handler: %s", list.stdout)
	}
}

func TestForwardConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": realSecret, "TOSS_SECRET_KEY": "test_sk_0123456789abcdef", "APP": localSecret,
		"STD": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	for _, test := range []struct {
		name, file, says string
	}{
		{"unknown key", "a: {to: 'https://x.example/', events: ['stripe:*'], secret: env:APP, event: x}", `c.yaml:1: unknown key "event" in forward.a, the nearest known one is "events"`},
		{"no secret", "a: {to: 'https://x.example/', events: ['stripe:*']}", `secret: none given`},
		{"toss", "a: {to: 'https://x.example/', events: ['toss:*'], secret: env:APP}", `use sign: standard-webhooks`},
		{"all sources", "a: {to: 'https://x.example/', events: ['*:*'], secret: env:APP}", `Toss does not sign`},
		{"placeholder", "a: {to: 'https://x.example/', events: ['stripe:*'], secret: 'your_secret'}", `placeholder`},
		{"unknown source", "a: {to: 'https://x.example/', events: ['strip:*'], secret: env:APP}", `pattern "strip:*" fits no configured source`},
		{"loopback", "a: {to: 'http://127.0.0.1:3000/', events: ['stripe:*'], secret: env:APP}", `(loopback) must not be dialled unless allow names loopback`},
		{"user", "a: {to: 'https://u:hunter2@x.example/', events: ['stripe:*'], secret: env:APP}", `a user in the URL is refused`},
		{"slow", "a: {to: 'https://x.example/', events: ['stripe:*'], secret: env:APP, timeout: 2m}", `work.limit`},
		{"name", "log: {to: 'https://x.example/', events: ['stripe:*'], secret: env:APP}", `built-in handler`},
		{"useless secret", "a: {to: 'https://x.example/', events: ['stripe:*'], sign: original, secret: env:APP}", `no use`},
		{"trust", "a: {to: 'https://x.example/', events: ['stripe:*'], secret: env:APP, trust: [blind]}", `trust: "blind"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := call(t, env, "serve", "--print-config", "--config", file(t, "c.yaml", "forward: {"+test.file+"}"))
			if got.code != 1 || !strings.Contains(got.stderr, test.says) || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("%d %q", got.code, got.stderr)
			}
			for _, s := range []string{"hunter2", localSecret} {
				if strings.Contains(got.stderr, s) {
					t.Errorf("%s is shown: %s", s, got.stderr)
				}
			}
		})
	}
	good := `forward:
  a: {to: "https://x.example/hooks?token=hunter2", events: ["stripe:invoice.*,charge.*"], secret: env:APP, trust: [hint]}
  b: {to: "http://10.1.2.3/", events: ["*:*"], sign: standard-webhooks, secret: env:STD, allow: [10.1.0.0/16], timeout: 20}
  c: {to: "https://x.example/", events: ["toss:*"], sign: original}`
	got := call(t, env, "serve", "--print-config", "--config", file(t, "c.yaml", good))
	if got.code != 0 {
		t.Fatalf("%d %s", got.code, got.stderr)
	}
	for _, want := range []string{"secret: '********'", "timeout: 15s", "timeout: 20s", "sign: standard-webhooks", "10.1.0.0/16", "- hint"} {
		if !strings.Contains(strings.ReplaceAll(got.stdout, `"`, "'"), want) {
			t.Errorf("%q is not shown in:\n%s", want, got.stdout)
		}
	}
	for _, s := range []string{"hunter2", localSecret, env["STD"]} {
		if strings.Contains(got.stdout, s) {
			t.Errorf("%s is shown", s)
		}
	}
}
