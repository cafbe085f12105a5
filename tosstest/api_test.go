package tosstest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// wants checks status, code and the form of an error.
func wants(t *testing.T, what string, got answer, status int, code string) {
	t.Helper()
	if got.status != status || got.Code != code || code != "" && got.Message == "" {
		t.Errorf("%s: %d %s, want %d %s", what, got.status, got.body, status, code)
	}
}

func TestConfirmAnswersAsDocumented(t *testing.T) {
	b := start(t, tosstest.Options{SecretKey: "test_gsk_x"})
	key := b.paid(order("order-1", 15000))
	idle, err := b.sim.Open(order("order-2", 15000))
	if err != nil {
		t.Fatal(err)
	}
	b.key = "test_gsk_other"
	wants(t, "another key", b.confirm(key, "order-1", 15000), 401, "UNAUTHORIZED_KEY")
	b.key = ""
	wants(t, "no key", b.confirm(key, "order-1", 15000), 401, "UNAUTHORIZED_KEY")
	b.key = "test_gsk_x:password"
	wants(t, "key and password", b.confirm(key, "order-1", 15000), 401, "UNAUTHORIZED_KEY")
	b.key = "test_gsk_x"
	wants(t, "unknown key", b.confirm("tsim_no", "order-1", 15000), 404, "NOT_FOUND_PAYMENT_SESSION")
	wants(t, "another order", b.confirm(key, "order-2", 15000), 404, "NOT_FOUND_PAYMENT_SESSION")
	wants(t, "another amount", b.confirm(key, "order-1", 14999), 400, "INVALID_REQUEST")
	wants(t, "half an amount", b.confirm(key, "order-1", 15000.5), 400, "INVALID_REQUEST")
	wants(t, "a text as amount", b.confirm(key, "order-1", "15000"), 400, "INVALID_REQUEST")
	wants(t, "not authenticated", b.confirm(idle.PaymentKey, "order-2", 15000), 404, "NOT_FOUND_PAYMENT_SESSION")
	if p, _ := b.sim.Payment(key); p.Status != "IN_PROGRESS" {
		t.Errorf("after refusals: %s", p.Status)
	}
	wants(t, "confirm", b.confirm(key, "order-1", 15000), 200, "")
	wants(t, "once more", b.confirm(key, "order-1", 15000), 400, "ALREADY_PROCESSED_PAYMENT")
	wants(t, "an unknown address", b.must("POST", "/v1/nothing", nil), 404, "NOT_FOUND")
	_, _, err = b.sim.Pay(order("order-1", 1))
	if got := tosstest.Code(err); got != "DUPLICATED_ORDER_ID" {
		t.Errorf("a paid order is opened again: %v", err)
	}
}

func TestUnsureCodesAreOptions(t *testing.T) {
	b := start(t, tosstest.Options{Codes: map[string]string{"wrongOrder": "FORBIDDEN_REQUEST", "overRefund": "EXCEED_MAX_REFUND_AMOUNT"}})
	key := b.paid(order("order-1", 100))
	wants(t, "another order", b.confirm(key, "order-x", 100), 403, "FORBIDDEN_REQUEST")
	b.confirm(key, "order-1", 100)
	wants(t, "too much", b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x", "cancelAmount": 101}),
		400, "EXCEED_MAX_REFUND_AMOUNT")
	wants(t, "wrong amount", b.confirm(b.paid(order("order-2", 100)), "order-2", 1), 400, "INVALID_REQUEST")
}

func TestCancelAnswersAsDocumented(t *testing.T) {
	b := start(t, tosstest.Options{})
	key := b.paid(order("order-1", 1000))
	cancel := func(body map[string]any, headers ...string) answer {
		t.Helper()
		return b.must("POST", "/v1/payments/"+key+"/cancel", body, headers...)
	}
	wants(t, "before confirm", cancel(map[string]any{"cancelReason": "x"}), 403, "NOT_CANCELABLE_PAYMENT")
	b.confirm(key, "order-1", 1000)
	wants(t, "no reason", cancel(map[string]any{}), 400, "INVALID_REQUEST")
	wants(t, "long reason", cancel(map[string]any{"cancelReason": strings.Repeat("가", 201)}), 400, "INVALID_REQUEST")
	wants(t, "too much", cancel(map[string]any{"cancelReason": "x", "cancelAmount": 1001}), 400, "INVALID_REFUND_AMOUNT")
	wants(t, "nothing", cancel(map[string]any{"cancelReason": "x", "cancelAmount": 0}), 400, "INVALID_REQUEST")
	wants(t, "another currency", cancel(map[string]any{"cancelReason": "x", "currency": "USD"}), 400, "INVALID_REQUEST")
	wants(t, "wrong refundable", cancel(map[string]any{"cancelReason": "x", "refundableAmount": 999}), 400, "NOT_MATCHES_REFUNDABLE_AMOUNT")
	wants(t, "unknown payment", b.must("POST", "/v1/payments/tsim_no/cancel", map[string]any{"cancelReason": "x"}), 404, "NOT_FOUND_PAYMENT")
	wants(t, "at the bank", cancel(map[string]any{"cancelReason": "x"}, "TossPayments-Test-Code", "FAILED_REFUND_PROCESS"), 500, "FAILED_REFUND_PROCESS")
	if p, _ := b.sim.Payment(key); p.BalanceAmount != 1000 || len(p.Cancels) != 0 {
		t.Errorf("refused cancellations have left %d of 1000", p.BalanceAmount)
	}
	wants(t, "in part", cancel(map[string]any{"cancelReason": strings.Repeat("가", 200), "cancelAmount": 400}), 200, "")
	wants(t, "more than is left", cancel(map[string]any{"cancelReason": "x", "cancelAmount": 601}), 400, "INVALID_REFUND_AMOUNT")
	wants(t, "the rest", cancel(map[string]any{"cancelReason": "x", "cancelAmount": 600}), 200, "")
	wants(t, "again", cancel(map[string]any{"cancelReason": "x"}), 400, "ALREADY_CANCELED_PAYMENT")
}

func TestVirtualAccountWaitsForItsDeposit(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in})
	o := order("order-1", 20000)
	o.Method = "VIRTUAL_ACCOUNT"
	key := b.paid(o)
	got := b.confirm(key, "order-1", 20000)
	if got.Status != "WAITING_FOR_DEPOSIT" || got.Secret == nil || !strings.HasPrefix(got.VirtualAccount.AccountNumber, "X") || got.ApprovedAt != nil ||
		got.SuppliedAmount != 18182 || got.VAT != 1818 {
		t.Fatalf("confirm: %s", got.body)
	}
	secret := *got.Secret
	cancel := func(body map[string]any) answer { return b.must("POST", "/v1/payments/"+key+"/cancel", body) }
	wants(t, "in part before the deposit", cancel(map[string]any{"cancelReason": "x", "cancelAmount": 1}), 403, "NOT_CANCELABLE_AMOUNT")
	steps := []func(string) (tosstest.Payment, error){b.sim.Deposit, b.sim.RevertDeposit, b.sim.Deposit}
	for i, step := range steps {
		if _, err := step(key); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	wants(t, "no account to refund to", cancel(map[string]any{"cancelReason": "x"}), 400, "INVALID_REQUEST")
	account := map[string]any{"bank": "20", "accountNumber": "1002000000000", "holderName": "김민지"}
	wants(t, "a bad account", cancel(map[string]any{"cancelReason": "x", "refundReceiveAccount": map[string]any{"bank": "20"}}), 400, "INVALID_REFUND_ACCOUNT_INFO")
	part := cancel(map[string]any{"cancelReason": "x", "cancelAmount": 100, "refundReceiveAccount": account})
	if part.Status != "PARTIAL_CANCELED" || part.VirtualAccount.RefundReceiveAccount.BankCode != "20" {
		t.Errorf("cancel in part: %s", part.body)
	}
	const each = "PAYMENT:%s DEPOSIT:%[1]s "
	want := ""
	for _, s := range []string{"WAITING_FOR_DEPOSIT", "DONE", "WAITING_FOR_DEPOSIT", "DONE", "PARTIAL_CANCELED"} {
		want += fmt.Sprintf(each, s)
	}
	if got := in.states(b); got != strings.TrimSpace(want) {
		t.Errorf("delivered %s, want %s", got, want)
	}
	for _, d := range in.all(b) {
		var v map[string]any
		if err := json.Unmarshal(d.body, &v); err != nil {
			t.Fatal(err)
		}
		if v["eventType"] != nil {
			continue
		}
		if v["secret"] != secret || v["orderId"] != "order-1" || v["transactionKey"] == nil || len(v) != 5 {
			t.Errorf("deposit: %s", d.body)
		}
	}
}

func TestVirtualAccountOverItsDueDateKeepsWaiting(t *testing.T) {
	in := &inbox{}
	b := start(t, tosstest.Options{Receiver: in, Events: []string{tosstest.EventDeposit}})
	o := order("order-1", 20000)
	o.Method = "VIRTUAL_ACCOUNT"
	key := b.paid(o)
	b.confirm(key, "order-1", 20000)
	b.sim.Advance(8 * 24 * time.Hour)
	p, _ := b.sim.Payment(key)
	if p.Status != "WAITING_FOR_DEPOSIT" || !p.VirtualAccount.Expired {
		t.Errorf("after eight days: %s, expired %v", p.Status, p.VirtualAccount.Expired)
	}
	if _, err := b.sim.Deposit(key); err == nil {
		t.Error("a deposit after the due date was taken")
	}
	wants(t, "cancel before a deposit", b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x"}), 200, "")
	var rows []struct{ Amount int64 }
	list := b.must("GET", "/v1/transactions?startDate=2000-01-01T00:00:00&endDate=2100-01-01T00:00:00", nil)
	if err := json.Unmarshal([]byte(list.body), &rows); err != nil || len(rows) != 2 || rows[1].Amount != 0 {
		t.Errorf("nothing was paid in, and yet money moved: %s", list.body)
	}
	if got, want := in.states(b), "DEPOSIT:WAITING_FOR_DEPOSIT DEPOSIT:CANCELED"; got != want {
		t.Errorf("delivered %s, want %s", got, want)
	}
}

func TestIdempotencyKeyRepeatsTheFirstAnswer(t *testing.T) {
	b := start(t, tosstest.Options{})
	key := b.paid(order("order-1", 1000))
	wants(t, "too long", b.confirm(key, "order-1", 1000, "Idempotency-Key", strings.Repeat("k", 301)), 400, "INVALID_IDEMPOTENCY_KEY")
	wants(t, "refused", b.confirm(key, "order-1", 999, "Idempotency-Key", "a"), 400, "INVALID_REQUEST")
	first := b.confirm(key, "order-1", 1000, "Idempotency-Key", "a") // an error was not kept
	wants(t, "first", first, 200, "")
	cancelled := b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x"}, "Idempotency-Key", "a")
	wants(t, "the same key at another API", cancelled, 200, "")
	if again := b.confirm(key, "order-1", 1000, "Idempotency-Key", "a"); again.body != first.body {
		t.Errorf("repeated: %s, want %s", again.body, first.body)
	}
	wants(t, "another key", b.confirm(key, "order-1", 1000, "Idempotency-Key", "b"), 400, "ALREADY_PROCESSED_PAYMENT")
	b.sim.Advance(15 * 24 * time.Hour)
	wants(t, "after 15 days", b.confirm(key, "order-1", 1000, "Idempotency-Key", "a"), 400, "ALREADY_PROCESSED_PAYMENT")
	changed := 0
	for _, c := range b.sim.Calls() {
		if c.API == "confirm" && c.Changed {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d captures, want 1", changed)
	}
}

func TestIdempotencyKeyInFlightIsAConflict(t *testing.T) {
	b := start(t, tosstest.Options{ReplayErrors: true})
	key := b.paid(order("order-1", 1000))
	if err := b.sim.Fault("confirm", tosstest.Fault{Action: "timeoutBeforeCommit"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := b.call("POST", "/v1/payments/confirm", map[string]any{"paymentKey": key, "orderId": "order-1", "amount": 1000}, "Idempotency-Key", "a")
		done <- err
	}()
	b.untilHung(1)
	wants(t, "in flight", b.confirm(key, "order-1", 1000, "Idempotency-Key", "a"), 409, "IDEMPOTENT_REQUEST_PROCESSING")
	b.sim.ReleaseHung()
	if err := <-done; err == nil {
		t.Error("a timeout was answered")
	}
	wants(t, "afterwards", b.confirm(key, "order-1", 1000, "Idempotency-Key", "a"), 200, "")
	wants(t, "an error", b.confirm(key, "order-1", 1000, "Idempotency-Key", "b"), 400, "ALREADY_PROCESSED_PAYMENT")
	b.confirm(key, "order-1", 1000, "Idempotency-Key", "b")
	if calls := b.sim.Calls(); !calls[len(calls)-1].Replayed {
		t.Error("an error was not replayed although the option says so")
	}
}

// untilHung waits until so many connections or operations hang.
func (b *bench) untilHung(n int) {
	b.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.sim.Hung() < n {
		if time.Now().After(deadline) {
			b.Fatalf("%d hang, want %d", b.sim.Hung(), n)
		}
		<-tick.C
	}
}

func TestTestCodeWorksWithTestKeysOnly(t *testing.T) {
	b := start(t, tosstest.Options{SecretKey: "live_gsk_x"})
	b.key = "live_gsk_x"
	key := b.paid(order("order-1", 1000))
	wants(t, "live key", b.confirm(key, "order-1", 1000, "TossPayments-Test-Code", "REJECT_CARD_PAYMENT"), 200, "")
	b = start(t, tosstest.Options{})
	key = b.paid(order("order-1", 1000))
	wants(t, "test key", b.confirm(key, "order-1", 1000, "TossPayments-Test-Code", "REJECT_CARD_PAYMENT"), 403, "REJECT_CARD_PAYMENT")
	wants(t, "an unknown code", b.must("GET", "/v1/payments/no", nil, "TossPayments-Test-Code", "SOME_CODE"), 400, "SOME_CODE")
	if p, _ := b.sim.Payment(key); p.Status != "IN_PROGRESS" {
		t.Errorf("after a test code: %s", p.Status)
	}
}

func TestRateLimitCountsEachAPI(t *testing.T) {
	b := start(t, tosstest.Options{RateLimit: 2})
	for i, want := range []int{404, 404, 429} {
		if got := b.must("GET", "/v1/payments/no", nil); got.status != want {
			t.Errorf("call %d: %d, want %d", i+1, got.status, want)
		}
	}
	wants(t, "another API", b.confirm("no", "order-1", 1), 404, "NOT_FOUND_PAYMENT_SESSION")
	b.sim.Advance(time.Minute)
	wants(t, "a minute later", b.must("GET", "/v1/payments/no", nil), 404, "NOT_FOUND_PAYMENT")
}

func TestTransactionsArePaged(t *testing.T) {
	b := start(t, tosstest.Options{Now: func() time.Time { return time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC) }})
	o := order("order-1", 1000)
	o.CustomerKey = "someone"
	key := b.paid(o)
	b.confirm(key, "order-1", 1000)
	b.sim.Advance(time.Hour)
	b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x", "cancelAmount": 300})
	rows := func(query string) (rows []map[string]any) {
		t.Helper()
		a := b.must("GET", "/v1/transactions?"+query, nil)
		if err := json.Unmarshal([]byte(a.body), &rows); err != nil {
			t.Fatalf("%s: %s", query, a.body)
		}
		return rows
	}
	all := rows("startDate=2026-11-21T12:00:00&endDate=2026-11-21T13:00:00")
	if len(all) != 2 || all[0]["status"] != "DONE" || all[1]["status"] != "CANCELED" || all[1]["amount"] != 300.0 ||
		all[0]["paymentKey"] != key || all[0]["customerKey"] != "someone" || all[1]["transactionAt"] != "2026-11-21T13:00:00+09:00" {
		t.Errorf("transactions: %v", all)
	}
	if early := rows("startDate=2026-11-21T12:00:00&endDate=2026-11-21T12:59:59"); len(early) != 1 {
		t.Errorf("until 12:59:59: %v", early)
	}
	one := rows("startDate=2026-11-21T12:00:00&endDate=2026-11-21T13:00:00&limit=1")
	rest := rows("startDate=2026-11-21T12:00:00&endDate=2026-11-21T13:00:00&startingAfter=" + fmt.Sprint(one[0]["transactionKey"]))
	if diff := cmp.Diff(all, append(one, rest...)); diff != "" {
		t.Errorf("pages (-whole +pages):\n%s", diff)
	}
	wants(t, "no dates", b.must("GET", "/v1/transactions", nil), 400, "INVALID_REQUEST")
}

// TestNoOtherTransitions tries every deed in every state and compares with the
// arrows that the documentation draws.
func TestNoOtherTransitions(t *testing.T) {
	deeds := map[string]func(b *bench, key string) error{
		"authorize": func(b *bench, key string) error { _, err := b.sim.Authorize(key); return err },
		"confirm": func(b *bench, key string) error {
			return refused(b.confirm(key, "order-1", 1000))
		},
		"cancel": func(b *bench, key string) error {
			return refused(b.must("POST", "/v1/payments/"+key+"/cancel", map[string]any{"cancelReason": "x",
				"refundReceiveAccount": map[string]any{"bank": "20", "accountNumber": "1", "holderName": "x"}}))
		},
		"deposit":      func(b *bench, key string) error { _, err := b.sim.Deposit(key); return err },
		"depositError": func(b *bench, key string) error { _, err := b.sim.RevertDeposit(key); return err },
		"expire":       func(b *bench, key string) error { _, err := b.sim.Expire(key); return err },
		"capture":      func(b *bench, key string) error { _, err := b.sim.Capture(key); return err },
		"reject":       func(b *bench, key string) error { _, err := b.sim.Decline(key, "reject"); return err },
	}
	for method, arrows := range map[string]map[string]string{
		"CARD": {
			"READY": "authorize=IN_PROGRESS expire=EXPIRED reject=READY", "IN_PROGRESS": "capture=DONE confirm=DONE expire=EXPIRED",
			"DONE": "cancel=CANCELED", "PARTIAL_CANCELED": "cancel=CANCELED", "CANCELED": "", "ABORTED": "", "EXPIRED": "",
		},
		"VIRTUAL_ACCOUNT": {
			"READY":       "authorize=IN_PROGRESS expire=EXPIRED reject=READY",
			"IN_PROGRESS": "capture=WAITING_FOR_DEPOSIT confirm=WAITING_FOR_DEPOSIT expire=EXPIRED",
			"DONE":        "cancel=CANCELED depositError=WAITING_FOR_DEPOSIT", "PARTIAL_CANCELED": "cancel=CANCELED",
			"WAITING_FOR_DEPOSIT": "cancel=CANCELED deposit=DONE", "CANCELED": "", "ABORTED": "", "EXPIRED": "",
		},
	} {
		for from, want := range arrows {
			var got []string
			for name, deed := range deeds {
				b := start(t, tosstest.Options{})
				key := b.in(method, from)
				err := deed(b, key)
				p, _ := b.sim.Payment(key)
				if err == nil {
					got = append(got, name+"="+p.Status)
				} else if p.Status != from {
					t.Errorf("%s %s: %s was refused (%v) and yet made it %s", method, from, name, err, p.Status)
				}
			}
			slices.Sort(got)
			if got := strings.Join(got, " "); got != want {
				t.Errorf("%s %s: %s, want %s", method, from, got, want)
			}
		}
	}
}

func refused(a answer) error {
	if a.status != http.StatusOK {
		return fmt.Errorf("%s", a.Code)
	}
	return nil
}

// in gives a payment of 1000 in a state, by the way that leads there.
func (b *bench) in(method, status string) string {
	b.Helper()
	o := order("order-1", 1000)
	o.Method = method
	p, err := b.sim.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	key := p.PaymentKey
	do := func(_ any, err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	switch status {
	case "READY":
		return key
	case "EXPIRED":
		do(b.sim.Expire(key))
		return key
	}
	do(b.sim.Authorize(key))
	switch status {
	case "IN_PROGRESS":
		return key
	case "ABORTED":
		do(nil, b.sim.Fault("confirm", tosstest.Fault{Action: "refuse", Code: "REJECT_CARD_PAYMENT"}))
		wants(b.T, "refuse", b.confirm(key, "order-1", 1000), 403, "REJECT_CARD_PAYMENT")
		return key
	}
	do(b.sim.Capture(key))
	if method == "VIRTUAL_ACCOUNT" && status != "WAITING_FOR_DEPOSIT" {
		do(b.sim.Deposit(key))
	}
	switch status {
	case "PARTIAL_CANCELED":
		do(b.sim.Refund(key, 1, "x"))
	case "CANCELED":
		do(b.sim.Refund(key, 0, "x"))
	}
	if p, _ := b.sim.Payment(key); p.Status != status {
		b.Fatalf("%s: it is %s", status, p.Status)
	}
	return key
}

// TestErrorsAgreeWithToss asks what can be asked without a payment. With
// HK_LIVE_TOSS=1 and internet access it asks Toss itself too, with the key of
// Toss's documentation, and wants the same.
func TestErrorsAgreeWithToss(t *testing.T) {
	ask := func(b *bench) (said []string) {
		for _, a := range []answer{
			b.confirm("tsim_unknown_payment_key", "order-unknown-1", 1000),
			b.must("GET", "/v1/payments/tsim_unknown_payment_key", nil),
			b.must("GET", "/v1/payments/orders/order-unknown-1", nil),
			b.must("POST", "/v1/payments/tsim_unknown_payment_key/cancel", map[string]any{"cancelReason": "x"}),
			b.must("GET", "/v1/payments/x", nil, "TossPayments-Test-Code", "REJECT_CARD_PAYMENT"),
		} {
			said = append(said, fmt.Sprint(a.status, " ", a.Code))
		}
		b.key = "test_sk_wrong"
		if b.sim != nil {
			b.key = "wrong"
		}
		a := b.must("GET", "/v1/payments/x", nil)
		return append(said, fmt.Sprint(a.status, " ", a.Code))
	}
	want := []string{"404 NOT_FOUND_PAYMENT_SESSION", "404 NOT_FOUND_PAYMENT", "404 NOT_FOUND_PAYMENT", "404 NOT_FOUND_PAYMENT",
		"403 REJECT_CARD_PAYMENT", "401 UNAUTHORIZED_KEY"}
	if diff := cmp.Diff(want, ask(start(t, tosstest.Options{}))); diff != "" {
		t.Errorf("the simulator (-want +got):\n%s", diff)
	}
	if os.Getenv("HK_LIVE_TOSS") == "1" {
		live := &bench{T: t, url: "https://api.tosspayments.com", key: "test_gsk_docs_OaPz8L5KdmQXkzRz3y47BMw6"}
		if diff := cmp.Diff(want, ask(live)); diff != "" {
			t.Errorf("Toss (-want +got):\n%s", diff)
		}
	}
}
