package dashboard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

// refunds is a department's operation that moves money.
type refunds struct {
	done atomic.Int32
	err  error
	seen atomic.Pointer[string] // who, what and of which order
}

func (f *refunds) operation() hook.Operation {
	return hook.Operation{Method: "POST", Path: "orders/{order}/refund", Need: hook.RoleAdmin, Money: true,
		Doc: json.RawMessage(`{"summary":"Give money back","responses":{"200":{"description":"done"}}}`),
		Handle: func(r *http.Request) (any, error) {
			body, err := io.ReadAll(r.Body)
			f.done.Add(1)
			f.seen.Store(new(hook.ActorOf(r.Context()) + "|" + r.PathValue("order") + "|" + string(body)))
			if err == nil {
				err = f.err
			}
			return map[string]string{"refunded": r.PathValue("order")}, err
		}}
}

// approvalsOf are over a store, with one operation that moves money.
func approvalsOf(store hook.ApprovalKeeper) *dashboard.Approvals {
	return dashboard.NewApprovals(store, []hook.Operation{(&refunds{}).operation()}, nil)
}

// moneyDesk is an API whose one operation needs a second person.
func moneyDesk(t *testing.T, f *refunds) *desk {
	d := newDesk(t)
	operations := []hook.Operation{f.operation()}
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{
		Ledger: d.store, Operations: operations, Approvals: dashboard.NewApprovals(d.store, operations, nil),
		Gate: dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}, Keeper: d.store, Now: hooktest.NewClock().Now}),
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// refund asks for one as somebody and gives the id of the request.
func (d *desk) refund(who, body string) string {
	d.t.Helper()
	resp, text := d.askAs("Bearer "+who, "POST", "/api/v1/orders/o%2F1/refund", body)
	var held struct{ Approval, State, Look string }
	if err := json.Unmarshal(text, &held); err != nil || resp.StatusCode != http.StatusAccepted || held.State != "waiting" ||
		held.Look != "/api/v1/approvals/"+held.Approval {
		d.t.Fatalf("ask for a refund: %d %s", resp.StatusCode, text)
	}
	return held.Approval
}

// heldRefunds asks for refunds of orders as somebody else.
func (d *desk) heldRefunds(orders ...string) (ids []string) {
	d.t.Helper()
	for _, order := range orders {
		a, err := d.store.AskApproval(d.t.Context(), hook.ApprovalRequest{Method: "POST", Path: "/api/v1/orders/" + order + "/refund",
			Need: hook.RoleAdmin, Actor: "token other"}, time.Hour)
		if err != nil {
			d.t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	return ids
}

const refundOrder = `{"key":"r1","reason":"a defect","note":"to buyer.name@example.com"}`

// TestMoneyNeedsASecondPerson: who asks cannot approve, whoever approves needs the
// role, and what was sent is done once, to the byte.
func TestMoneyNeedsASecondPerson(t *testing.T) {
	t.Parallel()
	f := &refunds{}
	d := moneyDesk(t, f)
	first, second := d.keep("first", hook.RoleAdmin), d.keep("second", hook.RoleAdmin)
	helper, viewer := d.keep("helper", hook.RoleOperator), d.keep("looks", hook.RoleViewer)
	id := d.refund(first, refundOrder)
	if again := d.refund(first, refundOrder); again != id {
		t.Errorf("the same request again is %s, want %s", again, id)
	}
	if n := f.done.Load(); n != 0 {
		t.Fatalf("it was done %d times before anybody approved", n)
	}
	approve := "/api/v1/approvals/" + id + "/approve"
	for _, c := range []struct {
		who  string
		want int
	}{{first, 409}, {helper, 403}, {viewer, 403}} {
		if resp, body := d.askAs("Bearer "+c.who, "POST", approve, ""); resp.StatusCode != c.want {
			t.Errorf("%s approves: %d %s, want %d", c.who, resp.StatusCode, body, c.want)
		}
	}
	_, seen := d.askAs("Bearer "+second, "GET", "/api/v1/approvals/"+id, "")
	_, less := d.askAs("Bearer "+viewer, "GET", "/api/v1/approvals/"+id, "")
	if !strings.Contains(string(seen), `\"key\":\"r1\"`) || strings.Contains(string(seen), "buyer.name@") || strings.Contains(string(less), "r1") {
		t.Errorf("an admin sees %s, a viewer %s", seen, less)
	}
	var all sync.WaitGroup
	var approved atomic.Int32
	for range 4 {
		all.Go(func() {
			if resp, _ := d.askAs("Bearer "+second, "POST", approve, ""); resp.StatusCode == 200 {
				approved.Add(1)
			}
		})
	}
	all.Wait()
	if f.done.Load() != 1 || approved.Load() != 1 {
		t.Errorf("approved %d times, done %d times, want once each", approved.Load(), f.done.Load())
	}
	if got := *f.seen.Load(); got != "token first, approved by token second|o/1|"+refundOrder {
		t.Errorf("it was done as %s", got)
	}
	_, body := d.ask("GET", "/api/v1/approvals/"+id, "")
	if !strings.Contains(string(body), `"state":"done"`) || !strings.Contains(string(body), `"decided_by":"token second"`) ||
		!strings.Contains(string(body), `refunded`) || strings.Contains(string(body), "a defect\\\"") {
		t.Errorf("afterwards it is %s", body)
	}
}

// TestAnApprovedOperationSaysHowItEnded: what it refused is failed, what nobody
// knows is unknown and is not done again by itself.
func TestAnApprovedOperationSaysHowItEnded(t *testing.T) {
	t.Parallel()
	f := &refunds{}
	d := moneyDesk(t, f)
	first, second := d.keep("first", hook.RoleAdmin), d.keep("second", hook.RoleAdmin)
	for i, c := range []struct {
		err  error
		want string
	}{
		{&hook.Problem{Status: 400, Detail: "key: wrong"}, "failed"}, {hook.ErrRefused, "failed"}, {hook.ErrNotFound, "failed"},
		{&hook.Problem{Status: 503, Detail: "not decided"}, "unknown"}, {errors.New("the wire was cut"), "unknown"}, {nil, "done"},
	} {
		f.err = c.err
		id := d.refund(first, fmt.Sprintf(`{"key":"r%d"}`, i))
		resp, body := d.askAs("Bearer "+second, "POST", "/api/v1/approvals/"+id+"/approve", "")
		if resp.StatusCode != 200 || !strings.Contains(string(body), `"state":"`+c.want+`"`) {
			t.Errorf("%v: %d %s, want %s", c.err, resp.StatusCode, body, c.want)
		}
		if resp, _ := d.ask("POST", "/api/v1/approvals/"+id+"/approve", ""); resp.StatusCode != 409 {
			t.Errorf("%v: approved again: %d", c.err, resp.StatusCode)
		}
	}
	id := d.refund(first, `{"key":"mine"}`)
	if resp, _ := d.askAs("Bearer "+first, "POST", "/api/v1/approvals/"+id+"/refuse", `{"reason":"a mistake"}`); resp.StatusCode != 200 {
		t.Errorf("withdrawn: %d", resp.StatusCode)
	}
	if n := f.done.Load(); n != 6 {
		t.Errorf("done %d times, want once for each that was approved", n)
	}
}

// TestApprovalsPage: every page says that something waits, and only another
// operator is offered to approve it.
func TestApprovalsPage(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	a, err := o.store.AskApproval(t.Context(), hook.ApprovalRequest{Method: "POST", Path: "/api/v1/orders/o1/refund",
		Body: []byte(`{"to":"buyer.name@example.com"}`), Summary: "Give money back", Need: hook.RoleAdmin, Actor: "operator token 1", Reason: hostile}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o.enter(token)
	_, page := o.visit("", nil)
	if !strings.Contains(page, `href="approvals"`) || !strings.Contains(page, "(1)") {
		t.Error("the frame does not say that something waits")
	}
	_, page = o.visit("approvals", nil)
	if !strings.Contains(page, "Give money back") || strings.Contains(page, `value="approve"`) || !strings.Contains(page, `value="refuse"`) ||
		strings.Contains(page, "buyer.name@") {
		t.Errorf("to who has asked:\n%s", page)
	}
	if resp, _ := o.visit("approvals/"+a.ID, url.Values{"act": {"approve"}}); resp.StatusCode != http.StatusConflict {
		t.Errorf("approved by who has asked: %d", resp.StatusCode)
	}
	if err := o.store.AddToken(t.Context(), hook.NewToken{Name: "second", Role: hook.RoleAdmin, Hash: dashboard.HashOf("token-of-the-second")}, "me"); err != nil {
		t.Fatal(err)
	}
	o.browser = browserFor(t)
	o.enter("token-of-the-second")
	if _, page = o.visit("approvals", nil); !strings.Contains(page, `value="approve"`) {
		t.Errorf("to another operator:\n%s", page)
	}
	if resp, body := o.visit("approvals/"+a.ID, url.Values{"act": {"approve"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("approve: %d %s", resp.StatusCode, body)
	}
	if _, page = o.visit("approvals?done=approved", nil); !strings.Contains(page, "token second") || strings.Contains(page, "(1)") {
		t.Errorf("afterwards:\n%s", page)
	}
}
