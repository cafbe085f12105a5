package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestSearchOfTheConfiguration(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123"}
	for text, want := range map[string]string{
		"{}": "search:\n  words: true\n  paths: []\n",
		"search: {words: false, paths: [data.object.customer, items.#.sku]}": "search:\n  words: false\n  paths:\n  - data.object.customer\n  - \"items.#.sku\"\n",
	} {
		got := call(t, env, "serve", "--print-config", "--config", file(t, "hookkeeper.yaml", text))
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: exit code %d, %s%s; want %q", text, got.code, got.stdout, got.stderr, want)
		}
	}
	for text, want := range map[string]string{
		"search: {word: true}":     `unknown key "word" in search`,
		"search: {words: some}":    "search.words: want true or false",
		"search: {paths: [a..b]}":  `hookkeeper.yaml:1: search.paths: path "a..b": has an empty part`,
		"search: {paths: [a, a]}":  `path "a" is named twice`,
		"search: {paths: [a, '']}": "search.paths",
	} {
		got := call(t, env, "serve", "--config", file(t, "hookkeeper.yaml", text), "--database", "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
		if got.code != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit code %d, %s; want %q", text, got.code, got.stderr, want)
		}
	}
}
