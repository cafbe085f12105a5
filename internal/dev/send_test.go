package dev_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// door is a receiver that verifies and dedupes in memory; mistake breaks it on
// purpose.
type door struct {
	src     hook.Source
	mistake string

	mu   sync.Mutex
	seen map[string]bool
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = d.src.Verify(r.Header, body, time.Now())
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil && d.mistake != "open" {
		status := http.StatusUnauthorized
		if a, ok := d.src.(hook.Answerer); ok {
			status = a.Refusal()
		}
		if d.mistake == "status" {
			status = http.StatusForbidden
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"status":"rejected"}`)
		return
	}
	id, _ := d.src.Identify(r.Header, body) // a quarantined one is recorded too
	key := id.Key
	if key == "" || id.Trust == hook.TrustHint {
		key = r.Header.Get("Tosspayments-Webhook-Transmission-Id") + string(body)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	status := "recorded"
	if d.seen[key] && d.mistake != "twice" {
		status = "duplicate"
	}
	d.seen[key] = true
	io.WriteString(w, `{"status":"`+status+`","event":"ev_1"}`)
}

func send(t *testing.T, sender, secret, eventType, scenario, mistake string) (wrong, sent int) {
	t.Helper()
	src := newSource(t, sender, secret)
	srv := httptest.NewServer(&door{src: src, mistake: mistake, seen: map[string]bool{}})
	defer srv.Close()
	other := newSource(t, sender, strings.Map(func(r rune) rune {
		if r == '0' || r == 'Q' {
			return r + 1
		}
		return r
	}, strings.Replace(secret, "c2V", "QQQ", 1)))
	if sender == "stripe" {
		other = newSource(t, sender, "whsec_another0123456789")
	}
	wrong, err := dev.Send(t.Context(), dev.Plan{
		URL: srv.URL, Source: src, Wrong: other.(hook.Signer), Sender: sender, Type: eventType,
		Scenario: scenario, Count: 6, Concurrency: 3,
	}, func(dev.Result) { sent++ })
	if err != nil {
		t.Errorf("%s %s: %v", sender, scenario, err)
	}
	return wrong, sent
}

// TestScenariosKnowTheRightAnswers runs every scenario against a right receiver
// and against ones that are wrong in one way each.
func TestScenariosKnowTheRightAnswers(t *testing.T) {
	types := map[string][]string{
		"stripe": {"invoice.paid", "v1.customer.created"}, "toss": {"payout.changed", "DEPOSIT_CALLBACK"},
		"github": {"push", "ping"}, "standard-webhooks": {"x.y"}, "portone": {"Transaction.Paid"},
	}
	for _, s := range secrets {
		for _, eventType := range types[s[0]] {
			for _, scenario := range append(dev.Scenarios(), "") {
				if wrong, sent := send(t, s[0], s[1], eventType, scenario, ""); wrong > 0 || sent < 6 {
					t.Errorf("%s %s %s: %d of %d answers are called wrong", s[0], eventType, scenario, wrong, sent)
				}
			}
		}
	}
	for _, test := range []struct {
		scenario, mistake string
		wrong             int
	}{
		{"tampered", "open", 6}, {"wrong-secret", "open", 6}, {"late", "open", 6}, {"future", "open", 6},
		{"tampered", "status", 6}, {"duplicate", "twice", 6}, {"burst", "twice", 6},
	} {
		if wrong, _ := send(t, "stripe", secrets[0][1], "invoice.paid", test.scenario, test.mistake); wrong != test.wrong {
			t.Errorf("%s with the mistake %q: %d wrong answers noticed, want %d", test.scenario, test.mistake, wrong, test.wrong)
		}
	}
}

func TestNoAnswerIsAWrongAnswer(t *testing.T) {
	var got dev.Result
	wrong, err := dev.Send(t.Context(), dev.Plan{
		URL: "http://127.0.0.1:1/hooks/stripe", Source: newSource(t, "stripe", secrets[0][1]), Sender: "stripe", Type: "invoice.paid",
	}, func(r dev.Result) { got = r })
	if err != nil || wrong != 1 || got.OK || got.Status != 0 || !strings.Contains(got.Reason, "no answer") {
		t.Errorf("%d wrong, %v, %+v", wrong, err, got)
	}
}

// TestClientIsALedger goes through every method against a real API and store.
func TestClientIsALedger(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	body := []byte("{\"a\":\x00\xff}")
	receipt, err := store.Record(t.Context(),
		hook.Delivery{Source: "s", Header: http.Header{"Webhook-Id": {"k"}}, Body: body, ReceivedAt: time.Now()},
		hook.Identity{Key: "k", Type: "t", Subject: "o", Trust: hook.TrustSignature}, []string{"mail"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{
		Ledger: store, Sources: []dashboard.SourceInfo{{Name: "s"}},
		Gate: dashboard.NewGate(dashboard.GateConfig{Tokens: []string{"token"}, Keeper: store}),
	}))
	defer srv.Close()
	c := &dev.Client{Base: srv.URL + "/", Token: "token"}
	ctx := t.Context()

	page, next, err := c.Events(ctx, hook.Filter{Source: "s", Type: "t", Key: "k", Subject: "o", State: hook.StateReady,
		Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Limit: 10})
	if err != nil || len(page) != 1 || next != "" || page[0].ID != receipt.EventID {
		t.Errorf("Events: %v %q %v", page, next, err)
	}
	e, err := c.Event(ctx, receipt.EventID)
	if err != nil || string(e.Body) != string(body) || e.Headers["Webhook-Id"][0] != "k" {
		t.Errorf("Event: %+v, %v", e, err)
	}
	if counts, err := c.Counts(ctx); err != nil || counts.Events != 1 {
		t.Errorf("Counts: %+v, %v", counts, err)
	}
	lines := 0
	if err := c.History(ctx, func(hook.HistoryLine) error { lines++; return nil }); err != nil || lines == 0 {
		t.Errorf("History: %d lines, %v", lines, err)
	}
	exported := 0
	if err := c.Export(ctx, hook.Filter{Type: "t", Limit: 5}, func(json.RawMessage) error { exported++; return nil }); err != nil || exported != 1 {
		t.Errorf("Export: %d lines, %v", exported, err)
	}
	if list, err := c.Rejections(ctx, "s", 5); err != nil || len(list) != 0 {
		t.Errorf("Rejections: %v, %v", list, err)
	}
	if list, err := c.Sources(ctx); err != nil || len(list) != 1 {
		t.Errorf("Sources: %v, %v", list, err)
	}
	if _, err := c.Event(ctx, "ev_nope"); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("Event of nothing: %v, want ErrNotFound", err)
	}
	if _, err := c.Event(ctx, "../counts"); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("Event of another route: %v, want ErrNotFound", err)
	}
	if _, err := c.Replay(ctx, receipt.EventID, hook.Replay{Handlers: []string{"mail"}, Reason: "x"}); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("Replay beside an open job: %v, want ErrRefused", err)
	}
	if err := c.Discard(ctx, receipt.EventID, "mail", "", "x"); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("Discard of a job that is not dead: %v, want ErrRefused", err)
	}
	c.Token = "wrong"
	if _, _, err := c.Events(ctx, hook.Filter{}); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a wrong token: %v", err)
	}
}

// TestBrokenStreamIsAnError: half a history must not pass for a whole one.
func TestBrokenStreamIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "{\"kind\":\"event\"}\n{\"kind\":")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	c := &dev.Client{Base: srv.URL}
	if err := c.History(t.Context(), func(hook.HistoryLine) error { return nil }); err == nil {
		t.Error("no error")
	}
}
