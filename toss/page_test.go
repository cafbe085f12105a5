package toss_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

// ask sends one request without following redirects.
func (w *world) ask(method, address string, headers ...string) (*http.Response, string) {
	w.Helper()
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("{}")
	}
	r, err := http.NewRequest(method, address, body)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp, string(text)
}

func TestPagesAreClosedToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	w.product("meetup", 15000, 10, false)
	b := w.visit("meetup")
	base := b.n.public.URL
	for _, path := range []string{"/checkout/" + b.cid, "/checkout/" + b.cid + "/receipt", "/checkout/" + b.cid + "/fail?code=X", "/checkout/ck_nobody"} {
		resp, page := w.ask("GET", base+path)
		csp := resp.Header.Get("Content-Security-Policy")
		for _, part := range []string{"frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "default-src 'self'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: policy %q lacks %s", path, csp, part)
			}
		}
		for header, want := range map[string]string{"Referrer-Policy": "strict-origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", path, header, got)
			}
		}
		if strings.Contains(page, secretKey) {
			t.Errorf("%s: the secret key is in the page", path)
		}
	}
	for _, path := range []string{"/checkout/", "/checkout/ck_aaaaaaaaaaaaaaaaaaaaaaaaaa", "/checkout/ck_aaaaaaaaaaaaaaaaaaaaaaaaaa/receipt",
		"/checkout/p/nothing", "/checkout/p/" + strings.Repeat("x", 100), "/checkout/assets/", "/checkout/assets/../page.go",
		"/checkout/" + strings.ToUpper(b.cid), "/checkout/" + b.cid + "/nothing"} {
		if resp, _ := w.ask("GET", base+path); resp.StatusCode != 404 && resp.StatusCode != 307 && resp.StatusCode != 301 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	// A head request, as a link's preview makes it, buys nothing.
	before := len(w.orders("meetup"))
	w.ask("HEAD", base+"/checkout/p/meetup")
	if after := len(w.orders("meetup")); after != before {
		t.Error("a preview made an order")
	}
}

func TestSuccessNeedsNoCookieAndBearsReload(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 10, false)
		b := w.visit("meetup")
		b.prepare()
		_, back := b.authorize("")
		stranger := &buyer{w: w, n: b.n, client: &http.Client{}, cid: b.cid}
		resp, _ := w.ask("GET", back)
		if to := resp.Header.Get("Location"); resp.StatusCode != 303 || to != "/checkout/"+b.cid+"/receipt" {
			t.Fatalf("success: %d %s", resp.StatusCode, to)
		}
		for range 3 {
			_, page := stranger.land(back)
			if !strings.Contains(page, `data-hk-result="paid"`) || strings.Contains(page, b.order) || strings.Contains(page, "모임 meetup") {
				t.Errorf("a stranger's receipt: %s", page)
			}
		}
		if _, page := b.land("/checkout/" + b.cid + "/receipt"); !strings.Contains(page, b.order) || !strings.Contains(page, "15,000원") {
			t.Errorf("the buyer's receipt: %s", page)
		}
		if confirms, _ := w.calls("confirm"); confirms != 1 {
			t.Errorf("%d confirms", confirms)
		}
		if resp, _ := w.ask("GET", b.n.public.URL+"/checkout/"+b.cid); resp.StatusCode != 303 {
			t.Errorf("the page of a paid purchase: %d", resp.StatusCode)
		}
		cookies := resp.Cookies()
		first, _ := w.ask("GET", b.n.public.URL+"/checkout/p/meetup")
		for _, c := range append(cookies, first.Cookies()...) {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("cookie: %+v", c)
			}
		}
		if len(first.Cookies()) != 1 {
			t.Errorf("%d cookies", len(first.Cookies()))
		}
	})
}

func TestFailPageNeedsNoOrderAndTellsNoLie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	w.product("meetup", 15000, 10, false)
	b := w.visit("meetup")
	q := url.Values{"code": {"PAY_PROCESS_CANCELED"}, "message": {`<script>alert(1)</script>` + strings.Repeat("가", 600)}}
	_, page := b.land("/checkout/" + b.cid + "/fail?" + q.Encode())
	for _, want := range []string{"결제에 실패했어요.", "결제를 취소했어요.", "청구된 금액은 없어요.", "&lt;script&gt;", "다시 결제하기"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") || strings.Count(page, "가") > 511 {
		t.Error("the message is not escaped or not cut")
	}
	_, page = b.land("/checkout/" + b.cid + "/fail?lang=en&code=NOBODY_KNOWS")
	if !strings.Contains(page, "Payment failed.") || !strings.Contains(page, `lang="en"`) {
		t.Errorf("english: %s", page)
	}
	// Once a confirm was sent nobody may say that nothing was charged.
	b.buy()
	_, page = b.land("/checkout/" + b.cid + "/fail?code=PAY_PROCESS_CANCELED")
	if strings.Contains(page, "청구된 금액은 없어요.") {
		t.Error("a paid purchase is told that nothing was charged")
	}
}

func TestElementOnOtherSites(t *testing.T) {
	t.Parallel()
	const shop = "https://shop.example"
	w := newWorld(t, engines()[0], setup{config: func(c *toss.Config) {
		c.PublicURL, c.Origins = "https://pay.example", []string{shop, "https://other.example"}
	}})
	w.product("meetup", 15000, 10, false)
	b, other := w.visit("meetup"), w.visit("meetup")
	base := b.n.public.URL + "/checkout/" + b.cid
	boot := func(from, back string) (*http.Response, map[string]any) {
		resp, text := w.ask("GET", base+"/boot?return="+url.QueryEscape(back), "Origin", from)
		var v map[string]any
		_ = json.Unmarshal([]byte(text), &v)
		return resp, v
	}
	if resp, _ := boot("https://evil.example", ""); resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign site: %d", resp.StatusCode)
	}
	for _, back := range []string{"https://evil.example/", "javascript:alert(1)", "https://shop.example.evil.example/", "https://u@shop.example/"} {
		if resp, v := boot(shop, back); resp.StatusCode != 400 || v["code"] != "RETURN_NOT_ALLOWED" {
			t.Errorf("return to %s: %d %v", back, resp.StatusCode, v["code"])
		}
	}
	resp, v := boot(shop, "https://shop.example/thanks?x=1")
	token, _ := v["token"].(string)
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != shop || token == "" || v["base"] != "https://pay.example/checkout/"+b.cid {
		t.Fatalf("boot: %d %v", resp.StatusCode, v)
	}
	if resp.Header.Get("Access-Control-Allow-Credentials") != "" || !slices.Contains(resp.Header.Values("Vary"), "Origin") {
		t.Error("credentials are allowed, or caches are not told")
	}
	prepare := base + "/orders/" + b.order + "/prepare"
	for _, c := range []struct {
		name, address, from, token string
		want                       int
	}{
		{"no token", prepare, shop, "", 403},
		{"another site with the token", prepare, "https://other.example", token, 403},
		{"the token of another purchase", b.n.public.URL + "/checkout/" + other.cid + "/orders/" + other.order + "/prepare", shop, token, 403},
		{"a site that is not allowed", prepare, "https://evil.example", token, 403},
		{"right", prepare, shop, token, 200},
	} {
		resp, _ := w.ask("POST", c.address, "Origin", c.from, "Hookkeeper-Checkout-Token", c.token, "Content-Type", "application/json",
			"Sec-Fetch-Site", "cross-site")
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d", c.name, resp.StatusCode)
		}
	}
	w.offset.Add(int64(2 * time.Hour))
	if resp, _ := w.ask("POST", prepare, "Origin", shop, "Hookkeeper-Checkout-Token", token); resp.StatusCode != 403 {
		t.Errorf("an old token: %d", resp.StatusCode)
	}
	w.offset.Store(0)
	if resp, _ := w.ask("OPTIONS", prepare, "Origin", shop, "Access-Control-Request-Method", "POST"); resp.StatusCode != 204 ||
		!strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "hookkeeper-checkout-token") {
		t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := w.ask("OPTIONS", prepare, "Origin", "https://evil.example"); resp.StatusCode != 403 {
		t.Errorf("a foreign preflight: %d", resp.StatusCode)
	}
	_, back := b.authorize("")
	if resp, _ := w.ask("GET", back); resp.Header.Get("Location") != "https://shop.example/thanks?hk_checkout="+b.cid+"&x=1" {
		t.Errorf("the way back: %s", resp.Header.Get("Location"))
	}
	// A page elsewhere that posts with the buyer's cookies, without our leave.
	if resp, _ := w.ask("POST", prepare, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("cross-site post: %d", resp.StatusCode)
	}
}

func TestCataloguesHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	holes := regexp.MustCompile(`\{[a-z]+\}`)
	shape := func(lang string) map[string][]string {
		out := map[string][]string{}
		for key, text := range all[lang] {
			if text == "" {
				t.Errorf("%s: %s is empty", lang, key)
			}
			found := holes.FindAllString(text, -1)
			slices.Sort(found)
			out[key] = found
		}
		return out
	}
	if diff := cmp.Diff(shape("ko"), shape("en")); diff != "" {
		t.Errorf("ko and en differ (-ko +en):\n%s", diff)
	}
}

func TestPriceChangeNeedsANewOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 10, false)
		b := w.visit("meetup")
		w.change(`UPDATE products SET price = 20000 WHERE id = $1`, "meetup")
		status, answer, err := b.post("/orders/"+b.order+"/prepare", map[string]any{})
		if err != nil || status != 409 || answer["code"] != "PRICE_CHANGED" || answer["amount"] != 20000.0 {
			t.Errorf("prepare: %d %v %v", status, answer, err)
		}
		old := b.order
		if _, page, err := b.get("/checkout/" + b.cid); err != nil || b.read(page) != nil || b.order == old || b.amount != 20000 {
			t.Errorf("the reloaded page: %s %d %v", b.order, b.amount, err)
		}
		if o := w.orderInfo(old); o.Amount != 15000 || o.State != toss.StateSuperseded {
			t.Errorf("the old order: %+v", o.OrderInfo)
		}
		b.buy()
		w.check("meetup")
	})
}

func TestOrdersAreIssuedOnceAndBelongToTheirPurchase(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("meetup", 15000, 1, false)
		b, other := w.visit("meetup"), w.visit("meetup")
		first := b.order
		b.again(2, "load")
		second := b.order
		b.order = first
		if b.again(2, "load"); b.order != second {
			t.Error("a repeated request made another order")
		}
		if !regexp.MustCompile(`^hk_[a-z2-7]{26}$`).MatchString(second) || second == first {
			t.Errorf("order id %q", second)
		}
		if o := w.orderInfo(first); o.State != toss.StateSuperseded || o.Reason != "load" {
			t.Errorf("the first order: %+v", o.OrderInfo)
		}
		b.order = other.order
		if code := b.prepare(); code != "NOT_FOUND" {
			t.Errorf("another's order: %s", code)
		}
		status, answer, err := b.post("/orders", map[string]any{"supersedes": other.order}, "Idempotency-Key", "x")
		if err != nil || status != 201 {
			t.Errorf("superseding another's order: %d %v %v", status, answer, err)
		}
		if o := w.orderInfo(other.order); o.State != toss.StateIssued {
			t.Errorf("another's order became %s", o.State)
		}
		b.order = first
		if code := b.prepare(); code != "ORDER_SUPERSEDED" {
			t.Errorf("the superseded order: %s", code)
		}
		if status, _, _ := b.post("/orders", map[string]any{}); status != 400 {
			t.Errorf("without a key: %d", status)
		}
	})
}

func TestTelemetryIsCountedAndBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	w.product("meetup", 15000, 1, false)
	b := w.visit("meetup")
	for _, code := range []string{"WATCHDOG_TIMEOUT", "x'; DROP TABLE orders", "USER_CANCEL"} {
		if status, _, err := b.post("/telemetry", map[string]any{"gen": 1, "phase": "loading", "code": code, "ms": 8000}); status != 204 || err != nil {
			t.Fatalf("%s: %d %v", code, status, err)
		}
	}
	for code, want := range map[string]float64{"WATCHDOG_TIMEOUT": 1, "other": 1, "USER_CANCEL": 1} {
		if got := w.metric("hookkeeper_checkout_widget_failures_total", code); got != want {
			t.Errorf("failures %s: %g, want %g", code, got, want)
		}
	}
	if notes := w.orderInfo(b.order).Notes; len(notes) != 3 || notes[0].Kind != "widget" {
		t.Errorf("notes: %+v", notes)
	}
	refusals := 0
	for range 100 {
		if status, _, _ := b.post("/telemetry", map[string]any{"code": "UNKNOWN"}); status == 429 {
			refusals++
		}
	}
	if refusals == 0 {
		t.Error("telemetry has no bound")
	}
}

func TestPurchasesAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{config: func(c *toss.Config) { c.MaxCheckouts = 3 }})
	w.product("meetup", 15000, 1, false)
	got := map[int]int{}
	for range 5 {
		resp, _ := w.ask("GET", w.nodes[0].public.URL+"/checkout/p/meetup", "X-Forwarded-For", "198.51.100.7")
		got[resp.StatusCode]++
	}
	if got[303] != 3 || got[429] != 2 {
		t.Errorf("answers: %v", got)
	}
	if resp, _ := w.ask("GET", w.nodes[0].public.URL+"/checkout/p/meetup", "X-Forwarded-For", "198.51.100.8"); resp.StatusCode != 303 {
		t.Errorf("another address: %d", resp.StatusCode)
	}
}

func TestEligibilityIsAskedFirst(t *testing.T) {
	t.Parallel()
	var verdict toss.Verdict
	w := newWorld(t, engines()[0], setup{config: func(c *toss.Config) {
		c.Eligibility = toss.EligibilityFunc(func(ctx context.Context, a toss.Applicant) (toss.Verdict, error) {
			if a.Product != "meetup" || a.Checkout == "" {
				t.Errorf("applicant: %+v", a)
			}
			if verdict.Code == "HANG" {
				<-ctx.Done()
				return toss.Verdict{Allowed: true}, ctx.Err()
			}
			return verdict, nil
		})
	}})
	w.product("meetup", 15000, 1, false)
	b := w.visit("meetup")
	for _, c := range []struct {
		v    toss.Verdict
		want string
	}{
		{toss.Verdict{}, "CLOSED"}, {toss.Verdict{Code: "ALREADY_APPLIED"}, "ALREADY_APPLIED"}, {toss.Verdict{Code: "SOLD_OUT"}, "SOLD_OUT"},
		{toss.Verdict{Code: "NONSENSE"}, "CLOSED"}, {toss.Verdict{Code: "HANG", Allowed: true}, "UNAVAILABLE"}, {toss.Verdict{Allowed: true}, ""},
	} {
		verdict = c.v
		if got := b.prepare(); got != c.want {
			t.Errorf("%+v: %q", c.v, got)
		}
		p, err := w.desk().Product(t.Context(), "meetup")
		if held := c.want == ""; err != nil || (p.Taken == 1) != held {
			t.Errorf("%+v: %d taken %v", c.v, p.Taken, err)
		}
	}
}

func effect(query string, args ...any) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
}

// change writes past all our code.
func (w *world) change(query string, args ...any) {
	w.Helper()
	if err := w.nodes[0].store.Apply(w.Context(), effect(query, args...)); err != nil {
		w.Fatal(err)
	}
}
