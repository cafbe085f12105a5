//go:build hktest

package torture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// These tests hurt the real thing. They build it themselves and take minutes:
//
//	go test -tags hktest -run 'TestSurvives|TestNodes|TestWorkOf|TestMutantsAre|TestNeedsAre' -v ./internal/torture
//
// HK_TORTURE=full makes the kills those of scenario C1: 20,000 events and at
// least 100 kills. HK_TORTURE_DIR keeps the files of every run there.
// HK_TORTURE_SEED begins at another seed. Those on SQLite mostly wait, so they
// run side by side; those on PostgreSQL share one server and take turns.

// built makes the binary under test once, in a folder that closeShared removes.
var built = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "hookkeeper-torture-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "hookkeeper")
	cmd := exec.Command("go", "build", "-tags", "hktest", "-o", path, "./cmd/hookkeeper")
	cmd.Dir = filepath.Join("..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("build ./cmd/hookkeeper with -tags hktest: %w\n%s", err, text)
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, nil
})

func build(t *testing.T) string {
	t.Helper()
	asked.binary.Store(true)
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// asked says what there is for closeShared to end.
var asked struct{ binary, cluster atomic.Bool }

// closeShared ends and removes what the tests of this file and of PostgreSQL
// share.
func closeShared() error {
	var all []error
	if asked.binary.Load() {
		if path, err := built(); err == nil {
			all = append(all, os.RemoveAll(filepath.Dir(path)))
		}
	}
	if asked.cluster.Load() {
		if c, err := shared(); err == nil {
			all = append(all, c.Close())
		}
	}
	return errors.Join(all...)
}

func full() bool { return os.Getenv("HK_TORTURE") == "full" }

func firstSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("HK_TORTURE_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("HK_TORTURE_SEED: %v", err)
		}
	}
	return seed
}

// runDir is where a run lies: kept if somebody asked for it.
func runDir(t *testing.T, seed uint64) string {
	t.Helper()
	kept := os.Getenv("HK_TORTURE_DIR")
	if kept == "" {
		return t.TempDir()
	}
	return filepath.Join(kept, fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(t.Name(), "/", "-"), seed, time.Now().Unix()))
}

func runReal(t *testing.T, binary string, o Options) history.Report {
	t.Helper()
	o.Binary = binary
	o.Dir = runDir(t, o.Seed)
	var out bytes.Buffer
	o.Out = &out
	report, err := Run(t.Context(), o)
	t.Logf("%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func wantHeld(t *testing.T, r history.Report) {
	t.Helper()
	if r.Verdict != history.Held {
		t.Errorf("judged %s: %v %v", r.Verdict, r.Violations, r.Lacking)
	}
}

func TestSurvivesKills(t *testing.T) {
	t.Parallel()
	o := Options{Seed: firstSeed(t), Events: 1500, Fault: history.FaultKill, Faults: 25, NeedsPercent: 2}
	if full() {
		o.Events, o.Faults, o.Drain = 20_000, 100, 5*time.Minute
	}
	wantHeld(t, runReal(t, build(t), o))
}

// Slow handlers are still at work when the server is frozen, and end after
// their lease: those are the zombies that the fence is for.
func TestSurvivesStops(t *testing.T) {
	t.Parallel()
	wantHeld(t, runReal(t, build(t), stops(firstSeed(t))))
}

func stops(seed uint64) Options {
	return Options{
		Seed: seed, Events: 1000, Fault: history.FaultStop, Faults: 20, NeedsPercent: 2,
		SlowPercent: 20, SlowMin: 100 * time.Millisecond, SlowMax: 1200 * time.Millisecond,
		Slots: 24, // a server without an idle slot claims nothing, not even from its own zombies
	}
}

func TestSurvivesRestarts(t *testing.T) {
	t.Parallel()
	wantHeld(t, runReal(t, build(t), Options{Seed: firstSeed(t), Events: 800, Fault: history.FaultTerm, Faults: 10, NeedsPercent: 2}))
}

func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	kills := func(seed uint64) Options {
		return Options{Seed: seed, Events: 1200, Fault: history.FaultKill, Faults: 20}
	}
	binary := build(t)
	for _, m := range []mutant{
		{"ack_before_commit", kills, []string{"lost-ack"}},
		{"check_then_insert", kills, []string{"duplicate-row", "effect-twice"}},
		{"effect_outside_tx", kills, []string{"effect-twice", "unfinished-with-effect"}},
		{"log_unverified", kills, []string{"phantom-bytes", "phantom-row"}},
		{"no_fence", stops, []string{"stale-finish", "effect-twice"}},
		{"shared_tx_rollback", kills, []string{"lost-ack", "done-without-effect"}},
		{"waiting_blocks", func(seed uint64) Options {
			// What waits may do so for longer than the drain lasts: if it holds
			// back what it waits for, neither ends.
			return Options{Seed: seed, Events: 800, NeedsPercent: 10, Drain: 12 * time.Second, Waiting: time.Minute}
		}, []string{"not-final"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.wantCaught(t, binary)
		})
	}
}

// The load for waiting_blocks must hold on the sound build, or the mutant would
// be caught for a reason of its own.
func TestNeedsAreNoBreakByThemselves(t *testing.T) {
	t.Parallel()
	wantHeld(t, runReal(t, build(t), Options{Seed: firstSeed(t), Events: 800, NeedsPercent: 10, Drain: 12 * time.Second, Waiting: time.Minute}))
}
