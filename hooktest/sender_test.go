package hooktest_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// A user's own test of a handler, whole: a real store, a signed delivery, its
// duplicate and a forged one, and the end of the work.
func TestOwnHandler(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stripe := source.Stripe("stripe", "whsec_only_for_tests_000000000")
	worked := 0
	keeper, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{stripe},
		Handlers: []hook.Route{{Name: "count", Handler: hook.HandlerFunc(func(context.Context, *hook.Event) (hook.Effect, error) {
			return func(context.Context, hook.Tx) error { worked++; return nil }, nil
		})}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }()
	sender := hooktest.NewSender(t, keeper, stripe)
	const body = `{"id":"evt_1","object":"event","type":"invoice.paid","livemode":false}`
	if a := sender.Tampered(body); a.Code != 400 || a.Reason != "bad_signature" {
		t.Errorf("forged: %+v", a)
	}
	first, again := sender.Deliver(body), sender.Deliver(body)
	if first.Status != "recorded" || again.Status != "duplicate" || first.Event != again.Event {
		t.Errorf("delivered twice: %+v, %+v", first, again)
	}
	hooktest.WaitState(t, store, first.Event, hook.StateDone)
	stop()
	if err := <-ended; err != nil || worked != 1 {
		t.Errorf("worked %d times, %v", worked, err)
	}
	hooktest.CheckLedger(t, store)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestSenderMisbehaves(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	clock := hooktest.NewClock()
	partner := source.StandardWebhooks("partner", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	github := source.GitHub("github", "a secret for tests only")
	keeper, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{partner, github}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	sender := hooktest.NewSender(t, keeper, partner)
	sender.Now = clock.Now
	for _, c := range []struct {
		late time.Duration
		want string
	}{{5 * time.Minute, ""}, {5*time.Minute + time.Second, "timestamp_too_old"}, {-6 * time.Minute, "timestamp_in_future"}} {
		if a := sender.Late(c.late, `{"type":"x"}`); a.Reason != c.want {
			t.Errorf("%s late: %+v, want %q", c.late, a, c.want)
		}
	}
	a := hooktest.NewSender(t, keeper, github).Deliver(`{"zen":"x","hook_id":1}`, "X-GitHub-Event", "ping", "X-GitHub-Delivery", "d1")
	if a.Code != 200 || a.Status != "recorded" {
		t.Errorf("GitHub: %+v", a)
	}
}
