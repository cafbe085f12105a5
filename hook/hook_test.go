package hook_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The picture in the package comment and Next say the same.
func TestPictureAndNextAgree(t *testing.T) {
	legal := map[string][]hook.State{
		"":            {hook.StateReady},
		"ready":       {hook.StateRunning},
		"retrying":    {hook.StateRunning, hook.StateReady},
		"waiting":     {hook.StateRunning, hook.StateReady},
		"running":     {hook.StateRunning, hook.StateDone, hook.StateRetrying, hook.StateWaiting, hook.StateDead},
		"dead":        {hook.StateDiscarded},
		"no_handler":  {hook.StateReady},
		"quarantined": {hook.StateReady},
	}
	for _, from := range append(hook.Worst[:], "") {
		for _, to := range hook.Worst {
			want := false
			for _, s := range legal[string(from)] {
				want = want || s == to
			}
			if got := hook.Next(from, to); got != want {
				t.Errorf("from %q to %q: got %v, want %v", from, to, got, want)
			}
		}
	}
	text, err := os.ReadFile("hook.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range hook.Worst {
		if !strings.Contains(string(text), string(s)) {
			t.Errorf("the picture does not show %s", s)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"invoice.paid", "invoice.paid", true}, {"invoice.paid", "invoice.paid.x", false}, {"*", "", true},
		{"invoice.*", "invoice.payment.failed", true}, {"invoice.*", "invoices.paid", false},
		{"*.paid", "invoice.paid", true}, {"*.paid", "invoice.paid.", false}, {"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false}, {"a, b", "b", true}, {"", "", true}, {"", "a", false}, {"a*a", "a", false},
		{"**", "x", true}, {"invoice.?aid", "invoice.paid", false},
	} {
		if got := hook.Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q): got %v", c.pattern, c.name, got)
		}
	}
}

func TestRouteWants(t *testing.T) {
	r := hook.Route{Source: "stripe", Types: "invoice.*", Trust: []hook.Trust{hook.TrustSignature}}
	if !r.Wants("stripe", "invoice.paid", hook.TrustSignature) {
		t.Error("does not want what it names")
	}
	if r.Wants("toss", "invoice.paid", hook.TrustSignature) || r.Wants("stripe", "charge", hook.TrustSignature) ||
		r.Wants("stripe", "invoice.paid", hook.TrustHint) {
		t.Error("wants what it does not name")
	}
	if all := (hook.Route{}); !all.Wants("any", "", hook.TrustHint) {
		t.Error("an empty route wants everything")
	}
}

func TestErrorsDecide(t *testing.T) {
	wrapped := fmt.Errorf("toss: %w", hook.After(fmt.Errorf("429: %w", hook.ErrNotYet), time.Minute))
	if d, ok := hook.Delay(wrapped); !ok || d != time.Minute {
		t.Errorf("delay: %s, %v", d, ok)
	}
	if !errors.Is(wrapped, hook.ErrNotYet) || hook.Permanent(wrapped) {
		t.Error("After hides what it marks")
	}
	if _, ok := hook.Delay(errors.New("x")); ok {
		t.Error("a delay out of nothing")
	}
	if err := error(&hook.UnverifiedError{Reason: hook.ReasonBadSignature}); !errors.Is(err, hook.ErrUnverified) {
		t.Error("an UnverifiedError is not ErrUnverified")
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b", "ab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !strings.Contains(pattern, ",") && !hook.Match("*"+strings.TrimSpace(pattern), "x"+strings.TrimSpace(pattern)) && !strings.Contains(pattern, "*") {
			t.Errorf("%q", pattern)
		}
		_ = hook.Match(pattern, name)
	})
}
