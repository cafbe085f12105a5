package ingest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/ingest"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

const secret = "whsec_a_secret_for_tests_only"

// house is a door before a real store, behind a real HTTP server.
type house struct {
	*testing.T
	store  *hooktest.Faulty
	door   *ingest.Door
	url    string
	stripe *source.StripeSource
	log    *bytes.Buffer
	budget *ingest.Budget
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, store: &hooktest.Faulty{Store: store}, stripe: source.Stripe("stripe", secret),
		log: &bytes.Buffer{}, budget: ingest.NewBudget(8 << 20)}
	h.door = ingest.New(ingest.Config{
		Sources:  []hook.Source{h.stripe, source.GitHub("github", secret), source.Toss("toss")},
		Recorder: h.store, Rejector: h.store, Now: time.Now, Budget: h.budget,
		Handlers: func(string, string, hook.Trust) []string { return []string{"h"} },
		Logger:   slog.New(slog.NewTextHandler(&locked{w: h.log}, nil)),
	})
	server := httptest.NewServer(h.door)
	h.url = server.URL
	t.Cleanup(func() {
		server.Close()
		hooktest.CheckLedger(t, store)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type answer struct {
	code   int
	Status string `json:"status"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
	header http.Header
}

func (h *house) send(r *http.Request) answer {
	h.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.Fatalf("send: %v", err)
	}
	defer res.Body.Close()
	a := answer{code: res.StatusCode, header: res.Header}
	text, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(text, &a); err != nil {
		h.Errorf("answer %d is not JSON: %q", res.StatusCode, text)
	}
	return a
}

func (h *house) post(path, body string, header map[string]string) answer {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return h.send(r)
}

func (h *house) signed(body string) map[string]string {
	h.Helper()
	header := http.Header{}
	if err := h.stripe.Sign(header, []byte(body), time.Now()); err != nil {
		h.Fatal(err)
	}
	return map[string]string{"Stripe-Signature": header.Get("Stripe-Signature")}
}

func stripeEvent(id string) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":"invoice.paid","livemode":false}`, id)
}

func (h *house) want(what string, got answer, code int, status, reason string) {
	h.Helper()
	if got.code != code || got.Status != status || got.Reason != reason {
		h.Errorf("%s: got %d %s %q, want %d %s %q", what, got.code, got.Status, got.Reason, code, status, reason)
	}
}

func (h *house) events() int {
	h.Helper()
	page, _, err := h.store.Events(h.Context(), hook.Filter{Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return len(page)
}

// The table of contract §3, with what each answer leaves behind.
func TestAnswers(t *testing.T) {
	h := newHouse(t)
	body := stripeEvent("evt_1")
	good := h.signed(body)
	h.want("forged first", h.post("/hooks/stripe", body+" ", good), 400, "rejected", "bad_signature")
	h.want("recorded", h.post("/hooks/stripe", body, good), 200, "recorded", "")
	h.want("again", h.post("/hooks/stripe", body, good), 200, "duplicate", "")
	other := strings.Replace(body, "invoice", "Invoice", 1)
	h.want("other bytes", h.post("/hooks/stripe", other, h.signed(other)), 200, "duplicate", "")
	h.want("no signature", h.post("/hooks/stripe", body, nil), 400, "rejected", "missing_header")
	h.want("no signature elsewhere", h.post("/hooks/github", "{}", nil), 401, "rejected", "missing_header")
	h.want("hint", h.post("/hooks/toss", `{"eventType":"PAYMENT_STATUS_CHANGED","data":{"orderId":"o"}}`, nil), 200, "recorded", "")
	h.want("signed type without a key", h.post("/hooks/toss", `{"eventType":"payout.changed"}`, map[string]string{
		"Tosspayments-Webhook-Signature": "v1:AAAA", "Tosspayments-Webhook-Transmission-Time": "2026-03-01T00:00:00+09:00",
	}), 401, "rejected", "bad_config")
	for _, path := range []string{"/hooks/nobody", "/hooks/", "/hooks/stripe/x", "/hooks/..%2fstripe", "/", "/hooks/a%0d%0ab", "/hooks//stripe"} {
		h.want(path, h.post(path, body, good), 404, "rejected", "")
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/hooks/stripe", nil)
	a := h.send(r)
	h.want("GET", a, 405, "rejected", "")
	if a.header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if got := h.events(); got != 2 {
		t.Errorf("events: got %d, want the Stripe event and the hint", got)
	}
	if strings.Contains(h.log.String(), secret) || strings.Contains(h.log.String(), "invoice.paid\"") {
		t.Errorf("the log holds a secret or a body:\n%s", h.log)
	}
	notes, err := h.store.Rejections(t.Context(), "stripe", 10)
	if err != nil || len(notes) != 2 {
		t.Errorf("notes on refusals: %d, %v; want 2", len(notes), err)
	}
}

// No record, no ack: also when the store committed and only the answer got lost.
func TestNoAckWithoutARecord(t *testing.T) {
	h := newHouse(t)
	lost := errors.New("connection lost")
	body := stripeEvent("evt_1")
	h.store.Before = func(string) error { return lost }
	a := h.post("/hooks/stripe", body, h.signed(body))
	h.want("store away", a, 503, "unavailable", "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if h.events() != 0 {
		t.Error("a row without a record")
	}
	h.store.Before, h.store.After = nil, func(string) error { return lost }
	h.want("committed, answer lost", h.post("/hooks/stripe", body, h.signed(body)), 503, "unavailable", "unavailable")
	h.store.After = nil
	h.want("the sender's retry", h.post("/hooks/stripe", body, h.signed(body)), 200, "duplicate", "")
	if h.events() != 1 {
		t.Errorf("events: got %d, want 1", h.events())
	}
}

func TestDrainingAnswers503(t *testing.T) {
	h := newHouse(t)
	h.door.Drain()
	h.door.Drain()
	body := stripeEvent("evt_1")
	h.want("draining", h.post("/hooks/stripe", body, h.signed(body)), 503, "unavailable", "unavailable")
	if h.events() != 0 {
		t.Error("recorded while draining")
	}
}

func TestBodiesOverTheLimit(t *testing.T) {
	h := newHouse(t)
	fits := stripeEvent("evt_fits")
	fits += strings.Repeat(" ", 1<<20-len(fits))
	h.want("exactly 1 MiB", h.post("/hooks/stripe", fits, h.signed(fits)), 200, "recorded", "")
	h.want("one byte more", h.post("/hooks/stripe", fits+" ", h.signed(fits+" ")), 413, "rejected", "too_large")
	h.want("GitHub takes 25 MiB", h.post("/hooks/github", fits+" ", nil), 401, "rejected", "missing_header")
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/hooks/stripe",
		io.MultiReader(strings.NewReader(fits), strings.NewReader("  "))) // chunked: the length is unknown
	a := h.send(r)
	h.want("chunked over the limit", a, 413, "rejected", "too_large")
	hint := `{"eventType":"PAYMENT_STATUS_CHANGED","x":"` + strings.Repeat("x", 64<<10) + `"}`
	h.want("a hint over 64 KiB", h.post("/hooks/toss", hint, nil), 413, "rejected", "too_large")
	if h.budget.Used() != 0 {
		t.Errorf("bytes in flight after all answers: %d", h.budget.Used())
	}
}

func TestBytesInFlightAreBounded(t *testing.T) {
	h := newHouse(t)
	const senders, size = 20, 1 << 20 // together more than the budget of 8 MiB
	conns := make([]net.Conn, senders)
	for i := range conns {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		fmt.Fprintf(c, "POST /hooks/stripe HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
		if _, err := c.Write(make([]byte, size-1)); err != nil {
			continue // shed already, and closed
		}
	}
	shed := 0
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // the others keep waiting for their last byte
		buf := make([]byte, 64)
		if n, _ := c.Read(buf); strings.HasPrefix(string(buf[:n]), "HTTP/1.1 503") {
			shed++
		}
	}
	if shed == 0 || shed == senders {
		t.Errorf("shed %d of %d, want some and not all", shed, senders)
	}
	if used := h.budget.Used(); used > 8<<20 {
		t.Errorf("bytes in flight: %d, the budget is %d", used, 8<<20)
	}
}

func TestHintsHaveARate(t *testing.T) {
	h := newHouse(t)
	busy := 0
	for i := range 60 {
		body := fmt.Sprintf(`{"eventType":"PAYMENT_STATUS_CHANGED","data":{"orderId":"o%d"}}`, i)
		switch a := h.post("/hooks/toss", body, nil); a.code {
		case 429:
			busy++
			if a.header.Get("Retry-After") == "" || a.Status != "busy" {
				t.Errorf("429: %+v", a)
			}
		case 200:
		default:
			t.Errorf("got %d", a.code)
		}
	}
	if busy == 0 {
		t.Error("60 hints at once were all taken")
	}
}

func TestChunkedConnectionsEnd(t *testing.T) {
	h := newHouse(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST /hooks/stripe HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"0\r\n\r\nGET /hooks/stripe HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the connection stays open: %v", err)
	}
	if n := strings.Count(string(all), "HTTP/1.1 "); n != 1 || strings.Contains(string(all), "405") {
		t.Errorf("the pipelined request ran: %q", all)
	}
}
