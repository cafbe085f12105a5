package dashboard_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
)

// A hold and an erasure from the first form to the page of the event.
func TestHoldsAndErasuresOnPages(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.record("k", "invoice.paid", []byte(`{"customer":"cus_Canary1"}`))
	post := func(page string, want int, form ...string) string {
		t.Helper()
		values := url.Values{}
		for i := 0; i < len(form); i += 2 {
			values.Set(form[i], form[i+1])
		}
		resp, body := o.visit(page, values)
		if resp.StatusCode != want {
			t.Fatalf("%s: %d, want %d: %.400s", page, resp.StatusCode, want, body)
		}
		return body
	}
	shows := func(page string, want ...string) {
		t.Helper()
		_, body := o.visit(page, nil)
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not show %q", page, w)
			}
		}
	}
	post("privacy/hold", http.StatusConflict, "source", "stripe")
	post("privacy/hold", http.StatusBadRequest, "source", "stripe", "since", "yesterday", "reason", "r")
	post("privacy/hold", http.StatusSeeOther, "event", id, "reason", "a dispute")
	shows("privacy", id, "a dispute", "for ever")
	shows("events/"+id, "Under a legal hold", "a dispute")

	post("privacy/erase", http.StatusBadRequest, "source", "stripe", "customer", "cus_Canary1", "confirm", "cus_Other", "reason", "asked for")
	post("privacy/erase", http.StatusSeeOther, "source", "stripe", "customer", "cus_Canary1", "confirm", "cus_Canary1", "reason", "asked for")
	step := func() {
		t.Helper()
		if _, err := o.store.StepErasure(t.Context(), func(context.Context, hook.Tx, string, string) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
	step()
	shows("privacy", "cus_Canary1", "0 for work, 1 for holds")
	post("privacy/release", http.StatusSeeOther, "id", "1", "reason", "settled")
	shows("privacy", "settled")
	post("privacy/cancel", http.StatusSeeOther, "id", "1")
	post("privacy/cancel", http.StatusConflict, "id", "1")

	post("privacy/erase", http.StatusSeeOther, "source", "stripe", "customer", "cus_Canary1", "confirm", "cus_Canary1", "reason", "asked for")
	for range 3 {
		step()
	}
	if e, err := o.store.Event(t.Context(), id); err != nil || e.ErasedAt == nil {
		t.Fatalf("not erased: %+v, %v", e, err)
	}
	shows("events/"+id, "Erased on request")
	if _, body := o.visit("privacy", nil); strings.Contains(body, "cus_Canary1") {
		t.Error("the page of what was erased still names the customer")
	}
	if resp, _ := o.visit("events/"+id+"/replay", url.Values{"reason": {"again"}, "handler": {"mail"}}); resp.StatusCode != http.StatusConflict {
		t.Errorf("replay of an erased event: %d", resp.StatusCode)
	}
}
