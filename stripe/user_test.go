package stripe_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

type sqlResult = sql.Result

type senderFunc func(ctx context.Context, n stripe.Notice) error

func (f senderFunc) Send(ctx context.Context, n stripe.Notice) error { return f(ctx, n) }

// anonymous is a subscription that does not say whose it is.
func (b *bench) anonymous(sub, customer string) []byte {
	o := stripetest.Subscription(sub, customer, "", "active", b.sim.Now(), b.sim.Now().Add(time.Hour))
	o["metadata"] = map[string]any{}
	b.sim.Put(o)
	return b.sim.Emit("customer.subscription.created", sub)
}

// TestUnknownCustomerWaits: the job waits, is seen to wait for what, blocks nobody,
// and goes on once an event of another kind has told who the customer is.
func TestUnknownCustomerWaits(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		id := b.deliver(b.anonymous("sub_w", "cus_w")).EventID
		b.settle()
		e, err := b.store.Event(t.Context(), id)
		if err != nil || e.State != hook.StateWaiting {
			t.Fatalf("got %v, %v, want it waiting", e, err)
		}
		for _, j := range e.Jobs {
			if j.LastError == nil || !strings.Contains(*j.LastError, "customer cus_w") {
				t.Errorf("%s waits for %v, want the customer named", j.Handler, j.LastError)
			}
		}
		if got := b.one(`SELECT count(*) FROM subscriptions`); got != "0" {
			t.Errorf("got %s rows while the user is unknown", got)
		}
		b.clock.Advance(time.Minute)
		b.settle()
		session := stripetest.Object{"id": "cs_test_w", "object": "checkout.session", "customer": "cus_w", "mode": "subscription",
			"subscription": "sub_w", "payment_status": "paid", "client_reference_id": "usr_w", "customer_details": map[string]any{"email": "w@example.com"}}
		b.sim.Put(session)
		b.deliver(b.sim.Emit("checkout.session.completed", "cs_test_w"))
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT user_id, status FROM subscriptions`); got != "usr_w|active" {
			t.Errorf("got %s, want the subscription of usr_w", got)
		}
		if got := b.one(`SELECT user_id, email FROM customers`); got != "usr_w|w@example.com" {
			t.Errorf("customers: got %s", got)
		}
	})
}

// TestBetterEvidenceWins: for every order, what the application's server wrote
// beats a reference that may stand in a link, and the subscription follows.
func TestBetterEvidenceWins(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		for i, order := range permutations(3) {
			sub, customer := "sub_e"+string(rune('a'+i)), "cus_e"+string(rune('a'+i))
			b.sim.Put(stripetest.Object{"id": customer, "object": "customer", "email": "e@example.com", "metadata": map[string]any{"user_id": "usr_server"}})
			o := stripetest.Subscription(sub, customer, "", "active", b.sim.Now(), b.sim.Now().Add(time.Hour))
			b.sim.Put(o)
			b.sim.Put(stripetest.Object{"id": "cs_" + sub, "object": "checkout.session", "customer": customer, "subscription": sub,
				"mode": "subscription", "payment_status": "paid", "client_reference_id": "usr_link"})
			bodies := [][]byte{b.sim.Emit("customer.created", customer), b.sim.Emit("customer.subscription.created", sub),
				b.sim.Emit("checkout.session.completed", "cs_"+sub)}
			for _, at := range order {
				b.deliver(bodies[at])
			}
		}
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT count(*) FROM customers WHERE user_id = 'usr_server'`); got != "6" {
			t.Errorf("customers right: got %s of 6", got)
		}
		if got := b.one(`SELECT count(*) FROM subscriptions WHERE user_id = 'usr_server'`); got != "6" {
			t.Errorf("subscriptions right: got %s of 6", got)
		}
	})
}

// TestTableUsers: the application's own table in the same database.
func TestTableUsers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.apply(`CREATE TABLE members (id BIGINT, stripe_customer_id TEXT)`)
		users, err := stripe.NewTableUsers(b.store, "members", "id", "stripe_customer_id")
		if err != nil {
			t.Fatal(err)
		}
		b.open(func(c *stripe.Config) { c.Users = users })
		b.work(1)
		b.deliver(b.anonymous("sub_t", "cus_t"))
		b.settle()
		b.apply(`INSERT INTO members VALUES (4711, 'cus_t')`)
		b.settlePatiently()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT user_id FROM subscriptions`); got != "4711" {
			t.Errorf("got user %s, want 4711", got)
		}
		b.apply(`INSERT INTO members VALUES (1, 'cus_two')`)
		b.apply(`INSERT INTO members VALUES (2, 'cus_two')`)
		if user, err := users.UserOf(t.Context(), stripe.Customer{ID: "cus_two"}); err == nil {
			t.Errorf("a customer with two users: got %s, want an error", user)
		}
	})
	for _, bad := range [][3]string{{`users"; DROP TABLE x; --`, "id", "c"}, {"a.b.c", "id", "c"}, {"users", "i d", "c"}, {"users", "id", `c"`}, {"", "id", "c"}} {
		if _, err := stripe.NewTableUsers(viewer{}, bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("names %q: taken, want them refused", bad)
		}
	}
}

type viewer struct{ hook.Viewer }

func (b *bench) apply(query string) {
	b.Helper()
	err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, query)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// application knows some customers, and hangs for one. It believes nobody who does
// not sign with key.
func application(key string, calls *atomic.Int32) http.HandlerFunc {
	answers := map[string]string{"cus_known": `{"user_id":"usr_1"}`, "cus_number": `{"user_id": 42}`, "cus_null": `{"user_id":null}`, "cus_bad": `[1]`}
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		at, sig, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Hookkeeper-Signature"), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		if at == "" || sig != hex.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		for customer, answer := range answers {
			if strings.Contains(string(body), `"`+customer+`"`) {
				_, _ = io.WriteString(w, answer)
				return
			}
		}
		if strings.Contains(string(body), "cus_hangs") {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestHTTPUsers: signed, bounded, remembered.
func TestHTTPUsers(t *testing.T) {
	t.Parallel()
	const key = "a-secret-of-the-application"
	var calls atomic.Int32
	server := httptest.NewServer(application(key, &calls))
	defer server.Close()
	now := time.Now()
	users, err := stripe.NewHTTPUsers(server.URL, key, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ask := func(id string) (string, error) {
		return users.UserOf(t.Context(), stripe.Customer{Source: "stripe", ID: id})
	}
	for id, want := range map[string]string{"cus_known": "usr_1", "cus_number": "42", "cus_null": "", "cus_none": ""} {
		if got, err := ask(id); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", id, got, err, want)
		}
	}
	if _, err := ask("cus_bad"); err == nil {
		t.Error("an answer that is no object: taken")
	}
	before := calls.Load()
	_, _ = ask("cus_known")
	if calls.Load() != before {
		t.Error("a known customer was asked for again")
	}
	now = now.Add(11 * time.Minute)
	_, _ = ask("cus_known")
	if calls.Load() != before+1 {
		t.Error("after eleven minutes it was not asked for again")
	}
	began := time.Now()
	if _, err := ask("cus_hangs"); err == nil || time.Since(began) > 5*time.Second || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a callback that hangs: got %v after %s, want a deadline of 2 s", err, time.Since(began))
	}
	wrong, err := stripe.NewHTTPUsers(server.URL, "another-secret-altogether", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.UserOf(t.Context(), stripe.Customer{ID: "cus_known"}); err == nil || strings.Contains(err.Error(), server.URL) {
		t.Errorf("a wrong secret: got %v, want an error without the address", err)
	}
	for _, bad := range []string{"", "ftp://x", "http://user:pw@host/"} {
		if _, err := stripe.NewHTTPUsers(bad, key, nil); err == nil {
			t.Errorf("callback %q: taken", bad)
		}
	}
	if _, err := stripe.NewHTTPUsers(server.URL, "short", nil); err == nil {
		t.Error("a short secret: taken")
	}
}
