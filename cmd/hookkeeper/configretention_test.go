package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRetentionOfTheConfiguration(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "hookkeeper.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const sources = `
sources:
  stripe: {sender: stripe, secrets: [env:S]}
  github: {sender: github, secrets: [env:S]}
  toss: {sender: toss, api_key: env:K}
`
	env := map[string]string{"S": "0123456789abcdef0123", "K": "test_sk_0123456789abcdef"}
	got := call(t, env, "serve", "--print-config", "--config", file(sources+`
retention: {bodies: 90d, hints: forever, rejections: 30d, attempts: 400d, sources: {github: {bodies: 7d, attempts: forever}, stripe: {bodies: 365d, keys: 400d}}}
`))
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	_, printed, _ := strings.Cut(got.stdout, "retention:")
	for _, want := range []string{"attempts: 9600h0m0s", "bodies: 2160h0m0s", "hints: 2160h0m0s", "rejections: 720h0m0s",
		"github:\n      attempts: forever\n      bodies: 168h0m0s\n      hints: 168h0m0s\n      keys: forever", "keys: 9600h0m0s"} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed: %s\nlacks %q", printed, want)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"unknown source": {"retention: {sources: {stirpe: {bodies: 7d}}}", "hookkeeper.yaml:6: retention.sources.stirpe: there is no such source"},
		"unknown key":    {"retention: {body: 7d}", `unknown key "body" in retention, the nearest known one is "bodies"`},
		"keys of all":    {"retention: {keys: 400d}", `unknown key "keys" in retention`},
		"no signed time": {"retention: {sources: {github: {keys: 400d}}}", "hookkeeper.yaml:6: retention of source github: keys are kept for ever: its signatures cover no time"},
		"hints":          {"retention: {sources: {toss: {keys: 400d}}}", "retention of source toss: keys are kept for ever"},
		"too short":      {"retention: {sources: {stripe: {keys: 30d, bodies: 7d, attempts: 7d}}}", "720h0m0s is too short: at least 90d"},
		"before bodies":  {"retention: {attempts: 10d, sources: {stripe: {keys: 100d}}}", "keys: they are to go before bodies"},
		"no time":        {"retention: {bodies: soon}", "retention.bodies"},
	} {
		got := call(t, env, "serve", "--config", file(sources+c.text+"\n"), "--database", "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
		if got.code != 1 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d, %s; want %q", name, got.code, got.stderr, c.want)
		}
	}
}
