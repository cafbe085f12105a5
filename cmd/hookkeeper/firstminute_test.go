package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFirstMinute does what the README tells a stranger to do: it builds the
// binary as `make run` does, starts hookkeeper dev in an empty folder, and types
// the README's own lines into a second process, with no configuration and no
// network but loopback.
func TestFirstMinute(t *testing.T) {
	lines := firstMinute(t)
	folder := t.TempDir()
	binary := filepath.Join(folder, "bin", "hookkeeper")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	begun := time.Now()
	startDev(t, folder, binary)
	sent, last := "", lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		out := typed(t, folder, binary, line)
		if _, id, ok := strings.Cut(out, "ev_"); ok {
			sent = "ev_" + strings.Fields(id)[0]
		}
	}
	if sent == "" {
		t.Fatalf("no line of %q answers with an event", lines)
	}
	for look := time.NewTicker(20 * time.Millisecond); ; <-look.C {
		list := typed(t, folder, binary, last)
		if slices.ContainsFunc(strings.Split(list, "\n"), func(row string) bool {
			return strings.HasPrefix(row, sent+" ") && strings.HasSuffix(strings.TrimSpace(row), " done")
		}) {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("a minute after the start %s is not done:\n%s", sent, list)
		}
	}
}

// firstMinute gives the lines of the README's first block for a second terminal.
func firstMinute(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## The first minute")
	var lines []string
	for found {
		var block string
		if _, rest, found = strings.Cut(rest, "```sh\n"); !found {
			break
		}
		block, rest, _ = strings.Cut(rest, "```")
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "bin/hookkeeper ") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if len(lines) > 0 {
			break
		}
	}
	want := []string{"bin/hookkeeper send stripe invoice.paid", "bin/hookkeeper events list"}
	if !slices.Equal(lines, want) {
		t.Fatalf("the README's first minute is %q, want %q", lines, want)
	}
	return lines
}

// startDev runs what `make run` runs until the test ends. Only the ports are the
// kernel's choice: another hookkeeper may be running here.
func startDev(t *testing.T, folder, binary string) {
	t.Helper()
	out := newWatched()
	dev := exec.Command(binary, "dev", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0")
	dev.Dir, dev.Env, dev.Stdout, dev.Stderr = folder, bare(), out, out
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := dev.Wait(); err != nil {
			t.Errorf("dev ended with %v:\n%s", err, out)
		}
	})
	out.wait(t, "Send signed events:", "events list")
}

// typed runs one line of the README and returns what it prints.
func typed(t *testing.T, folder, binary, line string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, strings.Fields(line)[1:]...)
	var stderr bytes.Buffer
	command.Dir, command.Env, command.Stderr = folder, bare(), &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, out, stderr.String())
	}
	return string(out)
}

// bare is an environment without a setting, a secret or a way to the network.
func bare() []string { return []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"} }
