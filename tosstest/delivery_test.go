package tosstest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

const (
	idHeader        = "Tosspayments-Webhook-Transmission-Id"
	timeHeader      = "Tosspayments-Webhook-Transmission-Time"
	retriedHeader   = "Tosspayments-Webhook-Transmission-Retried-Count"
	signatureHeader = "Tosspayments-Webhook-Signature"
)

func securityKey(digit string) string { return strings.Repeat(digit, 64) }

func TestSevenRetriesThenNoMore(t *testing.T) {
	in := &inbox{answer: func(int) int { return http.StatusServiceUnavailable }}
	b := start(t, tosstest.Options{Receiver: in})
	key := b.paid(order("order-1", 1000))
	b.confirm(key, "order-1", 1000)
	if n := len(in.all(b)); n != 1 {
		t.Fatalf("%d deliveries at once, want 1", n)
	}
	begin := b.sim.Now()
	var at []int
	b.sim.Advance(10 * 24 * time.Hour)
	all := in.all(b)
	for i, d := range b.sim.Deliveries() {
		at = append(at, int(d.At.Sub(begin)/time.Minute))
		if got := all[i]; got.header.Get(retriedHeader) != string(rune('0'+i)) || got.header.Get(idHeader) != d.ID ||
			string(got.body) != string(all[0].body) || d.ID != b.sim.Deliveries()[0].ID || d.Status != 503 {
			t.Errorf("attempt %d: %v", i, got.header)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 5, 21, 85, 341, 1365, 5461}, at); diff != "" {
		t.Errorf("minutes of the attempts (-want +got):\n%s", diff)
	}
	times := map[string]bool{}
	for _, d := range all {
		times[d.header.Get(timeHeader)] = true
	}
	if len(times) != 8 {
		t.Errorf("%d transmission times in 8 attempts", len(times))
	}
}

func TestRetryEndsWithTheFirst200(t *testing.T) {
	in := &inbox{answer: func(n int) int { return []int{500, 202, 200, 200}[n-1] }} // only 200 itself counts
	b := start(t, tosstest.Options{Receiver: in, RetriesKeepTime: true})
	b.confirm(b.paid(order("order-1", 1000)), "order-1", 1000)
	b.sim.Advance(24 * time.Hour)
	all := in.all(b)
	if len(all) != 3 {
		t.Fatalf("%d attempts, want 3", len(all))
	}
	if a, b := all[0].header.Get(timeHeader), all[2].header.Get(timeHeader); a != b {
		t.Errorf("times %s and %s, want them kept", a, b)
	}
}

func TestDeliveriesAreWhatTheSourceExpects(t *testing.T) {
	ours, other := securityKey("a"), securityKey("b")
	spelt, err := hex.DecodeString(ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sign, encoding string
		signed         string // of a payment's event: nothing, docs' formula or legacy's
	}{
		{"", "hex", ""}, {tosstest.SignNone, "hex", ""}, {tosstest.SignDocs, "bytes", ""},
		{tosstest.SignAll, "hex", "docs"}, {tosstest.SignAll, "bytes", "docs"}, {tosstest.SignLegacy, "hex", "legacy"},
	} {
		in := &inbox{}
		b := start(t, tosstest.Options{Receiver: in, Sign: test.sign, KeyEncoding: test.encoding, SecurityKeys: []string{ours, other}})
		b.confirm(b.paid(order("order-1", 1000)), "order-1", 1000)
		in.all(b)
		for _, eventType := range []string{"payout.changed", "seller.changed"} {
			if err := b.sim.SendByHand(tosstest.ByHand{EventType: eventType}); err != nil {
				t.Fatal(err)
			}
			in.all(b)
		}
		key := []byte(ours)
		if test.encoding == "bytes" {
			key = spelt
		}
		for i, d := range in.all(b) {
			want := test.signed
			if i > 0 && (test.sign == "" || test.sign == tosstest.SignDocs) {
				want = "docs"
			}
			mac := hmac.New(sha256.New, key)
			mac.Write(d.body)
			if want == "docs" {
				mac.Write([]byte(":" + d.header.Get(timeHeader)))
			}
			got := d.header.Get(signatureHeader)
			first, second, two := strings.Cut(got, ",")
			if want == "" && got != "" || want != "" && (first != "v1:"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) || !two || second == first) {
				t.Errorf("sign %q, %s, delivery %d: signature %q", test.sign, test.encoding, i, got)
			}
			s := source.Toss("toss", ours)
			now := time.Now()
			switch err := s.Verify(d.header, d.body, now); {
			case i == 0 || want == "docs":
				if err != nil {
					t.Errorf("sign %q, %s, delivery %d does not verify: %v", test.sign, test.encoding, i, err)
				}
			case err == nil:
				t.Errorf("sign %q, delivery %d verifies", test.sign, i)
			}
			id, err := s.Identify(d.header, d.body)
			if err != nil || i == 0 && (id.Subject != "order-1" || id.Type != tosstest.EventPayment) {
				t.Errorf("delivery %d: %+v, %v", i, id, err)
			}
		}
	}
}

func TestDepositSecretIsTheOneOfTheConfirmation(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in, Events: []string{tosstest.EventDeposit}})
	o := order("order-1", 1000)
	o.Method = "VIRTUAL_ACCOUNT"
	key := b.paid(o)
	secret := *b.confirm(key, "order-1", 1000).Secret
	if err := b.sim.SendByHand(tosstest.ByHand{PaymentKey: key, EventType: tosstest.EventDeposit, Status: "DONE", Secret: "ps_forged"}); err != nil {
		t.Fatal(err)
	}
	all := in.all(b)
	slices.SortStableFunc(all, func(x, y delivered) int { return strings.Compare(string(x.body), string(y.body)) })
	if len(all) != 2 {
		t.Fatalf("%d deliveries, want 2", len(all))
	}
	good := 0
	for _, d := range all {
		if source.TossDepositSecret(d.body, secret) {
			good++
		} else if !strings.Contains(string(d.body), `"DONE"`) {
			t.Errorf("the true one has a wrong secret: %s", d.body)
		}
	}
	if good != 1 {
		t.Errorf("%d of 2 carry the secret, want 1", good)
	}
}

// TestDeliveryFaults: each once, then the next event is well.
func TestDeliveryFaults(t *testing.T) {
	for _, test := range []struct {
		fault tosstest.Fault
		want  string // types and states of one payment: confirmed, then cancelled
	}{
		{tosstest.Fault{Action: "drop"}, "PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "duplicate", N: 3}, "PAYMENT:DONE PAYMENT:DONE PAYMENT:DONE PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "reorder"}, "PAYMENT:CANCELED PAYMENT:DONE"},
		{tosstest.Fault{Action: "delay", MS: 5000}, "PAYMENT:CANCELED PAYMENT:DONE"},
		{tosstest.Fault{Action: "contradict"}, "PAYMENT:DONE PAYMENT:ABORTED PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "truncatedBody"}, "unreadable PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "staleTime"}, "PAYMENT:DONE PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "emptySignature"}, "PAYMENT:DONE PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "missingHeaders"}, "PAYMENT:DONE PAYMENT:CANCELED"},
		{tosstest.Fault{Action: "badSignature"}, "PAYMENT:DONE PAYMENT:CANCELED"},
	} {
		in := &inbox{}
		b := start(t, tosstest.Options{Receiver: in, Sign: tosstest.SignAll, SecurityKeys: []string{securityKey("a")}})
		if err := b.sim.Fault("webhook", test.fault); err != nil {
			t.Fatal(err)
		}
		key := b.paid(order("order-1", 1000))
		b.confirm(key, "order-1", 1000)
		in.all(b)
		b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x"})
		in.all(b)
		b.sim.Advance(5 * time.Second)
		if got := in.states(b); got != test.want {
			t.Errorf("%s: delivered %s, want %s", test.fault.Action, got, test.want)
			continue
		}
		all := in.all(b)
		faulty, whole := all[0].header, all[len(all)-1].header
		key0 := []byte(securityKey("a"))
		right := func(d delivered) bool {
			mac := hmac.New(sha256.New, key0)
			mac.Write(d.body)
			mac.Write([]byte(":" + d.header.Get(timeHeader)))
			return d.header.Get(signatureHeader) == "v1:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}
		if !right(all[len(all)-1]) {
			t.Errorf("%s: what came afterwards is not signed well: %v", test.fault.Action, whole)
		}
		bad := false
		switch test.fault.Action {
		case "duplicate":
			bad = faulty.Get(idHeader) != all[1].header.Get(idHeader) || faulty.Get(idHeader) == whole.Get(idHeader)
		case "staleTime":
			bad = faulty.Get(timeHeader) >= whole.Get(timeHeader)[:14] || !right(all[0])
		case "emptySignature":
			bad = len(faulty[signatureHeader]) != 1 || faulty[signatureHeader][0] != ""
		case "missingHeaders":
			bad = faulty.Get(idHeader)+faulty.Get(timeHeader)+faulty.Get(signatureHeader) != ""
		case "badSignature", "truncatedBody":
			bad = faulty.Get(signatureHeader) == "" || right(all[0])
		}
		if bad {
			t.Errorf("%s: %v", test.fault.Action, faulty)
		}
	}
}

func TestDeliveryCanComeBeforeTheAnswer(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{})
	b := start(t, tosstest.Options{Receiver: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
	})})
	if err := b.sim.Fault("webhook", tosstest.Fault{Action: "beforeConfirmAnswers"}); err != nil {
		t.Fatal(err)
	}
	key := b.paid(order("order-1", 1000))
	answered := make(chan answer, 1)
	go func() { answered <- b.confirm(key, "order-1", 1000) }()
	<-arrived
	patience := time.NewTimer(50 * time.Millisecond)
	defer patience.Stop()
	select {
	case a := <-answered:
		t.Fatalf("confirm answered first: %s", a.body)
	case <-patience.C:
	}
	close(release)
	wants(t, "confirm", <-answered, 200, "")
}

func TestOneReceiverAfterAnother(t *testing.T) {
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	defer server.Close()
	b := start(t, tosstest.Options{})
	send := func(id string) {
		t.Helper()
		b.confirm(b.paid(order(id, 1000)), id, 1000)
		if err := b.sim.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	send("order-1")
	if d := b.sim.Deliveries(); len(d) != 1 || d[0].Error == "" || d[0].NextAt != nil {
		t.Errorf("with no receiver: %+v", d)
	}
	b.sim.SendTo(server.URL + "/hooks/a")
	send("order-2")
	b.sim.SendToHandler("/hooks/b", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	send("order-3")
	if a, b := <-got, <-got; a != "/hooks/a" || b != "/hooks/b" {
		t.Errorf("delivered to %s and %s", a, b)
	}
}

func TestHungReceiverIsGivenUp(t *testing.T) {
	b := start(t, tosstest.Options{DeliveryTimeout: 20 * time.Millisecond, Receiver: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})})
	b.confirm(b.paid(order("order-1", 1000)), "order-1", 1000)
	if err := b.sim.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := b.sim.Deliveries(); len(d) != 1 || d[0].Status != 0 || d[0].NextAt == nil {
		t.Errorf("%+v", d)
	}
}

func TestByHandForgesAndRepeats(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	key := b.paid(order("order-1", 1000))
	if err := b.sim.SendByHand(tosstest.ByHand{PaymentKey: key, Status: "DONE", Times: 2, DelayMS: 50}); err != nil {
		t.Fatal(err)
	}
	if n := len(in.all(b)); n != 0 {
		t.Errorf("%d deliveries before their time", n)
	}
	b.sim.Advance(50 * time.Millisecond)
	all := in.all(b)
	if got := in.states(b); got != "PAYMENT:DONE PAYMENT:DONE" || all[0].header.Get(idHeader) != all[1].header.Get(idHeader) {
		t.Errorf("delivered %s", got)
	}
	if p, _ := b.sim.Payment(key); p.Status != "IN_PROGRESS" {
		t.Errorf("a forgery changed the payment: %s", p.Status)
	}
	for _, eventType := range []string{"CANCEL_STATUS_CHANGED", "BILLING_DELETED", "METHOD_UPDATED", "CUSTOMER_STATUS_CHANGED"} {
		if err := b.sim.SendByHand(tosstest.ByHand{EventType: eventType}); err != nil {
			t.Error(err)
		}
	}
	if err := b.sim.SendByHand(tosstest.ByHand{EventType: "MADE_UP", Data: json.RawMessage(`{"x":1}`)}); err != nil {
		t.Error(err)
	}
	for _, wrong := range []tosstest.ByHand{{PaymentKey: "no"}, {EventType: "MADE_UP"}, {PaymentKey: key, Sign: "all"}, {PaymentKey: key, Times: -1}} {
		if err := b.sim.SendByHand(wrong); err == nil {
			t.Errorf("%+v was sent", wrong)
		}
	}
	if n := len(in.all(b)); n != 7 {
		t.Errorf("%d deliveries, want 7", n)
	}
}

func TestCloseEndsWhatIsOnItsWay(t *testing.T) {
	begun := make(chan struct{})
	sim := tosstest.New(tosstest.Options{Receiver: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})})
	key, _, err := sim.Pay(order("order-1", 1000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Capture(key); err != nil {
		t.Fatal(err)
	}
	<-begun
	ended, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	closed := make(chan struct{})
	go func() { sim.Close(); close(closed) }()
	select {
	case <-closed:
	case <-ended.Done():
		t.Error("Close waits for a receiver that hangs")
	}
}
