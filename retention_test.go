package hookkeeper_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// A running keeper works an erasure to its end, departments included.
func TestErasureReachesDepartments(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	asked := make(chan string, 8)
	cfg := hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", "whsec_hookkeeperTestSecretNotReal")},
		Departments: []hook.Department{{Name: "silent"}, {Name: "desk", Erase: func(_ context.Context, _ hook.Tx, source, customer string) (int, error) {
			asked <- source + "/" + customer
			return 1, nil
		}}}}
	keeper, err := hookkeeper.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	order := hook.ErasureOrder{Source: "stripe", Customer: "cus_Canary1", Reason: "asked for", Actor: "t"}
	if _, err := store.AddErasure(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }()
	select {
	case got := <-asked:
		if got != "stripe/cus_Canary1" {
			t.Errorf("the department was asked for %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("the department was not asked in 20 s")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRetentionThatCannotBe(t *testing.T) {
	stripe := source.Stripe("stripe", "whsec_hookkeeperTestSecretNotReal")
	hub := source.GitHub("hub", "0123456789abcdef")
	const day = 24 * time.Hour
	for want, r := range map[string]hook.Retention{
		"keys are kept for ever unless a source says otherwise": {Keep: hook.Keep{Keys: 400 * day}},
		"there is no such source":                               {Sources: map[string]hook.Keep{"nobody": {}}},
		"its signatures cover no time":                          {Sources: map[string]hook.Keep{"hub": {Keys: 400 * day}}},
		"at least 90d":                                          {Sources: map[string]hook.Keep{"stripe": {Bodies: day, Attempts: day, Keys: 89 * day}}},
		"keep attempts no longer than keys":                     {Sources: map[string]hook.Keep{"stripe": {Bodies: day, Attempts: 200 * day, Keys: 100 * day}}},
	} {
		_, err := hookkeeper.New(hookkeeper.Config{Sources: []hook.Source{stripe, hub}, Retention: r})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", r, err, want)
		}
	}
	good := hook.Retention{Sources: map[string]hook.Keep{"stripe": {Bodies: day, Attempts: 100 * day, Keys: 100 * day}}}
	if err := hookkeeper.CheckKeepKeys(stripe, good); err != nil {
		t.Errorf("good rules: %v", err)
	}
}
