package toss_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

func TestOperatorsSeeAndFilterOrders(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		w.product("a", 1000, 0, false)
		w.product("b", 2000, 0, false)
		paid := w.visit("a")
		key := paid.buy()
		w.settle()
		for range 4 {
			w.visit("b")
		}
		list := func(query string) (ids []string, next string) {
			var page struct {
				Orders []toss.OrderInfo
				Next   string
			}
			if status := w.op("GET", "orders?"+query, nil, &page); status != 200 {
				t.Fatalf("%s: %d", query, status)
			}
			for _, o := range page.Orders {
				ids = append(ids, o.ID)
			}
			return ids, page.Next
		}
		all, _ := list("")
		if len(all) != 5 {
			t.Errorf("%d orders", len(all))
		}
		var paged []string
		for cursor := ""; ; {
			ids, next := list("limit=2&cursor=" + cursor)
			paged = append(paged, ids...)
			if cursor = next; cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(all, paged); diff != "" {
			t.Errorf("pages differ from the whole (-whole +pages):\n%s", diff)
		}
		for query, want := range map[string]int{"state=paid": 1, "state=issued&product=b": 4, "product=a": 1, "attention=true": 0,
			"checkout=" + paid.cid: 1, "product=b&state=paid": 0} {
			if ids, _ := list(query); len(ids) != want {
				t.Errorf("%s: %d orders, want %d", query, len(ids), want)
			}
		}
		for _, query := range []string{"state=nothing", "attention=maybe", "limit=0", "limit=x", "cursor=x", "unknown=1"} {
			if status := w.op("GET", "orders?"+query, nil, nil); status != 400 {
				t.Errorf("%s: %d", query, status)
			}
		}
		if status := w.op("GET", "orders/hk_aaaaaaaaaaaaaaaaaaaaaaaaaa", nil, nil); status != 404 {
			t.Errorf("an unknown order: %d", status)
		}
		for _, body := range []map[string]any{{"reason": "r"}, {"key": "k"}, {"key": "k k", "reason": "r"}, {"key": "k", "reason": "r", "amount": -1},
			{"key": "k", "reason": "r", "nonsense": 1}} {
			if status := w.op("POST", "orders/"+paid.order+"/refund", body, nil); status != 400 {
				t.Errorf("refund %v: %d", body, status)
			}
		}
		if p, _ := w.sim.Payment(key); p.BalanceAmount != 1000 {
			t.Errorf("a refused refund was sent: %d left", p.BalanceAmount)
		}
	})
}

func TestApplicationsBeginPurchases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{config: func(c *toss.Config) {
		c.PublicURL, c.Origins = "https://pay.example", []string{"https://shop.example"}
	}})
	w.product("meetup", 15000, 1, false)
	var made struct {
		Checkout, URL string
		Order         struct{ OrderID string }
	}
	body := map[string]any{"product": "meetup", "buyer": "user-1", "return_url": "https://shop.example/done", "lang": "en"}
	if status := w.op("POST", "checkouts", body, &made); status != 200 || made.URL != "https://pay.example/checkout/"+made.Checkout {
		t.Fatalf("begun: %d %+v", status, made)
	}
	resp, page := w.ask("GET", w.nodes[0].public.URL+"/checkout/"+made.Checkout)
	if resp.StatusCode != 200 || !strings.Contains(page, `lang="en"`) || strings.Contains(page, "user-1") {
		t.Errorf("the page: %d, or it names the buyer", resp.StatusCode)
	}
	if o := w.orderInfo(made.Order.OrderID); o.Buyer != "user-1" {
		t.Errorf("buyer %q", o.Buyer)
	}
	for _, bad := range []map[string]any{{"product": "meetup", "return_url": "https://evil.example/"}, {"product": "meetup", "lang": "de"}, {"product": ""},
		{"product": "meetup", "buyer": strings.Repeat("x", 201)}} {
		if status := w.op("POST", "checkouts", bad, nil); status != 400 {
			t.Errorf("%v: %d", bad, status)
		}
	}
	if status := w.op("POST", "checkouts", map[string]any{"product": "nothing"}, nil); status != 404 {
		t.Errorf("an unknown product: %d", status)
	}
}

func TestProductsAreKeptOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		w := newWorld(t, e, setup{})
		when := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		p := map[string]any{"id": "later", "name": "Later", "price": 1000, "seats": 3, "opens_at": when}
		if status := w.op("POST", "products", p, nil); status != 200 {
			t.Fatalf("added: %d", status)
		}
		if status := w.op("POST", "products", p, nil); status != 409 {
			t.Errorf("added again: %d", status)
		}
		for _, bad := range []map[string]any{{"id": "x", "name": "", "price": 1}, {"id": "X", "name": "x", "price": 1}, {"id": "x", "name": "x", "price": 0},
			{"id": "x", "name": "x", "price": 1, "seats": 0}, {"id": "x", "name": "x", "price": 1, "currency": "USD"},
			{"id": "x", "name": "x", "price": 1, "opens_at": when, "closes_at": when}} {
			if status := w.op("POST", "products", bad, nil); status != 400 {
				t.Errorf("%v: %d", bad, status)
			}
		}
		got, err := w.desk().Product(t.Context(), "later")
		if err != nil || got.OpensAt == nil || !got.OpensAt.Equal(when) || *got.Seats != 3 || got.Taken != 0 {
			t.Errorf("kept: %+v %v", got, err)
		}
		b := w.visit("later")
		if code := b.prepare(); code != "CLOSED" {
			t.Errorf("before it opens: %q", code)
		}
		w.product("now", 1000, 0, false)
		holder := w.visit("now")
		if code := holder.prepare(); code != "" {
			t.Fatal(code)
		}
		for range 2 {
			if status := w.op("POST", "products/now/close", map[string]any{}, nil); status != 200 {
				t.Errorf("closed: %d", status)
			}
		}
		if code := w.visit("now").prepare(); code != "CLOSED" {
			t.Errorf("after the sale: %q", code)
		}
		_, back := holder.authorize("")
		holder.land(back)
		w.state(holder.order, toss.StatePaid) // who held a seat may still pay
		if status := w.op("POST", "products/nothing/close", map[string]any{}, nil); status != 404 {
			t.Errorf("an unknown product: %d", status)
		}
	})
}

func TestAttentionIsLaidAsideWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	w.product("meetup", 15000, 5, false)
	b := w.visit("meetup")
	b.amount = 100
	key, _ := b.authorize("")
	w.must(w.sim.Capture(key))
	w.settle()
	if status := w.op("POST", "orders/"+b.order+"/resolve", map[string]any{"reason": " "}, nil); status != 400 {
		t.Errorf("without a reason: %d", status)
	}
	var o toss.OrderDetail
	if status := w.op("POST", "orders/"+b.order+"/resolve", map[string]any{"reason": "kept as a gift"}, &o); status != 200 || o.Attention != "" {
		t.Errorf("resolved: %d %+v", status, o.OrderInfo)
	}
	last := o.Notes[len(o.Notes)-1]
	if last.Kind != "resolved" || last.Code != "mismatch" || !strings.Contains(last.Detail, "kept as a gift") {
		t.Errorf("note: %+v", last)
	}
	if p, _ := w.sim.Payment(key); p.BalanceAmount != 100 {
		t.Error("money was touched")
	}
}

// TestNothingSecretIsServed greps all that a buyer and an operator can read.
func TestNothingSecretIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{})
	w.product("meetup", 15000, 5, false)
	b, depositKey := w.account("meetup")
	w.must(w.sim.Deposit(depositKey))
	w.settle()
	p, _ := w.sim.Payment(depositKey)
	if p.Secret == nil || *p.Secret == "" {
		t.Fatal("the simulator gave no deposit secret")
	}
	secrets := []string{secretKey, *p.Secret, operatorToken}
	base, admin := w.nodes[0].public.URL, w.nodes[0].admin.URL
	for _, address := range []string{
		base + "/checkout/" + b.cid, base + "/checkout/" + b.cid + "/receipt", base + "/checkout/" + b.cid + "/state",
		base + "/checkout/" + b.cid + "/boot", base + "/checkout/" + b.cid + "/fail?code=X", base + "/checkout/assets/checkout.js",
		base + "/checkout/assets/element.js", base + "/checkout/p/meetup",
		admin + "/api/v1/orders", admin + "/api/v1/orders/" + b.order, admin + "/api/v1/openapi.json",
	} {
		r, err := http.NewRequest("GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(address, admin) {
			r.Header.Set("Authorization", "Bearer "+operatorToken)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || len(text) == 0 {
			t.Errorf("%s: %d %v", address, resp.StatusCode, err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds a secret", address)
			}
		}
	}
}

func TestDepartmentFitsTheHouse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines()[0], setup{idle: true})
	d := w.desk().Department()
	var names []string
	for _, duty := range d.Duties {
		names = append(names, duty.Name)
		if err := duty.Run(t.Context()); err != nil || duty.Every <= 0 {
			t.Errorf("duty %s every %s: %v", duty.Name, duty.Every, err)
		}
	}
	if diff := cmp.Diff([]string{"toss-sweep", "toss-refunds", "toss-reconcile"}, names); diff != "" {
		t.Error(diff)
	}
	if d.Pages["/checkout/"] == nil || d.Tables.Name != "toss" {
		t.Errorf("department: %+v", d)
	}
	for _, op := range d.Operations {
		var doc map[string]any
		if json.Unmarshal(op.Doc, &doc) != nil || doc["summary"] == "" || doc["responses"] == nil {
			t.Errorf("%s %s: its description is %s", op.Method, op.Path, op.Doc)
		}
		if op.Method != "GET" && !slices.Contains([]hook.Role{hook.RoleOperator, hook.RoleAdmin}, op.Need) {
			t.Errorf("%s %s: a viewer may change things", op.Method, op.Path)
		}
	}
}
