package hook_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

func TestRetentionOfASource(t *testing.T) {
	const day = 24 * time.Hour
	r := hook.Retention{Keep: hook.Keep{Bodies: 90 * day, Hints: 100 * day, Attempts: 400 * day}, Sources: map[string]hook.Keep{
		"hub": {Bodies: 7 * day, Attempts: -1}, "bank": {Bodies: -1, Hints: 30 * day, Keys: 500 * day}, "ever": {Bodies: -1, Hints: -1}}}
	for source, want := range map[string]hook.Keep{
		"shop": {Bodies: 90 * day, Hints: 90 * day, Attempts: 400 * day},
		"hub":  {Bodies: 7 * day, Hints: 7 * day},
		"bank": {Hints: 30 * day, Attempts: 400 * day, Keys: 500 * day},
		"ever": {Attempts: 400 * day},
	} {
		if diff := cmp.Diff(want, r.Of(source)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", source, diff)
		}
	}
	if got := r.Longest(); got != 0 {
		t.Errorf("the longest rule is %v, but one keeps for ever", got)
	}
	delete(r.Sources, "ever")
	delete(r.Sources, "bank")
	if got := r.Longest(); got != 90*day {
		t.Errorf("the longest rule is %v, want 90 days", got)
	}
	if got := (hook.Retention{}).Longest(); got != 0 {
		t.Errorf("without rules the longest is %v", got)
	}
}

func TestMentions(t *testing.T) {
	for _, c := range []struct {
		body, value string
		want        bool
	}{
		{`{"a":{"b":["x","cus_1"]}}`, "cus_1", true},
		{`"cus_1"`, "cus_1", true},
		{`{"cus_1":null}`, "cus_1", true},
		{`{"a":"\u0063us_1"}`, "cus_1", true},
		{`{"a":"cus_12"}`, "cus_1", false},
		{`{"a":"of cus_1"}`, "cus_1", false},
		{`{"a":1}{"b":"cus_1"}`, "cus_1", true},
		{`{"a":"say \"hi\""}`, `say "hi"`, true},
		{`mail=a%40b.example&x=1`, "a@b.example", true},
		{`payload=%7B%22a%22%3A%22cus_1%22%7D`, "cus_1", true},
		{`<c>cus_1</c>`, "cus_1", true},
		{`<c>cus_1x</c>`, "cus_1", false},
		{`cus_1x cus_1`, "cus_1", true},
		{"\x00cus_1\xff", "cus_1", true},
		{``, "cus_1", false},
		{`{}`, "", false},
	} {
		if got := hook.Mentions([]byte(c.body), c.value); got != c.want {
			t.Errorf("%q in %q: %t", c.value, c.body, got)
		}
	}
}

// Whatever a body is, looking through it ends and never fails.
func FuzzMentions(f *testing.F) {
	f.Add([]byte(`{"a":"cus_1"}`), "cus_1")
	f.Add([]byte(`a=%zz&b=cus_1`), "cus_1")
	f.Add([]byte("[[[[\"cus_1\""), "cus_1")
	f.Fuzz(func(t *testing.T, body []byte, value string) {
		hook.Mentions(body, value)
		if value != "" && !hook.Mentions(append(append([]byte("\n"), value...), '\n'), value) && standsFirst(value) {
			t.Errorf("%q is not found alone on a line", value)
		}
	})
}

// standsFirst: a value that is neither JSON nor a form of something else.
func standsFirst(value string) bool {
	if value == "true" || value == "false" || value == "null" {
		return false
	}
	for _, r := range value {
		if r != '_' && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}
