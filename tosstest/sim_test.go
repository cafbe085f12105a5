package tosstest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

// start serves a simulator whose clock stands.
func start(t *testing.T, o tosstest.Options) *bench {
	t.Helper()
	if o.TimeScale == 0 {
		o.TimeScale = -1
	}
	sim := tosstest.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); server.Close() })
	return &bench{T: t, sim: sim, url: server.URL, key: "test_gsk_x"}
}

type bench struct {
	*testing.T
	sim *tosstest.Sim
	url string
	key string
}

// answer is what the API said.
type answer struct {
	status int
	body   string
	tosstest.Payment
	Code    string
	Message string
}

// call asks the core API; headers are pairs.
func (b *bench) call(method, path string, body any, headers ...string) (answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(b.key+":")))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, body: string(text)}
	if strings.HasPrefix(a.body, "{") {
		if err := json.Unmarshal(text, &a); err != nil {
			b.Errorf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return a, nil
}

// must is call where an answer is due.
func (b *bench) must(method, path string, body any, headers ...string) answer {
	b.Helper()
	a, err := b.call(method, path, body, headers...)
	if err != nil {
		b.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (b *bench) confirm(key, order string, amount any, headers ...string) answer {
	b.Helper()
	return b.must("POST", "/v1/payments/confirm", map[string]any{"paymentKey": key, "orderId": order, "amount": amount}, headers...)
}

func order(id string, amount int64) tosstest.Order {
	return tosstest.Order{OrderID: id, OrderName: "A-11", Amount: tosstest.Amount{Value: amount},
		SuccessURL: "http://127.0.0.1:1/ok?a=b", FailURL: "http://127.0.0.1:1/fail"}
}

// paid gives a payment whose buyer has approved.
func (b *bench) paid(o tosstest.Order) string {
	b.Helper()
	key, _, err := b.sim.Pay(o)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

// inbox is a receiver of deliveries.
type inbox struct {
	mu     sync.Mutex
	got    []delivered
	answer func(n int) int // status for the nth delivery, from 1; nil: 200
}

type delivered struct {
	header http.Header
	body   []byte
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	in.got = append(in.got, delivered{r.Header.Clone(), body})
	n, status := len(in.got), http.StatusOK
	in.mu.Unlock()
	if in.answer != nil {
		status = in.answer(n)
	}
	w.WriteHeader(status)
}

// all gives what came, once nothing is on its way.
func (in *inbox) all(b *bench) []delivered {
	b.Helper()
	if err := b.sim.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]delivered(nil), in.got...)
}

// states gives type and status of what came, in order.
func (in *inbox) states(b *bench) string {
	b.Helper()
	var all []string
	for _, d := range in.all(b) {
		var v struct {
			EventType, Status string
			Data              struct{ Status string }
		}
		if err := json.Unmarshal(d.body, &v); err != nil {
			all = append(all, "unreadable")
			continue
		}
		if v.EventType == "" {
			v.EventType = "DEPOSIT"
		}
		all = append(all, strings.TrimSuffix(v.EventType, "_STATUS_CHANGED")+":"+v.Status+v.Data.Status)
	}
	return strings.Join(all, " ")
}

func TestCardIsPaidConfirmedAndCancelledInParts(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	key, to, err := b.sim.Pay(order("order-1", 15000))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("a") != "b" || q.Get("paymentKey") != key || q.Get("orderId") != "order-1" ||
		q.Get("amount") != "15000" || q.Get("paymentType") != "NORMAL" || !strings.HasPrefix(key, "tsim_") {
		t.Errorf("the buyer is sent to %s", to)
	}
	done := b.confirm(key, "order-1", 15000)
	if done.status != 200 || done.Status != "DONE" || done.SuppliedAmount != 13636 || done.VAT != 1364 || *done.Method != "카드" {
		t.Errorf("confirm: %d %s", done.status, done.body)
	}
	part := b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "why", "cancelAmount": 4900})
	if part.status != 200 || part.Status != "PARTIAL_CANCELED" || part.BalanceAmount != 10100 || len(part.Cancels) != 1 {
		t.Errorf("cancel in part: %d %s", part.status, part.body)
	}
	whole := b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "why"})
	if whole.status != 200 || whole.Status != "CANCELED" || whole.BalanceAmount != 0 || whole.Cancels[1].CancelAmount != 10100 ||
		whole.Cancels[1].TransactionKey != *whole.LastTransactionKey {
		t.Errorf("cancel the rest: %d %s", whole.status, whole.body)
	}
	byKey, byOrder := b.must("GET", "/v1/payments/"+key, nil), b.must("GET", "/v1/payments/orders/order-1", nil)
	if byKey.body != whole.body || byOrder.body != whole.body {
		t.Errorf("the payment reads\n%s\nby order\n%s\nwant\n%s", byKey.body, byOrder.body, whole.body)
	}
	if got, want := in.states(b), "PAYMENT:DONE PAYMENT:PARTIAL_CANCELED PAYMENT:CANCELED"; got != want {
		t.Errorf("delivered %s, want %s", got, want)
	}
}

func TestManyBuyersAtOnce(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	const buyers = 200
	var wg sync.WaitGroup
	for i := range buyers {
		wg.Go(func() {
			id := fmt.Sprintf("order-%d", i)
			key, _, err := b.sim.Pay(order(id, 1000))
			if err != nil {
				t.Error(err)
				return
			}
			var same sync.WaitGroup
			for range 3 {
				same.Go(func() {
					_, err := b.call("POST", "/v1/payments/confirm", map[string]any{"paymentKey": key, "orderId": id, "amount": 1000})
					if err != nil {
						t.Error(err)
					}
				})
			}
			same.Wait()
			if i%2 == 0 {
				_, _ = b.call("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "late"})
			}
		})
	}
	wg.Wait()
	changed := map[string]int{}
	for _, c := range b.sim.Calls() {
		if c.Changed {
			changed[c.API]++
		}
	}
	if changed["confirm"] != buyers || changed["cancel"] != buyers/2 {
		t.Errorf("accepted: %v", changed)
	}
	if n := len(in.all(b)); n != buyers+buyers/2 {
		t.Errorf("%d deliveries, want %d", n, buyers+buyers/2)
	}
}

func TestClockEndsPayments(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	idle, err := b.sim.Open(order("idle-1", 1000))
	if err != nil {
		t.Fatal(err)
	}
	key := b.paid(order("order-1", 1000))
	b.sim.Advance(10*time.Minute - time.Second)
	if p, _ := b.sim.Payment(key); p.Status != "IN_PROGRESS" {
		t.Errorf("before its time: %s", p.Status)
	}
	b.sim.Advance(time.Second)
	if p, _ := b.sim.Payment(key); p.Status != "EXPIRED" || p.Failure.Code != "EXPIRED_PAYMENT" || p.Method != nil {
		t.Errorf("after ten minutes: %s %v", p.Status, p.Failure)
	}
	if a := b.confirm(key, "order-1", 1000); a.status != 404 || a.Code != "NOT_FOUND_PAYMENT_SESSION" {
		t.Errorf("confirm too late: %s", a.body)
	}
	late := order("order-2", 1000)
	kept, err := b.sim.Open(late)
	if err != nil {
		t.Fatal(err)
	}
	b.sim.Advance(20*time.Minute - time.Second)
	if p, _ := b.sim.Payment(idle.PaymentKey); p.Status != "READY" {
		t.Errorf("never authenticated, before 30 minutes: %s", p.Status)
	}
	b.sim.Advance(time.Second)
	if _, err := b.sim.Authorize(kept.PaymentKey); err != nil { // 20 minutes old
		t.Fatal(err)
	}
	b.sim.Advance(9 * time.Minute)
	b.confirm(kept.PaymentKey, "order-2", 1000)
	b.sim.Advance(time.Hour)
	if p, _ := b.sim.Payment(kept.PaymentKey); p.Status != "DONE" {
		t.Errorf("confirmed in time: %s", p.Status)
	}
	if p, _ := b.sim.Payment(idle.PaymentKey); p.Status != "EXPIRED" {
		t.Errorf("never authenticated, after 30 minutes: %s", p.Status)
	}
	if got, want := in.states(b), "PAYMENT:EXPIRED PAYMENT:EXPIRED PAYMENT:DONE"; got != want {
		t.Errorf("delivered %s, want %s", got, want)
	}
}
