package tosstest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

// TestCallFaults: what each fault answers, what state it leaves, and that the
// next call is well.
func TestCallFaults(t *testing.T) {
	for _, test := range []struct {
		fault  tosstest.Fault
		status int // zero: no answer
		code   string
		state  string // of the payment afterwards
	}{
		{tosstest.Fault{Action: "ok"}, 200, "", "DONE"},
		{tosstest.Fault{Action: "error", Code: "PROVIDER_ERROR"}, 400, "PROVIDER_ERROR", "IN_PROGRESS"},
		{tosstest.Fault{Action: "REJECT_CARD_PAYMENT"}, 403, "REJECT_CARD_PAYMENT", "IN_PROGRESS"},
		{tosstest.Fault{Action: "error", Code: "NEVER_SEEN", Status: 503}, 503, "NEVER_SEEN", "IN_PROGRESS"},
		{tosstest.Fault{Action: "refuse", Code: "REJECT_CARD_PAYMENT"}, 403, "REJECT_CARD_PAYMENT", "ABORTED"},
		{tosstest.Fault{Action: "500"}, 500, "FAILED_INTERNAL_SYSTEM_PROCESSING", "IN_PROGRESS"},
		{tosstest.Fault{Action: "429"}, 429, "TOO_MANY_REQUESTS", "IN_PROGRESS"},
		{tosstest.Fault{Action: "slow", MS: 20}, 200, "", "DONE"},
		{tosstest.Fault{Action: "drip", MS: 20}, 200, "", "DONE"},
		{tosstest.Fault{Action: "reset"}, 0, "", "IN_PROGRESS"},
		{tosstest.Fault{Action: "resetAfterCommit"}, 0, "", "DONE"},
		{tosstest.Fault{Action: "timeoutBeforeCommit"}, 0, "", "IN_PROGRESS"},
		{tosstest.Fault{Action: "timeoutAfterCommit"}, 0, "", "DONE"},
		{tosstest.Fault{Action: "alter", Set: map[string]any{"totalAmount": 1}}, 200, "", "DONE"},
	} {
		t.Run(test.fault.Action, func(t *testing.T) {
			in := &inbox{}
			b := start(t, tosstest.Options{Receiver: in})
			key := b.paid(order("order-1", 1000))
			if err := b.sim.Fault("confirm", test.fault); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(test.fault.Action, "timeout") {
				go func() { b.untilHung(1); b.sim.ReleaseHung() }()
			}
			begin := time.Now()
			got, err := b.call("POST", "/v1/payments/confirm", map[string]any{"paymentKey": key, "orderId": "order-1", "amount": 1000}, "Idempotency-Key", "a")
			if got.status != test.status || got.Code != test.code || (test.status == 0) != (err != nil) {
				t.Errorf("%d %s, %v; want %d %s", got.status, got.body, err, test.status, test.code)
			}
			if ms := time.Duration(test.fault.MS) * time.Millisecond; time.Since(begin) < ms {
				t.Errorf("answered after %v, want %v", time.Since(begin), ms)
			}
			if test.fault.Action == "alter" && got.TotalAmount != 1 {
				t.Errorf("not altered: %s", got.body)
			}
			if p, _ := b.sim.Payment(key); p.Status != test.state || p.TotalAmount != 1000 {
				t.Errorf("afterwards it is %s of %d, want %s", p.Status, p.TotalAmount, test.state)
			}
			want := ""
			if test.state != "IN_PROGRESS" {
				want = "PAYMENT:" + test.state
			}
			if got := in.states(b); got != want {
				t.Errorf("delivered %q, want %q", got, want)
			}
			again := b.confirm(key, "order-1", 1000, "Idempotency-Key", "a")
			if test.state == "ABORTED" {
				wants(t, "again", again, 404, "NOT_FOUND_PAYMENT_SESSION")
			} else {
				wants(t, "again, with the same key", again, 200, "")
			}
			last := b.sim.Calls()[1]
			if last.Replayed != (test.state == "DONE") || len(b.sim.Faults()) != 0 {
				t.Errorf("afterwards: %+v, faults left %v", last, b.sim.Faults())
			}
		})
	}
}

func TestGarbageIsNoJSON(t *testing.T) {
	b := start(t, tosstest.Options{})
	key := b.paid(order("order-1", 1000))
	if err := b.sim.Fault("confirm", tosstest.Fault{Action: "garbage"}); err != nil {
		t.Fatal(err)
	}
	if got := b.confirm(key, "order-1", 1000); got.status != 200 || strings.HasPrefix(got.body, "{") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if p, _ := b.sim.Payment(key); p.Status != "DONE" {
		t.Errorf("afterwards it is %s", p.Status)
	}
}

func TestTimeoutEndsWithItsCaller(t *testing.T) {
	b := start(t, tosstest.Options{})
	if err := b.sim.Fault("get", tosstest.Fault{Action: "timeoutBeforeCommit"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", b.url+"/v1/payments/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(b.key, "")
	if _, err = http.DefaultClient.Do(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a time limit", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); b.sim.Hung() > 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it hangs although its caller has gone")
		}
	}
	if c := b.sim.Calls(); len(c) != 1 || c[0].Status != 0 || c[0].Fault != "timeoutBeforeCommit" {
		t.Errorf("calls: %+v", c)
	}
}

func (b *bench) get(path string, headers ...string) (int, http.Header, string, error) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), "GET", b.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	// A connection of its own: on one used before, Go's client would repeat a GET
	// whose connection is lost, and nobody would see the fault.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(body), err
}

// TestScriptFaults: each once, then the script is there again.
func TestScriptFaults(t *testing.T) {
	b := start(t, tosstest.Options{})
	_, _, whole, err := b.get("/v2/standard?x=1")
	if err != nil || !strings.Contains(whole, "TossPayments") {
		t.Fatalf("the script: %v, %.80s", err, whole)
	}
	for _, test := range []struct {
		fault  tosstest.Fault
		status int
		holds  string
	}{
		{tosstest.Fault{Action: "status", Status: 404}, 404, "not now"},
		{tosstest.Fault{Action: "html"}, 200, "<!doctype html>"},
		{tosstest.Fault{Action: "noNamespace"}, 200, "nothing here"},
		{tosstest.Fault{Action: "syntaxError"}, 200, "var = ;"},
		{tosstest.Fault{Action: "throwOnInit", Code: "INVALID_CLIENT_KEY"}, 200, `__hkThrowOnInit="INVALID_CLIENT_KEY"`},
		{tosstest.Fault{Action: "v1"}, 200, "requestPayment"},
		{tosstest.Fault{Action: "slow", MS: 10}, 200, whole},
		{tosstest.Fault{Action: "hang"}, 200, whole},
		{tosstest.Fault{Action: "hang", Cache: true}, 200, whole},
		{tosstest.Fault{Action: "hangNoHeaders"}, 200, whole},
		{tosstest.Fault{Action: "reset"}, 0, ""},
	} {
		if err := b.sim.Fault("script", test.fault); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(test.fault.Action, "hang") {
			go func() { b.untilHung(1); b.sim.ReleaseHung() }()
		}
		status, header, body, err := b.get("/v2/standard")
		if status != test.status || !strings.Contains(body, test.holds) || (err != nil) != (test.fault.Action == "reset") {
			t.Errorf("%s: %d, %v, %.80s", test.fault.Action, status, err, body)
		}
		if test.fault.Action == "reset" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset: %v", err)
		}
		if cache := header.Get("Cache-Control"); status == 200 && (cache == "no-store") == test.fault.Cache {
			t.Errorf("%s: Cache-Control %q", test.fault.Action, cache)
		}
		if _, _, body, err := b.get("/v2/standard"); err != nil || body != whole {
			t.Errorf("after %s: %v, %.80s", test.fault.Action, err, body)
		}
	}
	var actions []string
	for _, op := range b.sim.Ops() {
		actions = append(actions, op.Action)
	}
	if len(actions) != 23 || actions[0] != "ok" || actions[1] != "status" || b.sim.Ops()[0].Query != "x=1" {
		t.Errorf("operations: %v", actions)
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	b := start(t, tosstest.Options{})
	if err := b.sim.Fault("script", tosstest.Fault{Action: "hangNoHeaders"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, _, _, err := b.get("/v2/standard"); done <- err }()
	b.untilHung(1)
	b.sim.Close()
	if err := <-done; err == nil {
		t.Error("a script that hung was served after Close")
	}
}

func TestFaultsMustMakeSense(t *testing.T) {
	sim := tosstest.New(tosstest.Options{})
	defer sim.Close()
	for target, f := range map[string]tosstest.Fault{
		"nothing": {Action: "ok"}, "script": {Action: "refuse"}, "confirm": {Action: "error"}, "get": {Action: "NOCODE"},
		"requestPayment": {Action: "reject"}, "webhook": {Action: "delay", MS: -1}, "cancel": {Action: "timeoutAfterCommit", MS: 600_001},
	} {
		if err := sim.Fault(target, tosstest.Fault{Action: "ok"}, f); err == nil {
			t.Errorf("%s takes %+v", target, f)
		}
	}
	if err := sim.Fault("script", tosstest.Fault{Action: "status", Status: 200}); err == nil {
		t.Error("script takes the status 200 as a fault")
	}
	if left := sim.Faults(); len(left) != 0 {
		t.Errorf("ordered in spite of an error: %v", left)
	}
	if err := sim.Fault("get", tosstest.Fault{Action: "500"}); err != nil || len(sim.Faults()["get"]) != 1 {
		t.Errorf("%v, %v", err, sim.Faults())
	}
	sim.ClearFaults()
	if left := sim.Faults(); len(left) != 0 {
		t.Errorf("left after clearing: %v", left)
	}
}

// TestEveryFaultIsDocumented compares the table of the document with Targets.
func TestEveryFaultIsDocumented(t *testing.T) {
	raw, err := os.ReadFile("../docs/toss-sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(raw), "## Faults")
	section, _, _ = strings.Cut(section, "## In Go")
	documented := map[string][]string{}
	var targets []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "target" {
			continue
		}
		if names := quoted(cells[1]); len(names) > 0 {
			targets = names
		}
		for _, target := range targets {
			documented[target] = append(documented[target], quoted(cells[2])...)
		}
	}
	for target, actions := range tosstest.Targets() {
		for _, action := range actions {
			if action != "ok" && !slices.Contains(documented[target], action) {
				t.Errorf("docs/toss-sandbox.md does not say what %s does at %s", action, target)
			}
		}
	}
	for target, actions := range documented {
		for _, action := range actions {
			if renders := strings.HasPrefix(target, "render"); !slices.Contains(tosstest.Targets()[target], action) &&
				(renders || action != "stickyRendered" && action != "frame404") && action != "refuse" {
				t.Errorf("docs/toss-sandbox.md knows %s at %s, the code does not", action, target)
			}
		}
	}
}

// quoted gives the words in back quotes.
func quoted(text string) (words []string) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			words = append(words, part)
		}
	}
	return words
}
