package main

import (
	"strings"
	"testing"
)

// TestOperatorsAndTracingAreConfigured: both are off unless they are named, and a
// mistake is said.
func TestOperatorsAndTracingAreConfigured(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "a-secret-of-github-for-tests"}
	for _, c := range []struct{ text, want string }{
		{"{}", "second_person: []"}, {"operators: {second_person: [money]}", "- money"},
		{"operators: {second_person: [mony]}", "there is one kind of operation, money"},
		{"operators: {second: [money]}", "operators"},
		{"{}", "sample: 0.1"}, {"tracing: {endpoint: 'http://localhost:4318', sample: 1}", "endpoint: http://localhost:4318"},
		{"tracing: {sample: 2}", "want a share from 0 to 1"}, {"tracing: {endpoint: localhost}", "tracing: endpoint: want an http"},
	} {
		got := call(t, env, "serve", "--print-config", "--config", file(t, "c.yaml", c.text))
		if !strings.Contains(got.stdout+got.stderr, c.want) {
			t.Errorf("%s: %s%s, want %q", c.text, got.stdout, got.stderr, c.want)
		}
	}
}
