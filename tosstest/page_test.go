package tosstest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

// send makes a request without following redirects.
func (b *bench) send(method, path, body string, headers ...string) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res, string(text)
}

const opening = `{"orderId":"order-1","orderName":"A-11","amount":{"currency":"KRW","value":15000},
	"successUrl":"http://127.0.0.1:1/ok","failUrl":"http://127.0.0.1:1/fail?a=b","method":"CARD","customerKey":"@@ANONYMOUS"}`

// opened makes a payment as the script does.
func (b *bench) opened() string {
	b.Helper()
	res, body := b.send("POST", "/sdk/payments", opening, "Content-Type", "application/json", "Origin", "http://shop.example")
	var said struct{ PaymentKey, URL string }
	if err := json.Unmarshal([]byte(body), &said); err != nil || said.URL != "/pay/"+said.PaymentKey {
		b.Fatalf("open: %d %s", res.StatusCode, body)
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "*" {
		b.Error("a shop's page may not read the answer")
	}
	return said.PaymentKey
}

func TestWindowSendsTheBuyerBack(t *testing.T) {
	for how, want := range map[string]map[string]string{
		"authorize": {"paymentType": "NORMAL", "orderId": "order-1", "amount": "15000"},
		"reject":    {"a": "b", "code": "REJECT_CARD_COMPANY", "orderId": "order-1"},
		"abort":     {"a": "b", "code": "PAY_PROCESS_ABORTED", "orderId": "order-1"},
		"cancel":    {"a": "b", "code": "PAY_PROCESS_CANCELED", "orderId": ""},
	} {
		b := start(t, tosstest.Options{})
		key := b.opened()
		if res, _ := b.send("GET", "/pay/"+key+"/"+how, ""); res.StatusCode == http.StatusFound {
			t.Errorf("%s by GET is taken", how)
		}
		res, body := b.send("POST", "/pay/"+key+"/"+how, "")
		to, err := url.Parse(res.Header.Get("Location"))
		if res.StatusCode != http.StatusFound || err != nil {
			t.Errorf("%s: %d, %v, %s", how, res.StatusCode, err, body)
			continue
		}
		for name, value := range want {
			if got := to.Query().Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", how, name, got, value)
			}
		}
		path, status := "/fail", "READY"
		if how == "authorize" {
			path, status = "/ok", "IN_PROGRESS"
		}
		if p, _ := b.sim.Payment(key); to.Path != path || p.Status != status {
			t.Errorf("%s: sent to %s, the payment is %s", how, to, p.Status)
		}
		if how == "authorize" {
			if res, _ := b.send("POST", "/pay/"+key+"/authorize", ""); res.StatusCode != http.StatusConflict {
				t.Errorf("approved twice: %d", res.StatusCode)
			}
		}
	}
	b := start(t, tosstest.Options{PayByGET: true})
	if res, _ := b.send("GET", "/pay/"+b.opened()+"/authorize", ""); res.StatusCode != http.StatusFound {
		t.Errorf("by GET, as the option allows: %d", res.StatusCode)
	}
}

func TestWindowSpeaksBothLanguages(t *testing.T) {
	b := start(t, tosstest.Options{})
	key := b.opened()
	for wish, words := range map[string][]string{
		"ko-KR": {`lang="ko"`, "모의 결제창", "15,000 KRW"}, "en-US": {`lang="en"`, "Sandbox payment window", "15,000 KRW"},
	} {
		res, page := b.send("GET", "/pay/"+key, "", "Accept-Language", wish)
		for _, word := range words {
			if !strings.Contains(page, word) {
				t.Errorf("%s: no %q in %s", wish, word, page)
			}
		}
		if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: %s", wish, got)
		}
	}
	if _, err := b.sim.Expire(key); err != nil {
		t.Fatal(err)
	}
	if _, page := b.send("GET", "/pay/"+key, ""); !strings.Contains(page, `role="alert"`) || strings.Contains(page, `id="authorize"`) {
		t.Errorf("an expired payment can still be approved: %s", page)
	}
	res, _ := b.send("GET", "/v1/payments/"+key+"/checkout", "")
	if got := res.Header.Get("Location"); got != "/pay/"+key {
		t.Errorf("the link in checkout leads to %q", got)
	}
	if res, _ := b.send("GET", "/pay/tsim_no", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown payment: %d", res.StatusCode)
	}
}

func TestOrdersMustMakeSense(t *testing.T) {
	b := start(t, tosstest.Options{})
	for old, wrong := range map[string][2]string{
		`"order-1"`: {`"o"`, "INVALID_ORDER_ID"}, `"A-11"`: {`""`, "INVALID_ORDER_NAME"}, "15000": {"0", "INVALID_AMOUNT_VALUE"},
		`"value":15000`: {`"value":-1`, "BELOW_ZERO_AMOUNT"}, `"KRW"`: {`"WON!"`, "INVALID_AMOUNT_CURRENCY"},
		`"CARD"`: {`"BARTER"`, "NOT_SUPPORTED_METHOD"}, "http://127.0.0.1:1/ok": {"/ok", "INCORRECT_SUCCESS_URL_FORMAT"},
		"http://127.0.0.1:1/fail?a=b": {"javascript:alert(1)", "INCORRECT_FAIL_URL_FORMAT"}, `{"orderId"`: {`"`, "INVALID_PARAMETERS"},
	} {
		res, body := b.send("POST", "/sdk/payments", strings.Replace(opening, old, wrong[0], 1))
		if !strings.Contains(body, `"`+wrong[1]+`"`) || res.StatusCode != 400 {
			t.Errorf("%s instead of %s: %d %s, want %s", wrong[0], old, res.StatusCode, body, wrong[1])
		}
	}
	if n := len(b.sim.Payments()); n != 0 {
		t.Errorf("%d payments were made", n)
	}
}

func TestFramesTellTheirParentOnly(t *testing.T) {
	b := start(t, tosstest.Options{})
	_, page := b.send("GET", "/sdk/frame?k=methods&id=hk-1&parent="+url.QueryEscape("http://127.0.0.1:8080/deep/path"), "")
	if !strings.Contains(page, `to = "http://127.0.0.1:8080"`) && !strings.Contains(page, `to = "http:\/\/127.0.0.1:8080"`) || !strings.Contains(page, "VIRTUAL_ACCOUNT") {
		t.Errorf("methods: %s", page)
	}
	_, page = b.send("GET", "/sdk/frame?k=agreement&id=%22%3Balert(1)&parent=http://x.example", "")
	if !strings.Contains(page, `type="checkbox"`) || strings.Contains(page, `= "";alert`) {
		t.Errorf("agreement: %s", page)
	}
	for _, path := range []string{"k=methods&id=1", "k=other&id=1&parent=http://x", "k=methods&id=1&parent=http://x&missing=1"} {
		if res, _ := b.send("GET", "/sdk/frame?"+path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestOperationFaults: what the script is told, once, then all is well.
func TestOperationFaults(t *testing.T) {
	b := start(t, tosstest.Options{})
	ask := func(op string) (v struct {
		Action, Code, Message, Hang string
		MS                          int
	}) {
		t.Helper()
		_, body := b.send("POST", "/sdk/ops/"+op, `{"orderId":"order-1"}`)
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatalf("%s: %s", op, body)
		}
		return v
	}
	for _, op := range []string{"setAmount", "renderPaymentMethods", "renderAgreement", "requestPayment", "destroy"} {
		if err := b.sim.Fault(op, tosstest.Fault{Action: "reject", Code: "UNKNOWN"}, tosstest.Fault{Action: "ok", MS: 7}); err != nil {
			t.Fatal(err)
		}
		if v := ask(op); v.Action != "reject" || v.Code != "UNKNOWN" || v.Message == "" {
			t.Errorf("%s: %+v", op, v)
		}
		if v := ask(op); v.Action != "ok" || v.MS != 7 {
			t.Errorf("%s, slow: %+v", op, v)
		}
		if v := ask(op); v.Action != "ok" || v.Code != "" || v.MS != 0 {
			t.Errorf("%s, afterwards: %+v", op, v)
		}
	}
	if err := b.sim.Fault("requestPayment", tosstest.Fault{Action: "hang"}); err != nil {
		t.Fatal(err)
	}
	id := ask("requestPayment").Hang
	if _, body := b.send("POST", "/sdk/hung/"+id, ""); id == "" || body != `{"hangs":true}` || b.sim.Hung() != 1 {
		t.Errorf("%q hangs: %s, %d", id, body, b.sim.Hung())
	}
	b.sim.ReleaseHung()
	if _, body := b.send("POST", "/sdk/hung/"+id, ""); body != `{"hangs":false}` || b.sim.Hung() != 0 {
		t.Errorf("%q is released: %s", id, body)
	}
	if res, _ := b.send("POST", "/sdk/ops/other", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown operation: %d", res.StatusCode)
	}
	if res, _ := b.send("OPTIONS", "/sdk/ops/destroy", ""); res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	if ops := b.sim.Ops(); len(ops) != 16 || ops[0].OrderID != "order-1" {
		t.Errorf("%d operations, the first %+v", len(ops), ops[0])
	}
}

func TestControl(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	must := func(method, path, body string, status int) string {
		t.Helper()
		res, text := b.send(method, path, body, "Sec-Fetch-Site", "same-origin")
		if res.StatusCode != status {
			t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, status)
		}
		return text
	}
	account := strings.Replace(opening, `"CARD"`, `"VIRTUAL_ACCOUNT"`, 1)
	var made struct{ PaymentKey, SuccessURL string }
	if err := json.Unmarshal([]byte(must("POST", "/__sim/payments?authorize", account, 200)), &made); err != nil || !strings.Contains(made.SuccessURL, made.PaymentKey) {
		t.Fatalf("%+v, %v", made, err)
	}
	at := "/__sim/payments/" + made.PaymentKey
	for _, step := range [][3]string{
		{"capture", "", "WAITING_FOR_DEPOSIT"}, {"deposit", "", "DONE"}, {"depositError", "", "WAITING_FOR_DEPOSIT"}, {"deposit", "{}", "DONE"},
		{"refund", `{"amount":100}`, "PARTIAL_CANCELED"}, {"refund", `{"reason":"x"}`, "CANCELED"}, {"forceStatus", `{"status":"DONE"}`, "DONE"},
	} {
		if p := parse(t, must("POST", at+"/"+step[0], step[1], 200)); p["status"] != step[2] {
			t.Errorf("%s: %v, want %s", step[0], p["status"], step[2])
		}
	}
	if p := parse(t, must("GET", at, "", 200)); p["paymentKey"] != made.PaymentKey {
		t.Errorf("payment: %v", p)
	}
	must("POST", at+"/deposit", "", 400)
	must("POST", at+"/forceStatus", `{"status":"PAID"}`, 400)
	must("POST", at+"/eat", "", 400)
	must("POST", at+"/refund", `{"amuont":1}`, 400)
	must("POST", "/__sim/payments/tsim_no/deposit", "", 404)
	must("GET", "/__sim/payments/tsim_no", "", 404)
	in.all(b)
	must("POST", "/__sim/webhooks", `{"paymentKey":"`+made.PaymentKey+`","eventType":"PAYMENT_STATUS_CHANGED","status":"EXPIRED","times":2}`, 200)
	if got := in.states(b); !strings.HasSuffix(got, "PAYMENT:EXPIRED PAYMENT:EXPIRED") {
		t.Errorf("delivered %s", got)
	}
	must("POST", "/__sim/webhooks", `{"paymentKey":"no"}`, 400)
	if n := strings.Count(must("GET", "/__sim/webhooks", "", 200), `"retried"`); n != len(in.all(b)) {
		t.Errorf("%d attempts are told of, %d came", n, len(in.all(b)))
	}
	must("PUT", "/__sim/faults", `{"script":[{"action":"status","status":404},{"action":"hang"}],"confirm":[{"action":"timeoutAfterCommit"}]}`, 200)
	if left := b.sim.Faults(); len(left["script"]) != 2 || len(left["confirm"]) != 1 {
		t.Errorf("ordered: %v", left)
	}
	must("PUT", "/__sim/faults", `{"script":[{"action":"burn"}]}`, 400)
	must("DELETE", "/__sim/faults", "", 200)
	if left := parse(t, must("GET", "/__sim/faults", "", 200))["faults"].(map[string]any); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	before := b.sim.Now()
	must("POST", "/__sim/clock", `{"advance":"11m"}`, 200)
	if d := b.sim.Now().Sub(before); d != 11*time.Minute {
		t.Errorf("the clock moved %v", d)
	}
	for _, wrong := range []string{`{"advance":"-1m"}`, `{"advance":"soon"}`, `{}`, `{"advance":"9000h"}`} {
		must("POST", "/__sim/clock", wrong, 400)
	}
	must("POST", "/__sim/release", "", 200)
	must("POST", "/__sim/reset", "", 200)
	if len(b.sim.Payments())+len(b.sim.Deliveries())+len(b.sim.Ops())+len(b.sim.Calls()) != 0 || must("GET", "/__sim/payments", "", 200) != "[]" {
		t.Error("something is left after a reset")
	}
	if res, _ := b.send("POST", "/__sim/reset", "", "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another site resets it: %d", res.StatusCode)
	}
}

// TestNoKeyIsEverShown: not in a page, a log, an answer or a delivery.
func TestNoKeyIsEverShown(t *testing.T) {
	const secret = "test_gsk_averysecretkey"
	security := securityKey("c")
	var said strings.Builder
	in := &inbox{}
	b := start(t, tosstest.Options{SecretKey: secret, SecurityKeys: []string{security}, Receiver: in, Sign: tosstest.SignAll})
	b.key = secret
	key := b.opened()
	if _, err := b.sim.Authorize(key); err != nil {
		t.Fatal(err)
	}
	said.WriteString(b.confirm(key, "order-1", 15000, "Idempotency-Key", "a").body)
	b.key = "test_gsk_wrong"
	said.WriteString(b.confirm(key, "order-1", 15000).body)
	in.all(b)
	for _, path := range []string{"/", "/pay/" + key, "/receipt/" + key, "/v2/standard", "/sdk/frame?k=methods&id=1&parent=http://x",
		"/__sim/faults", "/__sim/payments", "/__sim/webhooks", "/__sim/clock"} {
		res, body := b.send("GET", path, "")
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		said.WriteString(body)
	}
	for _, d := range in.all(b) {
		said.Write(d.body)
	}
	if text := said.String(); len(text) < 5000 || strings.Contains(text, "averysecretkey") || strings.Contains(text, security) {
		t.Errorf("a key is shown, or too little was looked at (%d bytes)", len(text))
	}
}

func TestConsoleHasAButtonForWhatCanHappen(t *testing.T) {
	b := start(t, tosstest.Options{WebhookURL: "http://127.0.0.1:1/hooks/toss"})
	key := b.in("VIRTUAL_ACCOUNT", "WAITING_FOR_DEPOSIT")
	for wish, word := range map[string]string{"ko": "입금", "en": "Deposit"} {
		_, page := b.send("GET", "/", "", "Accept-Language", wish)
		if !strings.Contains(page, "/__sim/payments/"+key+"/deposit") || !strings.Contains(page, word) || !strings.Contains(page, "127.0.0.1:1/hooks/toss") {
			t.Errorf("%s: %s", wish, page)
		}
		if strings.Contains(page, "/depositError") {
			t.Errorf("%s: offers what cannot happen", wish)
		}
	}
}

func TestOptionsMustMakeSense(t *testing.T) {
	for what, o := range map[string]tosstest.Options{
		"security key": {SecurityKeys: []string{"abc"}}, "key encoding": {KeyEncoding: "base64"}, "sign x": {Sign: "x"}, "sign all": {Sign: "all"},
		"webhook": {WebhookURL: "127.0.0.1:8080"}, "time scale": {TimeScale: -2}, "rate limit": {RateLimit: -1}, "event": {Events: []string{"X"}},
		"codes": {Codes: map[string]string{"x": "Y"}},
	} {
		err := o.Validate()
		if err == nil || !strings.Contains(err.Error(), strings.Fields(what)[0]) {
			t.Errorf("%s: %v", what, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: New made a simulator of it", what)
				}
			}()
			tosstest.New(o)
		}()
	}
}

// TestClockRunsByItself: without Advance, at a thousand times the speed.
func TestClockRunsByItself(t *testing.T) {
	got := make(chan struct{}, 10)
	sim := tosstest.New(tosstest.Options{TimeScale: 100_000, Receiver: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} })})
	defer sim.Close()
	p, err := sim.Open(order("order-1", 1000))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Fatal("half an hour did not pass")
	}
	if p, _ := sim.Payment(p.PaymentKey); p.Status != "EXPIRED" {
		t.Errorf("it is %s", p.Status)
	}
}
