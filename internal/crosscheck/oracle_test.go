package crosscheck_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is far more than any single step takes, and ends a test that hangs.
const patience = 20 * time.Second

const prepare = "install the Debian packages nodejs and npm, then run " +
	"`npm ci --ignore-scripts --no-audit --no-fund` in internal/crosscheck/node (scripts/oracles does both)"

// order is what an SDK is asked to sign.
type order struct {
	secret, id string
	scheme     string // Stripe's; empty means v1
	body       []byte
	at         time.Time
}

// question is one line to oracle.mjs.
type question struct {
	Op      string            `json:"op"`
	Sender  string            `json:"sender"`
	Secret  string            `json:"secret"`
	Body    []byte            `json:"body_base64"`
	Headers map[string]string `json:"headers,omitempty"`
	ID      string            `json:"id,omitempty"`
	At      int64             `json:"at,omitempty"`
	Scheme  string            `json:"scheme,omitempty"`
}

// verdict is one line back.
type verdict struct {
	Headers  map[string]string `json:"headers"`
	Accepted *bool             `json:"accepted"`
	Why      string            `json:"why"`
	Error    string            `json:"error"`
}

// oracle is the one Node.js process of a test run.
type oracle struct {
	in    io.Writer
	lines <-chan []byte // closed when the process has ended

	mu     sync.Mutex // one question at a time
	silent bool       // it left a question unanswered: what it says now is late
}

var errSilent = errors.New("oracle.mjs does not answer")

// newOracle starts oracle.mjs, after a look whether what it stands on is there
// in the versions that package.json names.
func newOracle(t *testing.T) *oracle {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatalf("node is missing: %s", prepare)
	}
	checkPackages(t)
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "node", "oracle.mjs")
	command.Dir = "node"
	var stderr bytes.Buffer
	command.Stderr = &stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	t.Cleanup(func() {
		defer cancel()
		stop := time.AfterFunc(patience, cancel)
		defer stop.Stop()
		_ = in.Close() // ends the process; Wait says if it did not end well
		for range lines {
		}
		if err := command.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("oracle.mjs ended with %v: %s", err, stderr.String())
		}
	})
	return &oracle{in: in, lines: lines}
}

// checkPackages wants each dependency of package.json installed in its exact
// version.
func checkPackages(t *testing.T) {
	t.Helper()
	var wanted struct{ Dependencies map[string]string }
	readJSON(t, filepath.Join("node", "package.json"), &wanted)
	if len(wanted.Dependencies) != 3 {
		t.Fatalf("package.json names %d SDKs, want 3", len(wanted.Dependencies))
	}
	for name, version := range wanted.Dependencies {
		path := filepath.Join("node", "node_modules", filepath.FromSlash(name), "package.json")
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			t.Fatalf("npm package %s is missing: %s", name, prepare)
		}
		var have struct{ Version string }
		if readJSON(t, path, &have); have.Version != version {
			t.Fatalf("npm package %s is %s, want %s: %s", name, have.Version, version, prepare)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// ask puts one question. It may be called by several goroutines.
func (o *oracle) ask(q question) (verdict, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return verdict{}, errSilent
	}
	line, err := json.Marshal(q)
	if err != nil {
		return verdict{}, err
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		return verdict{}, fmt.Errorf("ask oracle.mjs: %w", err)
	}
	select {
	case line, ok := <-o.lines:
		if !ok {
			return verdict{}, errors.New("oracle.mjs has ended")
		}
		var v verdict
		if err := json.Unmarshal(line, &v); err != nil {
			return verdict{}, fmt.Errorf("answer of oracle.mjs: %w", err)
		}
		if v.Error != "" {
			return verdict{}, fmt.Errorf("oracle.mjs: %s", v.Error)
		}
		return v, nil
	case <-time.After(patience):
		o.silent = true
		return verdict{}, errSilent
	}
}

// sign has an SDK sign in that process.
func (o *oracle) sign(sender string, w order) (http.Header, error) {
	v, err := o.ask(question{
		Op: "sign", Sender: sender, Secret: w.secret, Body: w.body, ID: w.id, At: w.at.Unix(), Scheme: w.scheme,
	})
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, value := range v.Headers {
		header.Set(name, value)
	}
	if len(header) == 0 {
		return nil, errors.New("oracle.mjs signed nothing")
	}
	return header, nil
}

// accepts has an SDK judge in that process.
func (o *oracle) accepts(sender, secret string, header http.Header, body []byte) (bool, error) {
	q := question{Op: "verify", Sender: sender, Secret: secret, Body: body, Headers: map[string]string{}}
	for name, values := range header {
		q.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	v, err := o.ask(q)
	if err != nil {
		return false, err
	}
	if v.Accepted == nil {
		return false, errors.New("oracle.mjs gave no verdict")
	}
	return *v.Accepted, nil
}
