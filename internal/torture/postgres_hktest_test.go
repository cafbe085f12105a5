//go:build hktest

package torture

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// The same on one PostgreSQL, which the tests start once and share.

var shared = sync.OnceValues(func() (*cluster.Cluster, error) { return cluster.Start(context.Background()) })

// onPostgres gives a run three nodes on the shared server.
func onPostgres(t *testing.T, o Options) Options {
	t.Helper()
	asked.cluster.Store(true)
	c, err := shared()
	if errors.Is(err, cluster.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Cluster, o.Nodes = c, 3
	return o
}

// Three nodes, a random one of them killed every 0.2 to 1 s.
func TestNodesSurviveKills(t *testing.T) {
	o := Options{Seed: firstSeed(t), Events: 2000, Fault: history.FaultKill, Faults: 12, NeedsPercent: 2}
	if full() {
		o.Events, o.Faults, o.Drain = 20_000, 100, 5*time.Minute
	}
	wantHeld(t, runReal(t, build(t), onPostgres(t, o)))
}

func TestNodesSurviveStops(t *testing.T) {
	o := stops(firstSeed(t))
	o.Events, o.Faults = 400, 6
	wantHeld(t, runReal(t, build(t), onPostgres(t, o)))
}

// One node at a time dies, rarely enough for the others to have a free hand:
// they take its work over within a second of the end of its leases.
func TestWorkOfADeadNodeIsTakenOver(t *testing.T) {
	o := Options{
		Seed: firstSeed(t), Events: 300, Fault: history.FaultKill, Faults: 4,
		UptimeMin: 2 * time.Second, UptimeMax: 2500 * time.Millisecond, Lease: time.Second, Slots: 24,
		SlowPercent: 40, SlowMin: 200 * time.Millisecond, SlowMax: 500 * time.Millisecond,
		TakeoverWithin: time.Second,
	}
	wantHeld(t, runReal(t, build(t), onPostgres(t, o)))
}

// The connection to the database is cut after COMMIT was sent and before it is
// answered: nobody guesses.
func TestNodesSurviveCutsAtCommit(t *testing.T) {
	o := Options{Seed: firstSeed(t), Events: 600, Fault: history.FaultCut, Faults: 20}
	r := runReal(t, build(t), onPostgres(t, o))
	wantHeld(t, r)
	if c := r.Counts; c.HadCommitted == 0 || c.HadNotCommitted == 0 || c.Shed == 0 {
		t.Errorf("unknown commits: %d had committed, %d had not, and %d deliveries were turned away: want some of each",
			c.HadCommitted, c.HadNotCommitted, c.Shed)
	}
}

func away(seed uint64, kind history.FaultKind) Options {
	o := Options{Seed: seed, Events: 400, Fault: kind, Faults: 1, Senders: 32, Outage: 7 * time.Second}
	if full() {
		o.Faults, o.Outage = 2, 20*time.Second
	}
	return o
}

// Bounds of a node whose database is away, with 32 senders of up to four
// deliveries at a time.
const (
	mostGoroutines  = 1000
	mostDescriptors = 400
	mostKiB         = 128 << 10
)

func TestNodesSurviveADatabaseThatIsAway(t *testing.T) {
	binary := build(t)
	for _, kind := range []history.FaultKind{history.FaultDatabaseStop, history.FaultDatabaseFreeze} {
		t.Run(string(kind), func(t *testing.T) {
			r := runReal(t, binary, onPostgres(t, away(firstSeed(t), kind)))
			wantHeld(t, r)
			for _, a := range r.Away {
				if a.Looks == 0 || a.Goroutines == 0 || a.Goroutines > mostGoroutines || a.Descriptors > mostDescriptors || a.MemoryKiB > mostKiB {
					t.Errorf("%+v: want at most %d goroutines, %d descriptors and %d KiB",
						a, mostGoroutines, mostDescriptors, mostKiB)
				}
			}
		})
	}
}

// TestMutantsAreCaughtOnPostgres runs with HK_SELFTEST=1 or HK_TORTURE=full: it
// takes minutes. `make torture-selftest` calls it.
func TestMutantsAreCaughtOnPostgres(t *testing.T) {
	if os.Getenv("HK_SELFTEST") == "" && !full() {
		t.Skip("make torture-selftest runs it")
	}
	kills := func(seed uint64) Options {
		return Options{Seed: seed, Events: 1000, Fault: history.FaultKill, Faults: 10}
	}
	binary := build(t)
	for _, m := range []mutant{
		{"ack_before_commit", kills, []string{"lost-ack"}},
		{"check_then_insert", kills, []string{"duplicate-row", "effect-twice"}},
		{"effect_outside_tx", kills, []string{"effect-twice", "unfinished-with-effect"}},
		{"log_unverified", kills, []string{"phantom-bytes", "phantom-row"}},
		{"no_fence", func(seed uint64) Options {
			o := stops(seed)
			o.Events, o.Faults = 600, 8
			return o
		}, []string{"stale-finish", "effect-twice"}},
		{"swallow_db_error", func(seed uint64) Options {
			return Options{Seed: seed, Events: 600, Fault: history.FaultCut, Faults: 40}
		}, []string{"lost-ack"}},
		{"waiting_blocks", func(seed uint64) Options {
			return Options{Seed: seed, Events: 800, NeedsPercent: 10, Drain: 12 * time.Second, Waiting: time.Minute}
		}, []string{"not-final"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			run := m.run
			m.run = func(seed uint64) Options { return onPostgres(t, run(seed)) }
			m.wantCaught(t, binary)
		})
	}
}

// mutant is a known mistake, the run that shows it, and the names under any of
// which it must be caught.
type mutant struct {
	name string
	run  func(seed uint64) Options
	as   []string
}

// maxRuns is how often a mutant may be missed: a fault hits where chance says.
const maxRuns = 3

func (m mutant) wantCaught(t *testing.T, binary string) {
	t.Helper()
	for seed := firstSeed(t); seed < firstSeed(t)+maxRuns; seed++ {
		o := m.run(seed)
		o.Mutant = m.name
		r := runReal(t, binary, o)
		i := slices.IndexFunc(m.as, func(name string) bool { return r.Found(name) > 0 })
		if i >= 0 {
			t.Logf("caught as %s, %d times", m.as[i], r.Found(m.as[i]))
			return
		}
		t.Logf("seed %d: judged %s, found none of %v", seed, r.Verdict, m.as)
	}
	t.Errorf("not caught in %d runs", maxRuns)
}
