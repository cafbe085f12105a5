// Package fuzzing_test has the fuzz targets of packages whose own tests need an
// engine: a build for fuzzing instruments everything it links, and SQLite among it
// would take longer than all the fuzzing.
package fuzzing_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/toss"
)

func read(f *testing.F, path string) []byte {
	f.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return text
}

func FuzzDestinationURL(f *testing.F) {
	for _, to := range []string{"http://127.0.0.1/", "http://[::1]/", "http://0x7f.1/", "http://2130706433/", "http://localhost./", "http://[fe80::1%25eth0]/", "http://user@h/", "file:///etc/passwd", "http://10.0.0.1:80/x"} {
		f.Add(to)
	}
	f.Add("https://app.example.com/internal/hooks")
	f.Fuzz(func(t *testing.T, to string) {
		d := forward.Destination{Name: "a", To: to, Events: []string{"*:*"}, Sign: forward.SignStandardWebhooks, Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
		if d.Validate() != nil {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Fatalf("%q is taken", to)
		}
		if ip := net.ParseIP(strings.TrimSuffix(u.Hostname(), ".")); ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() ||
			ip.IsLinkLocalUnicast()) {
			t.Errorf("%q is taken", to)
		}
	})
}

// FuzzEdit: whatever is edited stays JSON and holds the new value.
func FuzzEdit(f *testing.F) {
	f.Add(`{"a":{"b":[1,2]}}`, "a.b.1", "x")
	f.Add(`[{"a":1}]`, "0.a", "true")
	f.Add(`{}`, "n", "1e9")
	f.Fuzz(func(t *testing.T, doc, path, text string) {
		got, err := dev.Edit([]byte(doc), path, text)
		if err == nil && json.Valid([]byte(doc)) && !json.Valid(got) {
			t.Errorf("%q with %s=%s became %q", doc, path, text, got)
		}
	})
}

func FuzzTransactionWord(f *testing.F) {
	for _, s := range []string{"COMMIT", "SELECT ';'; end", "/*", "--", "'", "[", ";;;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_ = sqlstore.TransactionWord(query) // ends, and does not panic
		if got := sqlstore.TransactionWord("SELECT 1; " + "COMMIT"); got != "COMMIT" {
			t.Error("a second statement is missed")
		}
		if !strings.ContainsAny(query, "'\"`[/-;") && sqlstore.TransactionWord(query+";COMMIT") == "" {
			t.Errorf("COMMIT behind %q is missed", query)
		}
	})
}

// FuzzEvent: whatever a body holds, handlers return an effect or an error.
func FuzzEvent(f *testing.F) {
	paths, err := filepath.Glob("../../stripe/testdata/*/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no payloads: %v", err)
	}
	for i, path := range paths {
		if i%4 == 0 { // every shape is in some of them, and a short run must get beyond them
			f.Add(read(f, path))
		}
	}
	f.Add([]byte(`{"object":"event","type":"invoice.paid","data":{"object":{"id":1,"items":{"data":[[]]}}}}`))
	s := source.Stripe("stripe", "whsec_fuzzing")
	desk, err := stripe.New(stripe.Config{Source: s, Store: nothing{}})
	if err != nil {
		f.Fatal(err)
	}
	routes := desk.Department().Routes
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := s.Identify(nil, body)
		if err != nil {
			return // quarantined: no handler sees it
		}
		e := &hook.Event{Source: "stripe", Mode: id.Mode, Trust: hook.TrustSignature, Key: id.Key, Type: id.Type,
			Subject: id.Subject, OccurredAt: id.OccurredAt, Body: body}
		for _, r := range routes {
			if r.Wants("stripe", id.Type, hook.TrustSignature) {
				_, _ = r.Handler.Handle(t.Context(), e)
			}
		}
	})
}

// nothing is a database that answers nothing.
type nothing struct{ stripe.Store }

func (nothing) View(context.Context, func(context.Context, hook.Tx) error) error {
	return errors.New("no database")
}

func FuzzPayment(f *testing.F) {
	for _, name := range []string{"confirm.200.card.json", "confirm.200.virtual_account_waiting.json", "get.200.canceled.json"} {
		f.Add(read(f, filepath.Join("..", "..", "toss", "testdata", name)))
	}
	f.Add([]byte(`{"paymentKey":"a","orderId":"b","status":"DONE","totalAmount":1e3,"balanceAmount":-0}`))
	var answer atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(*answer.Load()) }))
	defer server.Close()
	client := toss.NewClient(toss.ClientConfig{SecretKey: "test_sk_fuzzing", APIBase: server.URL})
	f.Fuzz(func(t *testing.T, body []byte) {
		answer.Store(&body)
		p, err := client.Payment(t.Context(), "a")
		if err != nil {
			return
		}
		if p.PaymentKey == "" || p.OrderID == "" || p.TotalAmount < 0 || p.BalanceAmount < 0 || p.TotalAmount > 1<<53 {
			t.Errorf("read as a payment: %+v", p)
		}
	})
}
