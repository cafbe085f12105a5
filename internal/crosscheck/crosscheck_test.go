package crosscheck_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestSDKs builds the binary and starts the oracle once for everything.
func TestSDKs(t *testing.T) {
	all := sdks(newOracle(t))
	binary := build(t)
	t.Run("TheirSignaturesAreAcceptedAndForgedOnesRefused", func(t *testing.T) {
		r := serve(t, binary)
		if got := r.everything(t); len(got) != 0 {
			t.Fatalf("a new event log has %d rows", len(got))
		}
		for n, k := range all {
			for _, s := range samples(t, k, n) {
				t.Run(k.name+"/"+s.name, func(t *testing.T) { judge(t, r, k, s) })
			}
		}
		// Five of Stripe and two of each other, by every SDK of that sender.
		if got := r.everything(t); len(got) != 2*5+2*2+2 {
			t.Errorf("the event log has %d rows, want one for each true delivery", len(got))
		}
	})
	t.Run("OurSignaturesAreAccepted", func(t *testing.T) {
		for _, k := range all {
			t.Run(k.name, func(t *testing.T) { judgeOurs(t, binary, k) })
		}
	})
}

// judge plays one delivery: first its forgeries, then the true one, then the
// forgeries again, then the true one again.
func judge(t *testing.T, r *receiver, k sdk, s sample) {
	now := time.Now()
	forged := forgeries(t, k, s, now)
	if len(forged) < 15 {
		t.Fatalf("only %d forgeries", len(forged))
	}
	before := r.everything(t)
	for _, f := range forged {
		refuse(t, r, k, s, f)
		if rows := r.rows(t, s.source, s.key); len(rows) != 0 {
			t.Fatalf("%s: the forged copy, come first, is in the event log: %+v", f.name, rows)
		}
	}
	unchanged(t, r, before)

	header := s.signed(t, k, order{at: now})
	first := r.deliver(t, s.source, header, s.body)
	if first.code != http.StatusOK || first.Status != "recorded" || first.Event == "" {
		t.Fatalf("the true delivery is answered %+v, want 200 recorded", first)
	}
	sum := sha256.Sum256(s.body)
	want := event{
		ID: first.Event, Source: s.source, Trust: "signature", Key: s.key, Type: s.kind, State: "no_handler",
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(s.body)), Deliveries: 1,
	}
	r.holds(t, want, s.body)

	before = r.everything(t)
	for _, f := range forged {
		refuse(t, r, k, s, f)
	}
	unchanged(t, r, before)
	r.holds(t, want, s.body)

	again := r.deliver(t, s.source, s.signed(t, k, order{at: now.Add(time.Second)}), s.body)
	if again.code != http.StatusOK || again.Status != "duplicate" || again.Event != first.Event {
		t.Errorf("the true delivery again is answered %+v, want 200 duplicate of %s", again, first.Event)
	}
	want.Deliveries = 2
	r.holds(t, want, s.body)
}

// refuse delivers a forgery and wants the contract's refusal.
func refuse(t *testing.T, r *receiver, k sdk, s sample, f forgery) {
	t.Helper()
	want := answer{code: http.StatusUnauthorized, Status: "rejected", Reason: f.reason}
	if k.sender == "stripe" {
		want.code = http.StatusBadRequest
	}
	if got := r.deliver(t, s.source, f.header, f.body); got != want {
		t.Errorf("%s: answered %+v, want %+v", f.name, got, want)
	}
}

// unchanged wants the event log to be as it was, under every key.
func unchanged(t *testing.T, r *receiver, before []event) {
	t.Helper()
	if after := r.everything(t); !slices.Equal(after, before) {
		t.Errorf("forged deliveries changed the event log from\n%+v\nto\n%+v", before, after)
	}
}

// holds wants exactly this row for its key, and its body byte by byte.
func (r *receiver) holds(t *testing.T, want event, body []byte) {
	t.Helper()
	if got := r.rows(t, want.Source, want.Key); !slices.Equal(got, []event{want}) {
		t.Errorf("the event log has %+v, want %+v", got, want)
	}
	if got := r.look(t, "/api/v1/events/"+want.ID+"/raw"); string(got) != string(body) {
		t.Errorf("the recorded body has %d bytes that differ from the %d delivered", len(got), len(body))
	}
}

// judgeOurs lets an SDK receive what `hookkeeper send` signs.
func judgeOurs(t *testing.T, binary string, k sdk) {
	secret, orders := ours(t, k)
	a := newApplication(t, k, secret)
	scenarios := map[string]bool{"": true, "tampered": false, "wrong-secret": false}
	if k.sender != "github" {
		scenarios["late"] = false
	}
	if k.future {
		scenarios["future"] = false
	}
	for name, args := range orders {
		for scenario, accepted := range scenarios {
			args := append(slices.Clone(args), "--to", a.url, "--secret", secret)
			if scenario != "" {
				args = append(args, "--scenario", scenario)
			}
			// send fails if an answer is not the one that its scenario is due.
			out, err := send(t, binary, args...)
			verdicts, faults := a.taken()
			if err := errors.Join(append(faults, err)...); err != nil {
				t.Errorf("%s %s: %v\n%s", name, scenario, err, out)
			}
			if !slices.Equal(verdicts, []bool{accepted}) {
				t.Errorf("%s %s: accepted %v, want %v", name, scenario, verdicts, accepted)
			}
		}
	}
}

// ours is what send is told to send to an SDK.
func ours(t *testing.T, k sdk) (secret string, orders map[string][]string) {
	t.Helper()
	switch k.sender {
	case "stripe":
		orders := map[string][]string{}
		for _, train := range []string{"acacia", "dahlia", "endive"} {
			orders[train] = []string{"stripe", "invoice.paid", "--train", train}
		}
		return stripeSecret, orders
	case "github":
		form := filepath.Join(t.TempDir(), "form")
		if err := os.WriteFile(form, githubSamples(t)[1].body, 0o600); err != nil {
			t.Fatal(err)
		}
		return githubSecret, map[string][]string{
			"JSON": {"github", "push"}, "form": {"github", "push", "--data", form},
		}
	}
	return partnerSecret, map[string][]string{
		"sample": {"standard-webhooks", "invoice.paid"}, "any": {"standard-webhooks", "order.noted"},
	}
}

// application is a receiver that knows nothing of hookkeeper: it asks the SDK,
// and answers as its sender's guide says.
type application struct {
	url string

	mu       sync.Mutex
	verdicts []bool
	faults   []error
}

func newApplication(t *testing.T, k sdk, secret string) *application {
	t.Helper()
	a := &application{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var accepted bool
		if err == nil {
			accepted, err = k.accepts(secret, r.Header, body)
		}
		a.note(accepted, err)
		switch {
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		case accepted:
			_, _ = io.WriteString(w, `{"status":"recorded","event":"ev_application"}`)
		default:
			code := http.StatusUnauthorized
			if k.sender == "stripe" {
				code = http.StatusBadRequest
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"status":"rejected","reason":"bad_signature"}`)
		}
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *application) note(accepted bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verdicts = append(a.verdicts, accepted)
	if err != nil {
		a.faults = append(a.faults, err)
	}
}

// taken gives what was judged since it was last asked.
func (a *application) taken() ([]bool, []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	verdicts, faults := a.verdicts, a.faults
	a.verdicts, a.faults = nil, nil
	return verdicts, faults
}
