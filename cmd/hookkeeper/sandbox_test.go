package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSandboxRefusesWhatIsDangerous(t *testing.T) {
	for args, says := range map[string]string{
		"--listen 0.0.0.0:0":          "--allow-remote",
		"--secret-key live_gsk_abcde": "live key",
		"--sign all":                  "needs a security key",
		"--security-key abc":          "64 hexadecimal digits",
		"--time-scale 0":              "--time-scale 0",
		"--webhook localhost:8080":    "webhook",
		"--timeout -1s":               "--timeout",
	} {
		got := call(t, nil, append([]string{"sandbox", "toss"}, strings.Fields(args)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, says) || strings.Count(got.stderr, "\n") != 1 || got.stdout != "" {
			t.Errorf("%s: exit code %d, %s%s", args, got.code, got.stdout, got.stderr)
		}
		if strings.Contains(got.stderr, "abcde") {
			t.Errorf("%s: the key is shown: %s", args, got.stderr)
		}
	}
}

// TestSandboxServesUntilItIsStopped: it answers under the address that it
// prints, shows no key, and ends with 0 although a script hangs.
func TestSandboxServesUntilItIsStopped(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		none := func(string) (string, bool) { return "", false }
		code <- run(ctx, []string{"sandbox", "toss", "--listen", "127.0.0.1:0", "--secret-key", "test_gsk_hidden"},
			none, strings.NewReader(""), in, io.Discard)
		_ = in.Close() // never fails
	}()
	lines := bufio.NewScanner(out)
	until := func(word string) string {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), "hidden") {
				t.Errorf("the key is shown: %s", lines.Text())
			}
			if _, found, ok := strings.Cut(lines.Text(), word); ok {
				return strings.TrimSpace(found)
			}
		}
		t.Fatalf("it never said %q", word)
		return ""
	}
	base := until("TOSS_API_BASE=")
	until("TOSS_SECRET_KEY=")
	request := func(method, path, body string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return http.DefaultClient.Do(r)
	}
	res, err := request(http.MethodPut, "/__sim/faults", `{"script":[{"action":"hangNoHeaders"}]}`)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("faults: %v, %v", res, err)
	}
	_ = res.Body.Close() // read whole by nobody
	hung := make(chan error, 1)
	go func() {
		res, err := request(http.MethodGet, "/v2/standard", "")
		if err == nil {
			_ = res.Body.Close() // the error is what counts
		}
		hung <- err
	}()
	res, err = request(http.MethodGet, "/v1/payments/x", "")
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %v, %v", res, err)
	} else {
		_ = res.Body.Close() // read whole by nobody
	}
	if said := until("api "); !strings.Contains(said, "401  get") {
		t.Errorf("it says of the call: %s", said)
	}
	stop()
	go func() {
		_, _ = io.Copy(io.Discard, out) // what it still says
	}()
	if got := <-code; got != exitDone {
		t.Errorf("exit code %d", got)
	}
	if err := <-hung; err == nil {
		t.Error("the hung script was answered")
	}
}
