package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is an output that tells when a text has appeared in it.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newWatched() *watched { return &watched{more: make(chan struct{}, 1)} }

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
	return w.text.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// wait returns what stands between before and after once it is there.
func (w *watched) wait(t *testing.T, before, after string) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if _, rest, ok := strings.Cut(w.String(), before); ok {
			if found, _, ok := strings.Cut(rest, after); ok {
				return found
			}
		}
		select {
		case <-w.more:
		case <-deadline:
			t.Fatalf("%q never appeared in:\n%s", before, w)
		}
	}
}

// serving is a serve that runs until stop is called.
type serving struct {
	log              *watched
	public, operator string
	stop             func() (code int)
}

func serve(t *testing.T, env map[string]string, args ...string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &serving{log: newWatched()}
	code := make(chan int, 1)
	begun := time.Now()
	go func() {
		code <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"}, args...),
			func(name string) (string, bool) { v, ok := env[name]; return v, ok }, strings.NewReader(""), io.Discard, s.log)
	}()
	s.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { s.stop() })
	s.public = "http://" + s.log.wait(t, "msg=serving public=", " ")
	s.operator = "http://" + s.log.wait(t, " operator=", " ")
	if took := time.Since(begun); took > time.Second && !isPostgres(env["HOOKKEEPER_DATABASE"]) {
		t.Errorf("start took %s, want well under a second", took)
	}
	return s
}

func status(t *testing.T, method, url, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestServeReceivesWorksAndStops(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "HOOKKEEPER_OPERATOR_TOKEN": "token-0123456789abcdef"}
	s := serve(t, env, "--config", file(t, "c.yaml", "handlers: {log: {events: ['stripe:invoice.*']}}"), "--log-format", "text")
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := status(t, "GET", s.public+path, ""); got != 200 {
			t.Errorf("%s answers %d", path, got)
		}
	}
	// Neither door shows what belongs behind the other.
	if got := status(t, "GET", s.public+"/api/v1/counts", env["HOOKKEEPER_OPERATOR_TOKEN"]); got != 404 {
		t.Errorf("the public door answers the API with %d", got)
	}
	if got := status(t, "POST", s.operator+"/hooks/stripe", ""); got != 404 {
		t.Errorf("the operators' door answers a delivery with %d", got)
	}
	if got := status(t, "GET", s.operator+"/api/v1/counts", ""); got != 401 {
		t.Errorf("the API answers a stranger with %d", got)
	}
	for _, eventType := range []string{"invoice.paid", "charge.succeeded"} {
		if got := call(t, env, "send", "stripe", eventType, "--to", s.public); got.code != 0 {
			t.Errorf("send: %s%s", got.stdout, got.stderr)
		}
	}
	s.log.wait(t, "msg=event source=stripe type=invoice.paid id=ev_", " ")
	list := call(t, env, "events", "list", "--operator", s.operator, "--json", "--state", "no_handler")
	if !strings.Contains(list.stdout, "charge.succeeded") || strings.Count(list.stdout, "\n") != 1 {
		t.Errorf("without a handler are %q, %s", list.stdout, list.stderr)
	}
	begun := time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the stop took %s, want at most 3 s", took)
	}
	s.log.wait(t, "msg=stopped handled=5 answered=5", "\n")
	again := serve(t, env)
	if code := again.stop(); code != 0 {
		t.Errorf("after a stop the file cannot be taken again: %s", again.log)
	}
}

func TestLogIsOneJSONLineAnEvent(t *testing.T) {
	var b bytes.Buffer
	log, err := newLogger(&b, &config{LogFormat: "json", LogLevel: "info"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info(steering, "key", steering)
	if bad := steers(b.String()); bad != "" || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q holds %q", b.String(), bad)
	}
	b.Reset()
	log, err = newLogger(&b, &config{LogFormat: "text", LogLevel: "info"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info(steering, "key", steering)
	if bad := steers(b.String()); bad != "" || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q holds %q", b.String(), bad)
	}
}

func TestPortInUseIsOneLine(t *testing.T) {
	t.Chdir(t.TempDir())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	got := call(t, map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123"},
		"serve", "--listen", taken.Addr().String(), "--operator-listen", "127.0.0.1:0")
	refused(t, got, []string{"public listener", taken.Addr().String(), "in use"}, "")
	if strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("more than one line: %q", got.stderr)
	}
}

func TestLimitedListenerFreesEachSlotOnce(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 1)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, two := dial(), dial()
	defer one.Close()
	defer two.Close()
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("two connections at a limit of one")
	case <-time.After(50 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // a second close must free nothing
	second := <-accepted
	select {
	case <-accepted:
		t.Fatal("a double close freed two slots")
	case <-time.After(50 * time.Millisecond):
	}
	// Close wakes an Accept that waits for a slot.
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	_ = second.Close()
}

// TestInheritedSocketsAreServed starts the program with its listeners open
// already, the way a service manager does, in the order that the names say.
func TestInheritedSocketsAreServed(t *testing.T) {
	if os.Getenv("HOOKKEEPER_TEST_CHILD") == "1" {
		fmt.Println(run(t.Context(), []string{"serve"}, os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
		return
	}
	public, operator := inherit(t), inherit(t)
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInheritedSocketsAreServed$")
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "HOOKKEEPER_TEST_CHILD=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=operator:public",
		"GITHUB_WEBHOOK_SECRET=0123456789abcdef0123", "HOOKKEEPER_OPERATOR_TOKEN=token-0123456789abcdef")
	log := newWatched()
	command.Stderr, command.Stdout = log, log
	command.ExtraFiles = []*os.File{operator.file, public.file}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill() // the error of a killed child says nothing
		_ = command.Wait()
	}()
	log.wait(t, "msg=serving public="+public.address, " ")
	if got := status(t, "GET", "http://"+public.address+"/healthz", ""); got != 200 {
		t.Errorf("/healthz at the public socket answers %d", got)
	}
	if got := status(t, "GET", "http://"+operator.address+"/api/v1/counts", ""); got != 401 {
		t.Errorf("the API at the operators' socket answers %d", got)
	}
}

type socket struct {
	file    *os.File
	address string
}

func inherit(t *testing.T) socket {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return socket{f, l.Addr().String()}
}

// within waits until something is so.
func within(t *testing.T, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for ; !so(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}

// background runs a command until it ends or is interrupted.
func background(t *testing.T, env map[string]string, stdout, stderr io.Writer, args ...string) (ended <-chan int, interrupt func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, func(name string) (string, bool) { v, ok := env[name]; return v, ok },
			strings.NewReader(""), stdout, stderr)
	}()
	return code, cancel
}
