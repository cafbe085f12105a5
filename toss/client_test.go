package toss_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/toss"
)

// shape is a payment as Toss documents it.
func shape(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		want   toss.Class
	}{
		{400, "ALREADY_PROCESSED_PAYMENT", toss.ClassUnknown}, {409, "IDEMPOTENT_REQUEST_PROCESSING", toss.ClassUnknown},
		{403, "FORBIDDEN_CONSECUTIVE_REQUEST", toss.ClassUnknown}, {400, "PROVIDER_ERROR", toss.ClassUnknown},
		{500, "FAILED_INTERNAL_SYSTEM_PROCESSING", toss.ClassUnknown}, {500, "FAILED_REFUND_PROCESS", toss.ClassUnknown},
		{502, "HTTP_502", toss.ClassUnknown}, {302, "HTTP_302", toss.ClassUnknown}, {404, "HTTP_404", toss.ClassUnknown},
		{403, "REJECT_CARD_PAYMENT", toss.ClassRefused}, {400, "EXCEED_MAX_AMOUNT", toss.ClassRefused},
		{400, "INVALID_REQUEST", toss.ClassRefused}, {403, "NOT_CANCELABLE_PAYMENT", toss.ClassRefused},
		{404, "NOT_FOUND_PAYMENT", toss.ClassMissing}, {404, "NOT_FOUND_PAYMENT_SESSION", toss.ClassMissing},
		{401, "UNAUTHORIZED_KEY", toss.ClassKeys}, {400, "INVALID_API_KEY", toss.ClassKeys}, {401, "HTTP_401", toss.ClassKeys},
		{403, "FORBIDDEN_REQUEST", toss.ClassKeys}, {403, "INCORRECT_BASIC_AUTH_FORMAT", toss.ClassKeys},
		{429, "TOO_MANY_REQUESTS", toss.ClassBusy}, {400, "ALREADY_CANCELED_PAYMENT", toss.ClassUnknown},
	} {
		if got := toss.Classify(c.status, c.code); got != c.want {
			t.Errorf("%d %s: %s, want %s", c.status, c.code, got, c.want)
		}
	}
}

func TestClientSendsWhatTossAsksFor(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if user, pass, ok := r.BasicAuth(); !ok || user != secretKey || pass != "" {
			t.Errorf("authorization: %q %q", user, pass)
		}
		if r.Method == "POST" && r.Header.Get("Idempotency-Key") != "the-key" {
			t.Errorf("idempotency key %q", r.Header.Get("Idempotency-Key"))
		}
		fmt.Fprint(w, shape(t, "confirm.200.card.json"))
	}))
	t.Cleanup(server.Close)
	c := toss.NewClient(toss.ClientConfig{SecretKey: secretKey, APIBase: server.URL})
	p, err := c.Confirm(t.Context(), "key", "hk_order", 15000, "the-key")
	if err != nil || p.Status != "DONE" || p.TotalAmount <= 0 || p.Captured() != p.TotalAmount {
		t.Errorf("confirm: %+v %v", p, err)
	}
	if _, err := c.Cancel(t.Context(), "a/../b?c", toss.CancelOrder{Reason: strings.Repeat("가", 300)}, "the-key"); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestClientSendsAPostOnce(t *testing.T) {
	t.Parallel()
	var posts, gets atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
		} else {
			gets.Add(1)
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	c := toss.NewClient(toss.ClientConfig{SecretKey: secretKey, APIBase: server.URL})
	_, err := c.Confirm(t.Context(), "key", "hk_order", 15000, "k")
	if a, ok := errors.AsType[*toss.APIError](err); !ok || a.Class != toss.ClassUnknown || a.Status != 0 {
		t.Errorf("confirm: %v", err)
	}
	if _, err := c.Payment(t.Context(), "key"); err == nil {
		t.Error("a broken connection brought a payment")
	}
	// net/http itself repeats a GET on a connection that was open before.
	if posts.Load() != 1 || gets.Load() < 2 || gets.Load() > 4 {
		t.Errorf("%d posts, %d gets", posts.Load(), gets.Load())
	}
}

func TestClientBoundsWhatItReads(t *testing.T) {
	t.Parallel()
	const canary = "4890-2300-0000-4060"
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  toss.Class
		code   string
		away   bool // it says nothing of this payment
	}{
		"html":      {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>"+canary) }, toss.ClassUnknown, "ANSWER_UNREADABLE", true},
		"too large": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2<<20)) }, toss.ClassUnknown, "ANSWER_TOO_LARGE", false},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
			toss.ClassUnknown, "HTTP_302", false},
		"no code": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(400); fmt.Fprint(w, canary) }, toss.ClassRefused, "HTTP_400", false},
		"code that is none": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"code":%q,"message":%q}`, "x\n"+canary, canary)
		}, toss.ClassRefused, "HTTP_400", false},
		"fraction": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"paymentKey":"a","orderId":"b","status":"DONE","totalAmount":1.5,"balanceAmount":1}`)
		}, toss.ClassUnknown, "ANSWER_UNREADABLE", false},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that we have gone
			<-r.Context().Done()
		}, toss.ClassUnknown, "TIMEOUT", true},
		"retry after": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) },
			toss.ClassBusy, "HTTP_429", true},
		"down": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); fmt.Fprint(w, canary) }, toss.ClassUnknown, "HTTP_500", true},
		"cut":  {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, toss.ClassUnknown, "NO_ANSWER", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			t.Cleanup(server.Close)
			client := toss.NewClient(toss.ClientConfig{SecretKey: secretKey, APIBase: server.URL, Timeout: 300 * time.Millisecond})
			_, err := client.Confirm(t.Context(), "pay_key", "hk_order", 15000, "k")
			a, ok := errors.AsType[*toss.APIError](err)
			if !ok || a.Class != c.class || a.Code != c.code {
				t.Fatalf("got %v", err)
			}
			if got := errors.Is(err, hook.ErrUnavailable); got != c.away {
				t.Errorf("unavailable is %t, want %t", got, c.away)
			}
			for _, secret := range []string{secretKey, canary, "pay_key"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells %s: %v", secret, err)
				}
			}
			if name == "retry after" && a.RetryAfter != 7*time.Second {
				t.Errorf("retry after %s", a.RetryAfter)
			}
		})
	}
}

// selfSigned makes a certificate for a client.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), NotBefore: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientCertificateAndProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{idle: true})
	var seen atomic.Int64
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 1 {
			seen.Add(1)
		}
		rw.WriteHeader(404)
		fmt.Fprint(rw, `{"code":"NOT_FOUND_PAYMENT"}`)
	}))
	gateway.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	gateway.StartTLS()
	t.Cleanup(gateway.Close)
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		rw.WriteHeader(http.StatusBadGateway) // it has been asked: that is what is tested
	}))
	t.Cleanup(proxy.Close)
	pair := selfSigned(t)
	roots := x509.NewCertPool()
	roots.AddCert(gateway.Certificate())
	desk := func(more func(*toss.Config)) *toss.Desk {
		c := toss.Config{SecretKey: secretKey, ClientKey: clientKey, APIBase: gateway.URL, SDKURL: w.toss.URL, Certificate: &pair, Roots: roots,
			Applier: w.nodes[0].store, Viewer: w.nodes[0].store, DepositSecret: source.TossDepositSecret,
			Record: func(context.Context, hook.Delivery, hook.Identity) (hook.Receipt, error) { return hook.Receipt{}, nil }}
		more(&c)
		d, err := toss.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	w.product("meetup", 15000, 1, false)
	w.visit("meetup")
	w.change(`UPDATE orders SET state = 'authorized', asked_at = NULL`)
	if _, err := desk(func(*toss.Config) {}).Reconcile(t.Context()); err != nil || seen.Load() != 1 {
		t.Errorf("certificate shown %d times: %v", seen.Load(), err)
	}
	w.change(`UPDATE orders SET asked_at = NULL`)
	r, err := desk(func(c *toss.Config) { c.Proxy = proxy.URL }).Reconcile(t.Context())
	if err != nil || proxied.Load() == 0 || r.Failed != 1 {
		t.Errorf("proxy asked %d times: %+v %v", proxied.Load(), r, err)
	}
}

func TestNewRefusesDangerousSettings(t *testing.T) {
	t.Parallel()
	good := toss.Config{SecretKey: secretKey, ClientKey: clientKey}
	for name, c := range map[string]struct {
		change func(*toss.Config)
		want   string
	}{
		"fine":                     {func(*toss.Config) {}, ""},
		"no secret key":            {func(c *toss.Config) { c.SecretKey = "" }, "secret key"},
		"a client key as secret":   {func(c *toss.Config) { c.SecretKey = clientKey }, "secret key"},
		"no client key":            {func(c *toss.Config) { c.ClientKey = "" }, "client key"},
		"a secret key on the page": {func(c *toss.Config) { c.ClientKey = secretKey }, "never reach a page"},
		"keys of two pairs":        {func(c *toss.Config) { c.ClientKey = "test_ck_abc" }, "one pair"},
		"test and live":            {func(c *toss.Config) { c.ClientKey = "live_gck_abc" }, "one pair"},
		"live key, other API": {func(c *toss.Config) {
			c.SecretKey, c.ClientKey, c.APIBase = "live_gsk_a", "live_gck_a", "http://127.0.0.1:1"
		}, "live key"},
		"live key, other script": {func(c *toss.Config) {
			c.SecretKey, c.ClientKey, c.SDKURL = "live_gsk_a", "live_gck_a", "http://127.0.0.1:1"
		}, "live key"},
		"live key at Toss":           {func(c *toss.Config) { c.SecretKey, c.ClientKey = "live_gsk_a", "live_gck_a" }, ""},
		"origins without an address": {func(c *toss.Config) { c.Origins = []string{"https://shop.example"} }, "public URL"},
		"an origin with a path":      {func(c *toss.Config) { c.PublicURL, c.Origins = "https://p.example", []string{"https://shop.example/x"} }, "origin"},
		"public URL with a path":     {func(c *toss.Config) { c.PublicURL = "https://p.example/x" }, "public URL"},
		"negative time":              {func(c *toss.Config) { c.Hold = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := good
			c.change(&conf)
			err := conf.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case err != nil && strings.Contains(err.Error(), "hookkeepertests"):
				t.Errorf("the error tells a key: %v", err)
			}
		})
	}
	if _, err := toss.New(good); err == nil || !strings.Contains(err.Error(), "no store") || !strings.Contains(err.Error(), "no Record") {
		t.Errorf("without a store: %v", err)
	}
}
