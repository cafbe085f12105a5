package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The whole plan runs on the built binary, with few deliveries: every line is
// there, nothing was refused, and what was acknowledged was found.
func TestBenchRunsItsPlan(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "hookkeeper")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "bench", "--json", "--runs", "1", "--events", "1000",
		"--connections", "8", "--rate", "400", "--dir", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("bench: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(benchPlan()) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(benchPlan()), out)
	}
	for i, text := range lines {
		var l benchLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if l.Name != benchPlan()[i].name || l.Rate <= 0 || l.Limit <= 0 || l.P99 < l.P50 || l.MemoryMiB <= 0 {
			t.Errorf("line %d: %s", i, text)
		}
	}
}
