package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// developing is a dev that runs until stop is called.
type developing struct {
	out, log *watched
	stop     func() (code int)
}

// startsDev runs dev in the present folder, on free ports.
func startsDev(t *testing.T) *developing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &developing{out: newWatched(), log: newWatched()}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"dev", "--quiet", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0",
			"--sandbox-listen", "127.0.0.1:0", "--stripe-listen", "127.0.0.1:0"},
			func(string) (string, bool) { return "", false }, strings.NewReader(""), d.out, d.log)
	}()
	d.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { d.stop() })
	d.out.wait(t, "Look, and see", "events list")
	return d
}

// known asks Stripe's double for an object, as billing does.
func (d *developing) known(t *testing.T, path string) (code int, status string) {
	t.Helper()
	base := d.out.wait(t, "  stripe     ", "/v1/subscriptions")
	var o struct{ Status string }
	code = askAs(t, "any", base+path, &o)
	return code, o.Status
}

// settled waits until so many of the sent events are there and all are done.
func settled(t *testing.T, many int) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(15 * time.Second); ; <-look.C {
		got := call(t, nil, "events", "list", "--source", "stripe", "--type", "customer.*,invoice.*,checkout.*,v1.*", "--json")
		lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
		if len(lines) == many && all(lines, `"state":"done","jobs":`) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%d events are not done:\n%s%s", many, got.stdout, got.stderr)
		}
	}
}

// TestDevPlaysStripe: in an empty folder and with the network off a developer sees
// a subscription, what its user may use, and what the user was told; billing asks
// the double for what was sent, and compares with it.
func TestDevPlaysStripe(t *testing.T) {
	t.Chdir(t.TempDir())
	d := startsDev(t)
	api := "http://" + d.out.wait(t, "  operators  http://", "/api") + "/api/v1/users/usr_1001/"
	for _, line := range []string{"  hookkeeper send stripe --scenario subscription-lifecycle\n", " " + api + "access\n", " " + api + "notifications\n"} {
		if !strings.Contains(d.out.String(), line) {
			t.Errorf("dev does not print %q", line)
		}
	}
	if got := call(t, nil, "send", "stripe", "--scenario", "subscription-lifecycle-shuffled"); got.code != 0 {
		t.Fatalf("send: %s%s", got.stdout, got.stderr)
	}
	settled(t, 13)
	folder, err := readDevFolder(".hookkeeper")
	if err != nil {
		t.Fatal(err)
	}
	token := folder.values[envToken]
	var access stripe.Access
	if code := askAs(t, token, api+"access", &access); code != 200 || len(access.Details) != 1 || access.Details[0].Status != "canceled" {
		t.Fatalf("access: got %d %+v, want one subscription that has ended", code, access)
	}
	var told []stripe.Notification
	askAs(t, token, api+"notifications", &told)
	for _, kind := range []string{"subscription.created", "invoice.paid", "subscription.past_due", "subscription.ended"} {
		if !slices.ContainsFunc(told, func(n stripe.Notification) bool { return n.Kind == kind && n.Title != "" }) {
			t.Errorf("nobody was told %s: %+v", kind, told)
		}
	}
	var page struct{ Subscriptions []stripe.SubscriptionInfo }
	askAs(t, token, strings.TrimSuffix(api, "users/usr_1001/")+"subscriptions", &page)
	if len(page.Subscriptions) != 1 || page.Subscriptions[0].UserID != "usr_1001" || page.Subscriptions[0].Status != "canceled" {
		t.Errorf("the list of subscriptions: got %+v", page)
	}
	sub := "/v1/subscriptions/" + access.Details[0].SubscriptionID
	if code, status := d.known(t, sub); code != 200 || status != "canceled" {
		t.Errorf("the double says %d %q, want what the newest event told", code, status)
	}
	// A thin event holds no object: it can only be worked by asking.
	if got := call(t, nil, "send", "stripe", "v1.customer.subscription.updated", "--train", "thin",
		"--set", "related_object.id="+access.Details[0].SubscriptionID); got.code != 0 {
		t.Errorf("send a thin event: %s%s", got.stdout, got.stderr)
	}
	settled(t, 14)
	got := call(t, nil, "reconcile", "stripe", "--since", "1h", "--all", "--json")
	var r struct{ Listed, Missed, Subscriptions, Drifted int }
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != 0 || r.Listed < 12 || r.Missed+r.Drifted != 0 || r.Subscriptions != 1 {
		t.Errorf("reconcile: exit code %d, %+v, %v, want all but the youngest listed, 1 compared, nothing wrong: %s", got.code, r, err, got.stderr)
	}
	if got := call(t, nil, "doctor"); got.code != 0 || !strings.Contains(got.stdout, "reconcile stripe") {
		t.Errorf("doctor: exit code %d:\n%s", got.code, got.stdout)
	}
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, d.log)
	}
	d = startsDev(t)
	if code, status := d.known(t, sub); code != 200 || status != "canceled" {
		t.Errorf("the next dev's double says %d %q, want that it knows what was sent before", code, status)
	}
}

// TestTheDoubleBelievesOnlyWhatIsNew: an old event that is replayed does not make
// the past the present, and a hint is no evidence.
func TestTheDoubleBelievesOnlyWhatIsNew(t *testing.T) {
	now := time.Now()
	s := &devStripe{sim: stripetest.New(now, stripe.PinnedVersion), born: now}
	handled := 0
	handler := s.before(hook.HandlerFunc(func(context.Context, *hook.Event) (hook.Effect, error) {
		handled++
		return nil, nil
	}))
	body := []byte(`{"id":"evt_1","object":"event","type":"customer.created","created":1,"data":{"object":{"id":"cus_1","object":"customer"}}}`)
	for i, test := range []struct {
		event hook.Event
		knows int
	}{
		{hook.Event{Trust: hook.TrustSignature, RecordedAt: now.Add(-time.Second), Body: body}, 0},
		{hook.Event{Trust: hook.TrustHint, RecordedAt: now.Add(time.Second), Body: body}, 0},
		{hook.Event{Trust: hook.TrustSignature, RecordedAt: now.Add(time.Second), Body: []byte("{}")}, 0},
		{hook.Event{Trust: hook.TrustSignature, RecordedAt: now.Add(time.Second), Body: body}, 1},
	} {
		if _, err := handler.Handle(t.Context(), &test.event); err != nil || handled != i+1 {
			t.Errorf("event %d: %v, handled %d times", i, err, handled)
		}
		if n := len(s.sim.Events()); n != test.knows {
			t.Errorf("after event %d the double knows %d, want %d", i, n, test.knows)
		}
	}
}
