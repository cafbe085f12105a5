package stripe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
)

// listed is a page of either list.
type listed struct {
	Subscriptions, Notifications []struct {
		ID     string
		UserID string `json:"user_id"`
		Status string
		Kind   string
	}
	Next string
}

// page asks for one page of a list.
func (b *bench) page(path string, q url.Values) (p listed, err error) {
	b.Helper()
	for _, o := range b.desk.Department().Operations {
		if o.Path != path {
			continue
		}
		answer, err := o.Handle(httptest.NewRequestWithContext(b.Context(), "GET", "/?"+q.Encode(), nil))
		if err != nil {
			return p, err
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return p, err
		}
		return p, json.Unmarshal(text, &p)
	}
	b.Fatalf("no operation %s", path)
	return p, nil
}

// walk goes through a list to its end.
func (b *bench) walk(path string, q url.Values) (all []string) {
	b.Helper()
	for {
		p, err := b.page(path, q)
		if err != nil {
			b.Fatal(err)
		}
		for _, one := range append(p.Subscriptions, p.Notifications...) {
			all = append(all, one.UserID+" "+one.Status+one.Kind)
		}
		if q.Set("cursor", p.Next); p.Next == "" {
			return all
		}
	}
}

// TestListsArePaged: what operators look through, page by page, is everything,
// once, the newest first.
func TestListsArePaged(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(1)
		for n := 1; n <= 3; n++ {
			bodies, _, _ := b.life(n)
			for _, body := range bodies {
				b.deliver(body)
			}
			b.settle()
			b.clock.Advance(time.Second)
		}
		if got := strings.Join(b.walk("subscriptions", url.Values{"limit": {"2"}}), ", "); got != "usr_3 canceled, usr_2 canceled, usr_1 canceled" {
			t.Errorf("subscriptions: got %s", got)
		}
		if got := b.walk("notifications", url.Values{"limit": {"4"}}); len(got) != 15 || !strings.HasPrefix(got[0], "usr_3") || !strings.HasPrefix(got[14], "usr_1") {
			t.Errorf("notices: got %d: %v", len(got), got)
		}
		for path, want := range map[string]int{"subscriptions": 1, "notifications": 5} {
			if got := b.walk(path, url.Values{"user": {"usr_2"}, "limit": {"1"}}); len(got) != want || !strings.HasPrefix(fmt.Sprint(got), "[usr_2 ") {
				t.Errorf("%s of one user: got %v, want %d", path, got, want)
			}
			for name, bad := range map[string]string{"limit": "0", "cursor": "nonsense", "user": strings.Repeat("u", 256)} {
				if _, err := b.page(path, url.Values{name: {bad}}); !errors.Is(err, hook.ErrBadFilter) {
					t.Errorf("%s with the %s %.20q: got %v, want it refused", path, name, bad, err)
				}
			}
		}
		second, err := stripe.New(stripe.Config{Source: b.source, Store: b.store, AccessPath: "billing/eu/users/{id}/access"})
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, o := range second.Department().Operations {
			paths = append(paths, o.Path)
		}
		if got := strings.Join(paths, " "); got != "billing/eu/users/{id}/access billing/eu/users/{id}/notifications billing/eu/subscriptions billing/eu/notifications" {
			t.Errorf("operations of a second source: got %s", got)
		}
	})
}
