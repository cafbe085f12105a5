package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

func TestProductsInADatabase(t *testing.T) {
	t.Parallel()
	db := "sqlite:" + filepath.Join(t.TempDir(), "shop.db")
	added := call(t, nil, "products", "add", "meetup", "--name", "겨울 모임", "--price", "15000", "--seats", "10", "--one-each",
		"--closes-at", "2030-01-01T00:00:00+09:00", "--json", "--database", db)
	var p toss.Product
	if err := json.Unmarshal([]byte(added.stdout), &p); added.code != 0 || err != nil || p.Price != 15000 || *p.Seats != 10 || !p.OneEach || p.ClosesAt == nil {
		t.Fatalf("add: %+v %v", added, err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list"}, 0, "meetup"},
		{[]string{"show", "meetup"}, 0, "겨울 모임"},
		{[]string{"show", "nothing"}, 1, "there is none"},
		{[]string{"add", "meetup", "--name", "x", "--price", "1"}, 1, "exists already"},
		{[]string{"add", "free", "--name", "x", "--price", "0"}, 1, "price"},
		{[]string{"add", "odd", "--name", "x", "--price", "1", "--seats", "-1"}, 2, "--seats"},
		{[]string{"add", "odd", "--name", "x", "--price", "1", "--opens-at", "soon"}, 2, "--opens-at"},
		{[]string{"close", "meetup"}, 0, "closed"},
		{[]string{"close", "meetup"}, 0, "closed"},
		{[]string{"close", "nothing"}, 1, "there is none"},
		{[]string{"list", "--operator", "http://127.0.0.1:1"}, 2, "exclude"},
	} {
		got := call(t, nil, append(append([]string{"products"}, c.args...), "--database", db)...)
		if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.want) {
			t.Errorf("products %v: %d %s%s", c.args, got.code, got.stdout, got.stderr)
		}
	}
}

// TestReconcileOfTheCheckout: what was given back at Toss, and nobody told, is
// found by the operator's command.
func TestReconcileOfTheCheckout(t *testing.T) {
	sim := tosstest.New(tosstest.Options{})
	api := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); api.Close() })
	const token = "token-0123456789abcdef"
	env := map[string]string{"TOSS_SECRET_KEY": "test_gsk_0123456789abcdef", "TOSS_CLIENT_KEY": "test_gck_0123456789abcdef",
		"TOSS_API_BASE": api.URL, "TOSS_SDK_URL": api.URL + "/v2/standard", "HOOKKEEPER_OPERATOR_TOKEN": token}
	t.Chdir(t.TempDir())
	s := serve(t, env)
	at := []string{"--operator", s.operator, "--token", token}
	if got := call(t, env, append([]string{"products", "add", "meetup", "--name", "x", "--price", "15000"}, at...)...); got.code != 0 {
		t.Fatalf("products add: %+v", got)
	}
	resp, err := http.Get(s.public + "/checkout/p/meetup")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	page := resp.Request.URL
	var boot struct{ Order struct{ OrderID string } }
	askAs(t, token, page.String()+"/boot", &boot)
	key, back, err := sim.Pay(tosstest.Order{OrderID: boot.Order.OrderID, OrderName: "x", Amount: tosstest.Amount{Value: 15000},
		CustomerKey: "ANONYMOUS", SuccessURL: page.String() + "/success", FailURL: page.String() + "/fail"})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = http.Get(back); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := sim.Refund(key, 0, "by hand"); err != nil {
		t.Fatal(err)
	}
	if got := call(t, env, append([]string{"reconcile", "toss", "--all"}, at...)...); got.code != 0 ||
		got.stdout != "1 orders asked about, 1 put right\n" {
		t.Errorf("reconcile: %+v", got)
	}
	if got := call(t, env, append([]string{"reconcile", "toss", "--all"}, at...)...); got.code != 0 ||
		got.stdout != "0 orders asked about, 0 put right\n" {
		t.Errorf("nothing is open: %+v", got)
	}
}

func TestCheckoutSettings(t *testing.T) {
	t.Parallel()
	good := map[string]string{"TOSS_SECRET_KEY": "test_gsk_0123456789abcdef", "TOSS_CLIENT_KEY": "test_gck_0123456789abcdef"}
	for name, c := range map[string]struct {
		change map[string]string
		file   string
		want   string // empty: accepted
	}{
		"fine":                    {nil, "", ""},
		"client key alone":        {map[string]string{"TOSS_SECRET_KEY": ""}, "", "TOSS_SECRET_KEY"},
		"a secret key as client":  {map[string]string{"TOSS_CLIENT_KEY": "test_gsk_0123456789abcdef"}, "", "never reach a page"},
		"live keys, another API":  {map[string]string{"TOSS_SECRET_KEY": "live_gsk_0123456789", "TOSS_CLIENT_KEY": "live_gck_0123456789", "TOSS_API_BASE": "http://127.0.0.1:1"}, "", "live key"},
		"a file":                  {nil, "checkout: {shop: Shop, support: help@shop.example, hold: 5m, public_url: https://pay.example, origins: [https://shop.example]}", ""},
		"an unknown key":          {nil, "checkout: {shopp: x}", `nearest known one is "shop"`},
		"origins without address": {nil, "checkout: {origins: [https://shop.example]}", "public URL"},
		"another source":          {nil, "checkout: {source: other}", "no Toss source"},
		"half a certificate":      {nil, "checkout: {certificate: a.pem}", "certificate_key"},
		"a short secret":          {nil, "checkout: {eligibility: {url: https://app.example/ask, secret: short}}", "fewer than 16"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			for k, v := range good {
				env[k] = v
			}
			for k, v := range c.change {
				if env[k] = v; v == "" {
					delete(env, k)
				}
			}
			args := []string{"serve", "--print-config"}
			if c.file != "" {
				path := filepath.Join(t.TempDir(), "hookkeeper.yaml")
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", path)
			}
			got := call(t, env, args...)
			if c.want == "" && got.code != 0 || c.want != "" && (got.code != 1 || !strings.Contains(got.stderr, c.want)) {
				t.Errorf("%d %s", got.code, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, "0123456789") {
				t.Errorf("a key is shown: %s%s", got.stdout, got.stderr)
			}
		})
	}
}
