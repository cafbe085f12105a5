package crosscheck_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Secrets of the sources. Each other* has the same form and is known to nobody.
const (
	stripeSecret    = "whsec_crosscheck0stripe0secret0new0"
	stripeOldSecret = "whsec_crosscheck0stripe0secret0old0"
	stripeOther     = "whsec_crosscheck0stripe0secret0none"
	githubSecret    = "crosscheck-github-secret"
	githubOther     = "crosscheck-github-secreT"
	partnerSecret   = "whsec_Y3Jvc3NjaGVjay1wYXJ0bmVyLXNlY3JldC0wMDE="
	partnerOther    = "whsec_Y3Jvc3NjaGVjay1wYXJ0bmVyLXNlY3JldC0wMDI="
	operatorToken   = "crosscheck-operator-token"
)

// configuration has the one source that the environment alone cannot make.
const configuration = `sources:
  partner: {sender: standard-webhooks, secrets: [env:PARTNER_SECRET]}
`

// build makes the binary that is released: no tags, no cgo.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hookkeeper")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/hookkeeper")
	command.Dir = filepath.Join("..", "..")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build hookkeeper: %v\n%s", err, out)
	}
	return binary
}

// receiver is a running `hookkeeper serve`.
type receiver struct {
	public, operator string
	client           *http.Client
}

// serve starts the binary on an empty database, with further variables in its
// environment, and stops it after the test.
func serve(t *testing.T, binary string, more ...string) *receiver {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "hookkeeper.yaml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, binary, "serve", "--config", "hookkeeper.yaml", "--database", "sqlite:events.db",
		"--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0", "--log-format", "json")
	command.Dir = folder
	command.Env = append([]string{
		"STRIPE_WEBHOOK_SECRET=" + stripeSecret + "," + stripeOldSecret,
		"GITHUB_WEBHOOK_SECRET=" + githubSecret, "PARTNER_SECRET=" + partnerSecret,
		"HOOKKEEPER_OPERATOR_TOKEN=" + operatorToken,
	}, more...)
	log := &logReader{serving: make(chan [2]string, 1), ended: make(chan struct{})}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go log.read(stderr)
	t.Cleanup(func() {
		defer cancel()
		kill := time.AfterFunc(patience, cancel)
		defer kill.Stop()
		_ = command.Process.Signal(os.Interrupt) // Wait tells how it ended
		<-log.ended
		if err := command.Wait(); err != nil {
			t.Errorf("hookkeeper serve: %v", err)
		}
		if t.Failed() {
			t.Logf("the log of hookkeeper serve:\n%s", log.text())
		}
	})
	select {
	case doors := <-log.serving:
		return &receiver{
			public: "http://" + doors[0], operator: "http://" + doors[1], client: &http.Client{Timeout: patience},
		}
	case <-log.ended:
		t.Fatalf("hookkeeper serve ended at once:\n%s", log.text())
	case <-time.After(patience):
		t.Fatalf("hookkeeper serve does not begin to serve:\n%s", log.text())
	}
	return nil
}

// logReader reads the log of serve to its end.
type logReader struct {
	serving chan [2]string // public and operator address, once
	ended   chan struct{}

	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logReader) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *logReader) read(r io.Reader) {
	defer close(l.ended)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		l.mu.Lock()
		l.all.Write(append(lines.Bytes(), '\n'))
		l.mu.Unlock()
		var said struct{ Msg, Public, Operator string }
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "serving" {
			l.serving <- [2]string{said.Public, said.Operator}
		}
	}
}

// answer is what the public listener says to a delivery.
type answer struct {
	code                  int
	Status, Event, Reason string
}

// deliver posts one delivery as a sender would.
func (r *receiver) deliver(t *testing.T, source string, header http.Header, body []byte) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.public+"/hooks/"+source, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said := answer{code: resp.StatusCode}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("the answer is %q, want application/json", kind)
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		t.Errorf("the answer is no JSON: %v", err)
	}
	return said
}

// event is a row of the event log as the operator API shows it.
type event struct {
	ID, Source, Trust, Key, Type, SHA256, State string
	Size, Deliveries, Conflicts                 int64
	Quarantine                                  string // null reads as empty
}

// look reads from the operator API.
func (r *receiver) look(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.operator+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s answers %d: %s", path, resp.StatusCode, data)
	}
	return data
}

// list reads all rows that a filter lets through; they must fit on one page.
func (r *receiver) list(t *testing.T, filter url.Values) []event {
	t.Helper()
	filter.Set("limit", "1000")
	data := r.look(t, "/api/v1/events?"+filter.Encode())
	var page struct {
		Events []event
		Next   string
	}
	if err := json.Unmarshal(data, &page); err != nil {
		t.Fatalf("event list: %v", err)
	}
	if page.Events == nil || page.Next != "" {
		t.Fatalf("event list is not one whole page: %s", data)
	}
	return page.Events
}

// rows are the rows of a key; everything is the whole event log.
func (r *receiver) rows(t *testing.T, source, key string) []event {
	t.Helper()
	return r.list(t, url.Values{"source": {source}, "key": {key}})
}

func (r *receiver) everything(t *testing.T) []event {
	t.Helper()
	return r.list(t, url.Values{})
}

// send runs `hookkeeper send` in an empty folder and environment.
func send(t *testing.T, binary string, args ...string) (stdout string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, append([]string{"send"}, args...)...)
	command.Dir = t.TempDir()
	command.Env = []string{}
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	return out.String() + errs.String(), err
}
