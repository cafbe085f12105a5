//go:build hktest

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

const (
	price     = 15000
	seats     = 10
	partOf    = 5000 // of the price, given back by an operator
	shortHold = 1500 * time.Millisecond
	tossPair  = "test_ck_aBcDeFgHiJkLmNoPqRsTuVwX" // belongs to tossAPIKey

	reasonPart  = "part of it"
	reasonWhole = "all of it"
)

// promise is a refund that an operator was told is on its way.
type promise struct{ order, reason string }

// shop is a checkout on a few nodes, with its Toss. Toss lives on; the nodes are
// killed and come back.
type shop struct {
	sim    *tosstest.Sim
	client *http.Client
	tills  []*till
	clock  clock // of the nodes

	deaf     atomic.Bool // no event of money given back arrives
	mu       sync.Mutex
	promised map[promise]bool // guarded by mu
}

// till is one node. Its sockets outlive its processes, so nobody else gets its
// addresses while it is away; who connects then waits, as behind a proxy.
type till struct {
	options          options
	public, operator string
	server           *server
}

// openShop opens a shop of so many nodes, all on the database that o names.
func openShop(t *testing.T, nodes int, o options) *shop {
	t.Helper()
	s := &shop{clock: newClock(t), promised: map[promise]bool{}, client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.sim = tosstest.New(tosstest.Options{SecretKey: tossAPIKey, DeliveryTimeout: 5 * time.Second, Receiver: s.proxy()})
	toss := httptest.NewServer(s.sim)
	t.Cleanup(func() { s.sim.Close(); toss.Close() })
	env := s.clock.env()
	env["TOSS_CLIENT_KEY"], env["TOSS_API_BASE"], env["TOSS_SDK_URL"] = tossPair, toss.URL, toss.URL+"/v2/standard"
	for name, value := range o.env {
		env[name] = value
	}
	o.env, o.level = env, "info"
	o.work = fmt.Sprintf("{backoff: {base: 20ms, max: 1s}, lease: 2s, limit: 20s}\ncheckout: {hold: %s}", shortHold)
	for range nodes {
		public, to := socket(t)
		operator, operatorTo := socket(t)
		o.sockets = []*os.File{public, operator}
		n := &till{options: o, public: to, operator: operatorTo}
		s.tills = append(s.tills, n)
		n.open(t)
	}
	status, _, text := s.operate(t.Context(), http.MethodPost, "products",
		fmt.Sprintf(`{"id": "meetup", "name": "모임", "price": %d, "seats": %d}`, price, seats))
	if status != http.StatusOK {
		t.Fatalf("the product is answered %d %s", status, text)
	}
	return s
}

// open starts the node's next process and waits until it serves.
func (n *till) open(t *testing.T) {
	t.Helper()
	n.server = launch(t, n.options)
	n.server.awaitReady(t)
}

// proxy takes Toss's deliveries to one node or another. While it is deaf those of
// money given back go nowhere, and Toss believes that they have arrived.
func (s *shop) proxy() http.Handler {
	to := &httputil.ReverseProxy{
		Transport: s.client.Transport, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: s.some().public, Path: "/hooks/toss"}
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || s.deaf.Load() && strings.Contains(string(body), `CANCELED"`) {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		to.ServeHTTP(w, r)
	})
}

func (s *shop) some() *till { return s.tills[rand.IntN(len(s.tills))] }

// ask calls one node or another until one of them answers: buyers reload, and a
// proxy tries elsewhere. Status 0 means that the time was over.
func (s *shop) ask(ctx context.Context, method, path, body string, header ...string) (status int, to string, text []byte) {
	for {
		n := s.some()
		host := n.public
		if strings.HasPrefix(path, "/api/") {
			host = n.operator
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, strings.NewReader(body))
		if err != nil {
			return 0, "", nil
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := s.client.Do(req)
		if err == nil {
			text, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return resp.StatusCode, resp.Header.Get("Location"), text
		}
		if !pause(ctx, 100*time.Millisecond) {
			return 0, "", nil
		}
	}
}

// pause waits, and reports whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// operate calls the operators' API.
func (s *shop) operate(ctx context.Context, method, path, body string) (status int, to string, text []byte) {
	return s.ask(ctx, method, "/api/v1/"+path, body, "Authorization", "Bearer "+operatorToken)
}

// buyer is a person with a browser, and whoever helps or troubles them.
type buyer struct {
	*shop
	ctx  context.Context
	dice *rand.Rand // of the buyer's own goroutine
	from string     // address, as a proxy names it
	cid  string
}

// come sends a buyer, who takes a seat or does not, pays or does not, comes back
// soon or late, once or twice, and may want the money back at the same moment.
func (s *shop) come(ctx context.Context, i int) {
	b := &buyer{shop: s, ctx: ctx, dice: rand.New(rand.NewPCG(uint64(i), 6)), from: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
	b.think(6 * time.Second)
	order := b.begin()
	code := b.prepare(order)
	if order == "" || code != "" && i%10 != 0 {
		return // one in ten has a page that pays all the same
	}
	key, back := b.pay(order)
	if key == "" {
		return
	}
	b.think(2 * shortHold)
	var all sync.WaitGroup
	all.Go(func() { b.land(back) })
	all.Go(func() { b.land(back) })
	if i%3 == 0 {
		all.Go(func() { b.again(order) })
	}
	if i%4 == 0 {
		all.Go(func() { b.forge(key) })
	}
	switch i % 6 {
	case 0:
		all.Go(func() { _, _ = b.sim.Capture(key) }) // behind our back; fails where it is captured already
	case 1, 2, 3:
		if !pause(ctx, 3*time.Second) { // when no event makes anybody ask any more
			return
		}
		for range 2 { // a double click
			all.Go(func() { b.insist(func() bool { return b.refund(order, partOf, reasonPart) }) })
		}
	case 4:
		all.Go(func() { b.insist(func() bool { _, err := b.sim.Refund(key, 0, "at Toss"); return err == nil }) })
	case 5:
		all.Go(func() { b.insist(func() bool { return b.refund(order, 0, reasonWhole) }) })
	}
	all.Wait()
}

func (b *buyer) think(most time.Duration) { pause(b.ctx, rand.N(most)) }

// insist tries for a while what cannot be done before the money is there.
func (b *buyer) insist(do func() bool) {
	for range 30 {
		if do() || !pause(b.ctx, 50*time.Millisecond) {
			return
		}
	}
}

// begin opens the product's page and gives the first order.
func (b *buyer) begin() (order string) {
	_, to, _ := b.ask(b.ctx, http.MethodGet, "/checkout/p/meetup", "", "X-Forwarded-For", b.from)
	b.cid = strings.TrimPrefix(to, "/checkout/")
	_, _, text := b.ask(b.ctx, http.MethodGet, to+"/boot", "")
	var boot struct{ Order struct{ OrderID string } }
	_ = json.Unmarshal(text, &boot) // no order: the buyer goes
	return boot.Order.OrderID
}

// prepare presses pay: empty, or the code of the refusal.
func (b *buyer) prepare(order string) string {
	status, _, text := b.ask(b.ctx, http.MethodPost, "/checkout/"+b.cid+"/orders/"+order+"/prepare", "{}")
	var answer struct{ Code string }
	if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK && answer.Code == "" {
		return fmt.Sprint(status)
	}
	return answer.Code
}

// pay approves in the payment window; the buyer is not back yet.
func (b *buyer) pay(order string) (key, back string) {
	page := "http://shop.example/checkout/" + b.cid
	key, back, err := b.sim.Pay(tosstest.Order{OrderID: order, OrderName: "모임", Amount: tosstest.Amount{Value: price},
		CustomerKey: "ANONYMOUS", SuccessURL: page + "/success", FailURL: page + "/fail"})
	if err != nil {
		return "", ""
	}
	return key, back
}

// land comes back from the payment window.
func (b *buyer) land(back string) {
	if u, err := url.Parse(back); err == nil {
		b.ask(b.ctx, http.MethodGet, u.RequestURI(), "")
	}
}

// again is a page that was lost: it takes another order and pays that, too.
func (b *buyer) again(old string) {
	body := fmt.Sprintf(`{"supersedes": %q, "reason": "request", "gen": 2}`, old)
	_, _, text := b.ask(b.ctx, http.MethodPost, "/checkout/"+b.cid+"/orders", body, "Idempotency-Key", b.cid+":2:x")
	var answer struct{ OrderID string }
	if json.Unmarshal(text, &answer) != nil || answer.OrderID == "" || b.prepare(answer.OrderID) != "" {
		return
	}
	if _, back := b.pay(answer.OrderID); back != "" {
		b.land(back)
	}
}

// forge sends what somebody might who knows order and payment key.
func (b *buyer) forge(key string) {
	for _, status := range []string{tosstest.StatusDone, tosstest.StatusCanceled, tosstest.StatusAborted} {
		_ = b.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: status}) // the payment exists
	}
}

// refund orders money back as an operator, and notes that it was promised.
func (b *buyer) refund(order string, amount int, reason string) bool {
	status, _, _ := b.operate(b.ctx, http.MethodPost, "orders/"+order+"/refund",
		fmt.Sprintf(`{"key": "asked", "amount": %d, "reason": %q}`, amount, reason))
	if status != http.StatusOK {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promised[promise{order, reason}] = true
	return true
}
