package toss_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/toss"
)

// TestARefundWaitsForASecondPerson: nothing goes back before another operator has
// approved it, and then once.
func TestARefundWaitsForASecondPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onSQLite(), setup{second: true})
	w.product("one", 15000, 5, false)
	b := w.visit("one")
	b.buy()
	w.settle()
	w.state(b.order, toss.StatePaid)
	var held struct{ Approval string }
	order := map[string]any{"key": "t1", "reason": "buyer asked", "amount": 5000}
	if status := w.op("POST", "orders/"+b.order+"/refund", order, &held); status != http.StatusAccepted || held.Approval == "" {
		t.Fatalf("%d, approval %q", status, held.Approval)
	}
	approve := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.nodes[0].admin.URL+"/api/v1/approvals/"+held.Approval+"/approve", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if status := approve(operatorToken); status != http.StatusConflict {
		t.Errorf("approved by who has asked: %d", status)
	}
	if o := w.orderInfo(b.order); o.Refunded != 0 || len(o.Refunds) != 0 {
		t.Fatalf("before it is approved: %+v", o)
	}
	if first, again := approve(secondToken), approve(secondToken); first != 200 || again != http.StatusConflict {
		t.Errorf("approved: %d, and again %d", first, again)
	}
	w.settle()
	o := w.orderInfo(b.order)
	if o.Refunded != 5000 || len(o.Refunds) != 1 || !strings.Contains(o.Refunds[0].Actor, "1, approved by operator token 2") {
		t.Errorf("after it was approved: %+v", o)
	}
	if _, changed := w.calls("cancel"); changed != 1 {
		t.Errorf("money went back %d times", changed)
	}
}
