package tosstest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

// shape compares two JSON values: the same keys with values of the same kind;
// null goes with anything, for Toss's examples differ in what they leave empty.
func shape(path string, want, got any) (problems []string) {
	w, wantObject := want.(map[string]any)
	g, gotObject := got.(map[string]any)
	wl, wantList := want.([]any)
	gl, gotList := got.([]any)
	switch {
	case want == nil || got == nil:
		return nil
	case wantObject && gotObject:
		for key, value := range w {
			if _, ok := g[key]; !ok {
				problems = append(problems, path+"."+key+" is missing")
				continue
			}
			problems = append(problems, shape(path+"."+key, value, g[key])...)
		}
		for key := range g {
			if _, ok := w[key]; !ok {
				problems = append(problems, path+"."+key+" is not Toss's")
			}
		}
	case wantList && gotList:
		for i := range min(len(wl), len(gl)) {
			problems = append(problems, shape(fmt.Sprintf("%s[%d]", path, i), wl[i], gl[i])...)
		}
	case fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got):
		problems = append(problems, fmt.Sprintf("%s is %T, Toss's is %T", path, got, want))
	case strings.HasSuffix(path, "At"), strings.HasSuffix(path, "Date"):
		// 2026-03-01T09:30:12+09:00, and without an offset in events.
		if _, a, _ := strings.Cut(want.(string), "T"); strings.Contains(a, "+09:00") != strings.Contains(got.(string), "+09:00") {
			problems = append(problems, fmt.Sprintf("%s is %v, Toss's is %v", path, got, want))
		}
	}
	return problems
}

func recorded(t *testing.T, name string) (v map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestShapesAreThoseOfToss brings a payment into each state of the recorded
// answers and compares field by field.
func TestShapesAreThoseOfToss(t *testing.T) {
	b := start(t, tosstest.Options{})
	for name, status := range map[string][2]string{
		"confirm.200.card.json": {"CARD", "DONE"}, "get.200.in_progress.json": {"CARD", "IN_PROGRESS"},
		"get.200.canceled.json":                    {"CARD", "CANCELED"},
		"confirm.200.virtual_account_waiting.json": {"VIRTUAL_ACCOUNT", "WAITING_FOR_DEPOSIT"},
	} {
		b.sim.Reset()
		key := b.in(status[0], status[1])
		want := recorded(t, "api/"+name)
		got := parse(t, b.must("GET", "/v1/payments/"+key, nil).body)
		for _, p := range shape("payment", want, got) {
			t.Errorf("%s: %s", name, p)
		}
		if got["status"] != want["status"] || got["version"] != want["version"] {
			t.Errorf("%s: %v %v", name, got["status"], got["version"])
		}
		if want["method"] != nil && got["method"] != want["method"] {
			t.Errorf("%s: method %v, want %v", name, got["method"], want["method"])
		}
	}
	b.sim.Reset()
	if p, _ := b.sim.Payment(b.in("TOSSPAY", "DONE")); p.EasyPay == nil || *p.Method != "간편결제" {
		t.Errorf("easy pay: %+v", p)
	}
}

func TestErrorsAreThoseOfToss(t *testing.T) {
	names, err := filepath.Glob("testdata/api/error.*.json")
	if err != nil || len(names) < 5 {
		t.Fatalf("%v: %v", names, err)
	}
	b := start(t, tosstest.Options{})
	for _, name := range names {
		part := strings.Split(filepath.Base(name), ".")
		got := b.must("GET", "/v1/payments/x", nil, "TossPayments-Test-Code", part[2])
		if fmt.Sprint(got.status) != part[1] || got.Code != part[2] {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		for _, p := range shape("error", recorded(t, "api/"+filepath.Base(name)), parse(t, got.body)) {
			t.Errorf("%s: %s", name, p)
		}
		english := b.must("GET", "/v1/payments/x", nil, "TossPayments-Test-Code", part[2], "Accept-Language", "en-US")
		if english.Message == got.Message || strings.ContainsFunc(english.Message, func(r rune) bool { return r > 0x7f }) {
			t.Errorf("%s: in English %q", name, english.Message)
		}
	}
}

// TestEventsAreThoseOfToss compares what is delivered with the recorded bodies.
func TestEventsAreThoseOfToss(t *testing.T) {
	for name, status := range map[string][2]string{
		"PAYMENT_STATUS_CHANGED.done.card.json":           {"CARD", "DONE"},
		"PAYMENT_STATUS_CHANGED.canceled.json":            {"CARD", "CANCELED"},
		"PAYMENT_STATUS_CHANGED.partial_canceled.json":    {"CARD", "PARTIAL_CANCELED"},
		"PAYMENT_STATUS_CHANGED.aborted.json":             {"CARD", "ABORTED"},
		"PAYMENT_STATUS_CHANGED.expired.json":             {"CARD", "EXPIRED"},
		"PAYMENT_STATUS_CHANGED.waiting_for_deposit.json": {"VIRTUAL_ACCOUNT", "WAITING_FOR_DEPOSIT"},
		"PAYMENT_STATUS_CHANGED.done.virtual_account.json": {
			"VIRTUAL_ACCOUNT", "DONE"},
		"PAYMENT_STATUS_CHANGED.done.easypay.json": {"TOSSPAY", "DONE"},
		"DEPOSIT_CALLBACK.done.json":               {"VIRTUAL_ACCOUNT", "DONE"},
		"DEPOSIT_CALLBACK.waiting_for_deposit.json": {
			"VIRTUAL_ACCOUNT", "WAITING_FOR_DEPOSIT"},
	} {
		in := &inbox{}
		shapeOf := tosstest.EventPayment
		if strings.HasPrefix(name, "DEPOSIT") {
			shapeOf = tosstest.EventDeposit
		}
		b := start(t, tosstest.Options{Receiver: in, Events: []string{shapeOf}})
		b.in(status[0], status[1])
		all := in.all(b)
		if len(all) == 0 {
			t.Errorf("%s: nothing was delivered", name)
			continue
		}
		want, got := recorded(t, "webhook/"+name), parse(t, string(all[len(all)-1].body))
		for _, p := range shape("event", want, got) {
			t.Errorf("%s: %s", name, p)
		}
		if data, ok := got["data"].(map[string]any); ok && data["status"] != want["data"].(map[string]any)["status"] {
			t.Errorf("%s: status %v", name, data["status"])
		}
	}
}

// TestOtherEventsAreThoseOfToss compares the events that only a hand sends.
func TestOtherEventsAreThoseOfToss(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	for _, name := range []string{"payout.changed.completed", "seller.changed", "CANCEL_STATUS_CHANGED.done", "METHOD_UPDATED", "CUSTOMER_STATUS_CHANGED"} {
		eventType := strings.TrimSuffix(strings.TrimSuffix(name, ".completed"), ".done")
		if err := b.sim.SendByHand(tosstest.ByHand{EventType: eventType}); err != nil {
			t.Fatal(err)
		}
		all := in.all(b)
		got, want := parse(t, string(all[len(all)-1].body)), recorded(t, "webhook/"+name+".json")
		for _, p := range shape("event", want, got) {
			t.Errorf("%s: %s", name, p)
		}
		if got["eventType"] != eventType {
			t.Errorf("%s: eventType %v", name, got["eventType"])
		}
	}
}
