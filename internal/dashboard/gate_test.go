package dashboard_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

// keep adds a token over the API and returns it.
func (d *desk) keep(name string, role hook.Role) string {
	d.t.Helper()
	token := "kept-token-of-" + name
	sum := sha256.Sum256([]byte(token))
	resp, body := d.ask("POST", "/api/v1/tokens",
		fmt.Sprintf(`{"name":%q,"role":%q,"sha256":%q}`, name, role, hex.EncodeToString(sum[:])))
	if resp.StatusCode != 200 {
		d.t.Fatalf("keep %s: %d %s", name, resp.StatusCode, body)
	}
	return token
}

// TestRolesOpenTheirRoutesOnly goes over the whole table with each role.
func TestRolesOpenTheirRoutesOnly(t *testing.T) {
	d := newDesk(t)
	rank := map[hook.Role]int{hook.RoleViewer: 1, hook.RoleOperator: 2, hook.RoleAdmin: 3}
	for role := range rank {
		kept := d.keep("the-"+string(role), role)
		for i, row := range dashboard.Routes() {
			asked := every()[i+1]
			resp, body := d.askAs("Bearer "+kept, asked[0], asked[1], "{}")
			allowed := rank[role] >= rank[row.Need]
			if got := resp.StatusCode != http.StatusForbidden; got != allowed || resp.StatusCode == http.StatusUnauthorized {
				t.Errorf("%s as %s: %d, want allowed %t", row.Pattern, role, resp.StatusCode, allowed)
			}
			if !allowed {
				checkProblem(t, resp, body, "the-"+string(role)+" has the role "+string(role))
			}
			if !strings.HasPrefix(row.Pattern, "GET") && row.Need == hook.RoleViewer {
				t.Errorf("%s: whoever may only look could change something", row.Pattern)
			}
		}
	}
	list, body := d.ask("GET", "/api/v1/tokens", "")
	if list.StatusCode != 200 || strings.Contains(string(body), "kept-token") || !strings.Contains(string(body), `"the-viewer"`) {
		t.Errorf("list: %d %s", list.StatusCode, body)
	}
}

func TestKeptTokenIsNamedInTheAudit(t *testing.T) {
	ledger := &orders{}
	d := newDesk(t)
	kept := d.keep("laptop", hook.RoleOperator)
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: ledger,
		Gate: dashboard.NewGate(dashboard.GateConfig{Keeper: d.store})}))
	defer srv.Close()
	(&desk{t: t, url: srv.URL}).askAs("Bearer "+kept, "POST", "/api/v1/events/ev_1/replay", `{"reason":"mended"}`)
	if ledger.replay.Actor != "token laptop" {
		t.Errorf("the audit names %q", ledger.replay.Actor)
	}
}

// TestRevokedTokenStopsSoon: at once where it was revoked, within the memory of
// a gate elsewhere.
func TestRevokedTokenStopsSoon(t *testing.T) {
	d := newDesk(t)
	here, elsewhere := d.keep("here", hook.RoleAdmin), d.keep("elsewhere", hook.RoleAdmin)
	for _, kept := range []string{here, elsewhere} {
		if resp, _ := d.askAs("Bearer "+kept, "GET", "/api/v1/counts", ""); resp.StatusCode != 200 {
			t.Fatalf("a kept token: %d", resp.StatusCode)
		}
	}
	if resp, body := d.ask("DELETE", "/api/v1/tokens/here", ""); resp.StatusCode != 200 {
		t.Fatalf("revoke: %d %s", resp.StatusCode, body)
	}
	if resp, _ := d.askAs("Bearer "+here, "GET", "/api/v1/counts", ""); resp.StatusCode != 401 {
		t.Errorf("after its revocation: %d, want 401", resp.StatusCode)
	}
	if resp, _ := d.askAs("Bearer "+elsewhere, "GET", "/api/v1/counts", ""); resp.StatusCode != 200 {
		t.Errorf("the other one: %d, want 200", resp.StatusCode)
	}
	if err := d.store.RevokeToken(t.Context(), "elsewhere", "somebody beside"); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(3 * time.Second)
	if resp, _ := d.askAs("Bearer "+elsewhere, "GET", "/api/v1/counts", ""); resp.StatusCode != 401 {
		t.Errorf("three seconds after its revocation elsewhere: %d, want 401", resp.StatusCode)
	}
}

// brokenKeeper cannot be asked.
type brokenKeeper struct{ hook.TokenKeeper }

func (brokenKeeper) TokenRole(context.Context, hook.TokenHash) (string, hook.Role, error) {
	return "", "", errors.New("disk on fire")
}

// TestBrokenKeeperIsNoWrongToken: the owner of a token must not be told that it
// is wrong, nor be slowed down, because the store is away.
func TestBrokenKeeperIsNoWrongToken(t *testing.T) {
	g := dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}, Keeper: brokenKeeper{}})
	for range 20 {
		if w := knock(g, "192.0.2.1:1", "kept"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Fatalf("a kept token while the store is away: %d", w.Code)
		}
	}
	if w := knock(g, "192.0.2.1:1", token); w.Code != 418 {
		t.Errorf("the configured one: %d", w.Code)
	}
}

// knock asks at a gate with a token from an address; 418 is inside.
func knock(g *dashboard.Gate, from, token string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	g.Guard(inside, false).ServeHTTP(w, r)
	return w
}

func braked() (*dashboard.Gate, *hooktest.Clock) {
	clock := hooktest.NewClock()
	return dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}, Now: clock.Now}), clock
}

func TestWrongTokensOfOneAddressAreSlowedDown(t *testing.T) {
	g, clock := braked()
	const bad, good = "192.0.2.1:1000", "192.0.2.2:1000"
	for i := range 10 {
		if w := knock(g, bad, "wrong"); w.Code != 401 {
			t.Fatalf("wrong token %d: %d, want 401", i+1, w.Code)
		}
	}
	for _, from := range []string{bad, "192.0.2.1:1001", "[::ffff:192.0.2.1]:5"} {
		w := knock(g, from, token)
		if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != 429 || err != nil || seconds != 60 {
			t.Errorf("from %s, even the right one: %d, Retry-After %q, want 429 and 60", from, w.Code, w.Header().Get("Retry-After"))
		}
		checkProblem429(t, w)
	}
	if w := knock(g, good, token); w.Code != 418 {
		t.Errorf("the right one from elsewhere: %d", w.Code)
	}
	clock.Advance(time.Minute - time.Second)
	if w := knock(g, bad, token); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a second before the end: %d %q", w.Code, w.Header().Get("Retry-After"))
	}
	clock.Advance(time.Second)
	if w := knock(g, bad, token); w.Code != 418 {
		t.Errorf("after the minute: %d", w.Code)
	}
}

func checkProblem429(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), "too many wrong") {
		t.Errorf("no problem document: %s", w.Body)
	}
}

// TestSlowMistakesAreNoGuessing: nine in any minute, and asking without a token,
// stop nobody.
func TestSlowMistakesAreNoGuessing(t *testing.T) {
	g, clock := braked()
	for range 5 {
		for range 9 {
			knock(g, "192.0.2.1:1", "wrong")
		}
		for range 50 {
			if w := knock(g, "192.0.2.1:1", ""); w.Code != 401 {
				t.Fatalf("without a token: %d", w.Code)
			}
		}
		if w := knock(g, "192.0.2.1:1", token); w.Code != 418 {
			t.Fatalf("the right one: %d", w.Code)
		}
		clock.Advance(time.Minute)
	}
}

func TestWrongTokensFromManyAddressesAreSlowedDown(t *testing.T) {
	g, clock := braked()
	for i := range 100 {
		if w := knock(g, fmt.Sprintf("192.0.2.%d:1", i), "wrong"); w.Code != 401 {
			t.Fatalf("wrong token %d: %d, want 401", i+1, w.Code)
		}
	}
	if w := knock(g, "198.51.100.1:1", "wrong"); w.Code != 429 {
		t.Errorf("one more: %d, want 429", w.Code)
	}
	if w := knock(g, "198.51.100.1:1", token); w.Code != 429 {
		t.Errorf("its second guess: %d, want 429", w.Code)
	}
	if w := knock(g, "198.51.100.2:1", token); w.Code != 418 {
		t.Errorf("the right token from an address without a mistake: %d", w.Code)
	}
	clock.Advance(time.Minute)
	if w := knock(g, "198.51.100.1:1", token); w.Code != 418 {
		t.Errorf("after the minute: %d", w.Code)
	}
}

// TestSubscribersNetworkIsOneAddress: whoever has one address of IPv6 has 2^64.
func TestSubscribersNetworkIsOneAddress(t *testing.T) {
	g, _ := braked()
	for i := range 10 {
		knock(g, fmt.Sprintf("[2001:db8:0:1::%x]:1", i), "wrong")
	}
	if w := knock(g, "[2001:db8:0:1:ffff::1]:1", token); w.Code != 429 {
		t.Errorf("the same network: %d, want 429", w.Code)
	}
	if w := knock(g, "[2001:db8:0:2::1]:1", token); w.Code != 418 {
		t.Errorf("another network: %d", w.Code)
	}
}

func TestMemoryOfStrangersIsBounded(t *testing.T) {
	g, clock := braked()
	for i := range 3 * dashboard.MaxStrangers {
		knock(g, fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), "wrong")
		if i%60 == 0 {
			clock.Advance(time.Second)
		}
	}
	if n := g.Strangers(); n > dashboard.MaxStrangers || n < 100 {
		t.Errorf("%d addresses are remembered, the bound is %d", n, dashboard.MaxStrangers)
	}
	if w := knock(g, "192.0.2.9:1", token); w.Code != 418 {
		t.Errorf("the right token in the middle of a flood: %d", w.Code)
	}
	clock.Advance(2 * time.Minute)
	for i := range 9 {
		if w := knock(g, "192.0.2.9:1", "wrong"); w.Code != 401 {
			t.Fatalf("after the flood, wrong token %d: %d", i+1, w.Code)
		}
	}
}
