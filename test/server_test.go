//go:build hktest

package test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// options of a server; zero values are what most tests need.
type options struct {
	release  bool
	database string            // path; default: a fresh one
	env      map[string]string // over the usual one; an empty value unsets
	url      string            // of a PostgreSQL database, in place of the path
	flags    []string          // further ones
	work     string            // the configuration's work section; default: fast retries
	level    string            // of the log; default: debug
	listen   [2]string         // addresses, public and operators'; default: free ports
	sockets  []*os.File        // listening already, public and operators': handed over
	through  []string          // a command that becomes the server
	stderr   *os.File          // in place of the journal
}

// fast lets a test see several attempts within a second.
const fast = `{backoff: {base: 20ms, max: 200ms}, lease: 10s, limit: 30s}`

const configuration = `
sources:
  shop: {sender: stripe, secrets: ["env:SHOP_SECRET"], live: true}
  partner: {sender: standard-webhooks, secrets: ["env:PARTNER_SECRET"]}
  legacy: {sender: hmac, secrets: ["env:LEGACY_SECRET"], hmac: {header: X-Signature, prefix: "sha256=", key: "json:id", type: "json:event"}}
  narrow: {sender: hmac, limit: 64KiB, secrets: ["env:LEGACY_SECRET"], hmac: {header: X-Signature, prefix: "sha256="}}
work: `

// server is a hookkeeper serve under test.
type server struct {
	binary           string
	path             string // of the database
	env              []string
	public, operator string
	client           *http.Client
	log              *journal
	cmd              *exec.Cmd
	killed           bool
	ended            chan struct{}
	err              error // of the process; after ended
}

// start starts a server and waits until it is ready. At the end of the test it
// is stopped; it must then end by itself, well, and with a clean log.
func start(t *testing.T, o options) *server {
	t.Helper()
	s := launch(t, o)
	t.Cleanup(func() { s.stop(t) })
	s.awaitReady(t)
	return s
}

// launch starts a server and waits for nothing and judges nothing.
func launch(t *testing.T, o options) *server {
	t.Helper()
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{binary: b.hooks, path: o.database, client: newClient(), log: &journal{}, ended: make(chan struct{})}
	if o.release {
		s.binary = b.release
	}
	dir := t.TempDir()
	if s.path == "" {
		s.path = filepath.Join(dir, "hk.db")
	}
	if o.work == "" {
		o.work = fast
	}
	config := filepath.Join(dir, "hookkeeper.yaml")
	if err := os.WriteFile(config, []byte(configuration+o.work+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = environment(o.env)
	if n := len(o.sockets); n > 0 {
		s.env = append(s.env, "LISTEN_FDS="+strconv.Itoa(n))
	}
	args := append(slices.Clone(o.through), s.binary, "serve", "--config", config, "--database", cmp.Or(o.url, "sqlite:"+s.path),
		"--listen", cmp.Or(o.listen[0], "127.0.0.1:0"), "--operator-listen", cmp.Or(o.listen[1], "127.0.0.1:0"),
		"--log-format", "json", "--log-level", cmp.Or(o.level, "debug"))
	args = append(args, o.flags...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env, s.cmd.Stderr, s.cmd.Dir, s.cmd.ExtraFiles = s.env, s.log, dir, o.sockets
	if o.stderr != nil {
		s.cmd.Stdout, s.cmd.Stderr = o.stderr, o.stderr
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() { // only ever kills what a failing test has left
		_ = s.cmd.Process.Kill()
		<-s.ended
		s.client.CloseIdleConnections()
	})
	return s
}

// environment gives the process nothing of ours but what every program needs.
func environment(over map[string]string) []string {
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "TMPDIR": os.Getenv("TMPDIR"),
		"STRIPE_WEBHOOK_SECRET": stripeSecret, "GITHUB_WEBHOOK_SECRET": githubSecret,
		"TOSS_SECRET_KEY": tossAPIKey, "TOSS_SECURITY_KEY": tossSecurity,
		"SHOP_SECRET": shopSecret, "PARTNER_SECRET": partnerSecret, "LEGACY_SECRET": legacySecret,
		"HOOKKEEPER_OPERATOR_TOKEN": operatorToken,
	}
	for name, value := range over {
		env[name] = value
	}
	var list []string
	for name, value := range env {
		if value != "" {
			list = append(list, name+"="+value)
		}
	}
	return list
}

// awaitListening waits for the line that names both addresses.
func (s *server) awaitListening(t *testing.T) {
	t.Helper()
	eventually(t, 10*time.Second, "the server says where it listens", func() bool {
		s.mustLive(t)
		for line := range strings.Lines(s.log.String()) {
			var l struct{ Msg, Public, Operator string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				s.public, s.operator = l.Public, l.Operator
				return true
			}
		}
		return false
	})
}

func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	s.awaitListening(t)
	eventually(t, 10*time.Second, "the server is ready", func() bool {
		s.mustLive(t)
		code, _ := s.get("http://" + s.public + "/readyz")
		return code == http.StatusOK
	})
}

func (s *server) mustLive(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
		t.Fatalf("the server ended by itself: %v\n%s", s.err, s.log.tail())
	default:
	}
}

// stop ends the server as a service manager does, returns how long that took,
// and judges how it went. A second stop does nothing.
func (s *server) stop(t *testing.T) time.Duration {
	t.Helper()
	select {
	case <-s.ended:
		if !s.killed && s.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("the server ended by itself: %v\n%s", s.err, s.log.tail())
		}
		return 0
	default:
	}
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Errorf("10 s after SIGTERM the server still runs\n%s", s.log.tail())
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	took := time.Since(began)
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("after SIGTERM the exit code is %d\n%s", code, s.log.tail())
	}
	s.log.judge(t)
	return took
}

// kill ends the server as a power cut does, but for the page cache.
func (s *server) kill(t *testing.T) {
	t.Helper()
	s.killed = true
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

// eventually asks again and again until the answer is yes.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		<-tick.C
	}
}

// journal keeps what the server writes to stderr.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) tail() string {
	text := j.String()
	return text[max(0, len(text)-3000):]
}

var (
	aSignature = regexp.MustCompile(`(v1=|sha256=)[0-9a-f]{64}|v1[,:][0-9A-Za-z+/]{43}=`)
	aTrouble   = regexp.MustCompile(`panic: |fatal error: |DATA RACE|the ledger does not balance`)
	aControl   = regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]|\x{009b}|\x{202e}`)
)

// judge refuses a log that holds a secret, a signature, a body, anything that
// steers a terminal, or the trace of a crash.
func (j *journal) judge(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(j.String()) {
		for _, secret := range secrets() {
			if strings.Contains(line, secret) || strings.Contains(line, strings.TrimPrefix(secret, "whsec_")) {
				t.Errorf("a line of the log holds a secret: %.400s", line)
			}
		}
		if strings.Contains(line, unknownToThem) {
			t.Errorf("a line of the log holds words of a body: %.400s", line)
		}
		for _, bad := range []*regexp.Regexp{aSignature, aTrouble, aControl} {
			if found := bad.FindString(line); found != "" {
				t.Errorf("a line of the log holds %q: %.400s", found, line)
			}
		}
	}
}

func (s *server) get(address string) (code int, text []byte) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, text
}

// metric reads one series, labels included, as it stands in the text.
func (s *server) metric(t *testing.T, series string) float64 {
	t.Helper()
	code, text := s.get("http://" + s.operator + "/metrics")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatalf("metric %s: %v", line, err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s (status %d)", series, code)
	return 0
}

// event is an event as the operators' interface shows it.
type event struct {
	ID, Source, Mode, Trust, Key, Type, Subject, SHA256, State string
	Size, Deliveries, Conflicts                                int64
	Quarantine                                                 *string
	ReceivedAt                                                 time.Time `json:"received_at"`
	Jobs                                                       []struct {
		Handler, State      string
		Generation, Attempt int
		NextAt              *time.Time `json:"next_at"`
		LastError           *string    `json:"last_error"`
	}
}

func (e *event) quarantine() string {
	if e.Quarantine == nil {
		return ""
	}
	return *e.Quarantine
}

// events lists what is recorded; filter are pairs of name and value.
func (s *server) events(t *testing.T, filter ...string) []event {
	t.Helper()
	query := url.Values{"limit": {"1000"}}
	for i := 0; i < len(filter); i += 2 {
		query.Set(filter[i], filter[i+1])
	}
	var all []event
	for {
		code, text := s.get("http://" + s.operator + "/api/v1/events?" + query.Encode())
		var page struct {
			Events []event
			Next   string
		}
		if err := json.Unmarshal(text, &page); err != nil || code != http.StatusOK {
			t.Fatalf("list events: %d %s %v", code, text, err)
		}
		if all = append(all, page.Events...); page.Next == "" {
			return all
		}
		query.Set("cursor", page.Next)
	}
}

// event shows one, which must be there.
func (s *server) event(t *testing.T, id string) event {
	t.Helper()
	var e event
	code, text := s.get("http://" + s.operator + "/api/v1/events/" + id)
	if err := json.Unmarshal(text, &e); err != nil || code != http.StatusOK {
		t.Fatalf("show event %q: %d %s %v", id, code, text, err)
	}
	return e
}

// reaches waits until the event is in that state.
func (s *server) reaches(t *testing.T, id, state string) event {
	t.Helper()
	var e event
	deadline := time.Now().Add(20 * time.Second)
	eventually(t, 25*time.Second, "event "+id+" is "+state, func() bool {
		e = s.event(t, id)
		if e.State != state && time.Now().After(deadline) {
			t.Fatalf("event %s is %s, not %s: %+v\n%s", id, e.State, state, e, s.log.tail())
		}
		return e.State == state
	})
	return e
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// command runs another hookkeeper command to its end.
func (s *server) command(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = environment(nil), &stdout, &stderr, filepath.Dir(s.path)
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%v: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// read runs a reading command on the database file, beside the server.
func (s *server) read(t *testing.T, args ...string) string {
	t.Helper()
	r := s.command(t, append(args, "--database", "sqlite:"+s.path)...)
	if r.code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// raw gives the bytes that are kept of an event.
func (s *server) raw(t *testing.T, id string) []byte {
	t.Helper()
	return []byte(s.read(t, "events", "show", id, "--raw"))
}

// effect is a row that the test handler wrote.
type effect struct {
	Source, Mode, Key, Handler string
	Generation, Attempt        int
	At                         int64
}

func (s *server) effects(t *testing.T) []effect {
	t.Helper()
	return lines[effect](t, s.read(t, "events", "export", "--effects"))
}

// effectsOf counts the effects of a key at a source.
func (s *server) effectsOf(t *testing.T, source, key string) int {
	t.Helper()
	n := 0
	for _, e := range s.effects(t) {
		if e.Source == source && e.Key == key {
			n++
		}
	}
	return n
}

// step is a line of the history.
type step struct {
	Kind, Source, Mode, Key, Handler, From, To, Cause string
	SHA256                                            string
	Recomputed                                        string `json:"sha256_recomputed"`
	State                                             string
	Generation, Attempt                               int
	At                                                time.Time
}

func (s *server) history(t *testing.T) []step {
	t.Helper()
	return lines[step](t, s.read(t, "events", "export", "--history"))
}

func lines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		var one T
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}
