package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// eventful builds a history that shows everything that load and faults must
// leave behind.
func eventful() *history.Input {
	in := good(50)
	d := *delivery(in, answeredCopy)
	d.Answer = "duplicate"
	in.Deliveries = append(in.Deliveries, d)
	rework(in, hook.StateDead,
		transition(victim, 1, "", hook.StateReady, 0, 0),
		transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
		transition(victim, 3, hook.StateRunning, hook.StateRunning, 2, 700),
		transition(victim, 4, hook.StateRunning, hook.StateRetrying, 2, 710),
		transition(victim, 5, hook.StateRetrying, hook.StateRunning, 3, 720),
		transition(victim, 6, hook.StateRunning, hook.StateDead, 3, 730))
	dropEffect(in)
	in.Metrics.StaleFinishes = 2
	for _, kind := range []history.FaultKind{history.FaultKill, history.FaultStop, history.FaultTerm} {
		in.Faults = append(in.Faults, history.Fault{Kind: kind, At: start(), Until: start(), Landed: true, InFlight: 1})
	}
	for _, committed := range []bool{true, false} {
		in.Faults = append(in.Faults, history.Fault{Kind: history.FaultCut, At: start(), Until: start(), Landed: true, Committed: committed})
	}
	turned := *delivery(in, unknownCopy)
	turned.T0, turned.T1, turned.Status = at(105), at(115), 503
	in.Deliveries = append(in.Deliveries, turned)
	in.Faults = append(in.Faults, history.Fault{Kind: history.FaultDatabaseStop, At: at(100), Until: at(120),
		Landed: true, Away: &history.Away{Looks: 1}})
	return in
}

// silence leaves no delivery without an answer.
func silence(in *history.Input) {
	for i := range in.Deliveries {
		if in.Deliveries[i].Status == 0 {
			in.Deliveries[i].Status = 200
		}
	}
}

// unturned takes back that somebody was told to come later.
func unturned(in *history.Input) {
	in.Deliveries[len(in.Deliveries)-1].Status = 200
}

// cuts makes all cuts of one kind.
func cuts(in *history.Input, committed bool) {
	for i := range in.Faults {
		in.Faults[i].Committed = committed
	}
}

func stopped(in *history.Input) *history.Fault {
	return &in.Faults[len(in.Faults)-1]
}

func noTakeover(in *history.Input) {
	rework(in, hook.StateDone,
		transition(victim, 1, "", hook.StateReady, 0, 0),
		transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
		transition(victim, 3, hook.StateRunning, hook.StateDone, 1, 20))
	in.Effects = append(in.Effects, history.Effect{
		Source: "stripe", Mode: "test", Key: keyOf(victim), Handler: "test", Generation: 1, Attempt: 1})
}

func missed(in *history.Input) {
	for i := range in.Faults {
		in.Faults[i].Landed = false
	}
}

func TestHeldOnlyWhenTheFaultsHit(t *testing.T) {
	for _, c := range []struct {
		name  string
		opt   history.Options
		spoil func(in *history.Input)
		lacks string
	}{
		{"load", history.Options{Load: true}, nil, ""},
		{"load without duplicates", history.Options{Load: true}, func(in *history.Input) {
			for i := range in.Deliveries {
				in.Deliveries[i].Answer = ""
			}
		}, "duplicate"},
		{"load without dead or retried", history.Options{Load: true}, noTakeover, "dead"},
		{"load without forgeries", history.Options{Load: true}, func(in *history.Input) {
			for i := range in.Deliveries {
				if d := &in.Deliveries[i]; !d.Valid {
					d.Valid, d.Status, d.T0, d.SHA = true, 503, d.T1, delivery(in, answeredCopy).SHA
				}
			}
		}, "refused"},
		{"kill", history.Options{Fault: history.FaultKill}, nil, ""},
		{"kill that missed", history.Options{Fault: history.FaultKill}, missed, "landed"},
		{"too few kills", history.Options{Fault: history.FaultKill, MinLanded: 2}, nil, "at least 2"},
		{"kill without unknown answers", history.Options{Fault: history.FaultKill}, silence, "unknown"},
		{"kill without takeover", history.Options{Fault: history.FaultKill}, noTakeover, "taken over"},
		{"stop", history.Options{Fault: history.FaultStop}, nil, ""},
		{"stop without zombie", history.Options{Fault: history.FaultStop}, func(in *history.Input) {
			in.Metrics.StaleFinishes = 0
		}, "stale finish"},
		{"term", history.Options{Fault: history.FaultTerm}, nil, ""},
		{"term into silence", history.Options{Fault: history.FaultTerm}, func(in *history.Input) {
			in.Faults[2].InFlight = 0
		}, "in flight"},
		{"cut", history.Options{Fault: history.FaultCut}, nil, ""},
		{"cuts that never came after the commit", history.Options{Fault: history.FaultCut}, func(in *history.Input) {
			cuts(in, false)
		}, "had committed"},
		{"cuts that never came before it", history.Options{Fault: history.FaultCut}, func(in *history.Input) {
			cuts(in, true)
		}, "had not committed"},
		{"cuts that no sender saw", history.Options{Fault: history.FaultCut}, unturned, "could not be taken"},
		{"database stopped", history.Options{Fault: history.FaultDatabaseStop}, nil, ""},
		{"database stopped, unnoticed", history.Options{Fault: history.FaultDatabaseStop}, unturned, "503 while"},
		{"database stopped before the load", history.Options{Fault: history.FaultDatabaseStop}, func(in *history.Input) {
			stopped(in).At = at(-10)
		}, "before the database"},
		{"database stopped to the end", history.Options{Fault: history.FaultDatabaseStop}, func(in *history.Input) {
			stopped(in).Until = at(100_000)
		}, "after the database"},
		{"a fault without a rule", history.Options{Fault: "flood"}, nil, "no rule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := eventful()
			if c.spoil != nil {
				c.spoil(in)
			}
			c.opt.Drained = true
			r := history.Check(*in, c.opt)
			want := history.Held
			if c.lacks != "" {
				want = history.Inconclusive
			}
			if r.Verdict != want || !strings.Contains(strings.Join(r.Lacking, "\n"), c.lacks) {
				t.Errorf("judged %s, want %s; lacking %q; %+v", r.Verdict, want, r.Lacking, r.Violations)
			}
		})
	}
}

func TestWithoutADrainNothingIsHeld(t *testing.T) {
	r := history.Check(*eventful(), history.Options{Load: true, Fault: history.FaultKill})
	if r.Verdict != history.Inconclusive {
		t.Errorf("judged %s", r.Verdict)
	}
}

func TestBrokenOutweighsInconclusive(t *testing.T) {
	in := good(50)
	dropEffect(in)
	if r := history.Check(*in, history.Options{Fault: history.FaultKill}); r.Verdict != history.Broken {
		t.Errorf("judged %s", r.Verdict)
	}
}

// A lapsed lease is there for whoever has a free hand.
func TestALateTakeoverIsSeen(t *testing.T) {
	for late, want := range map[time.Duration]int{90 * time.Millisecond: 0, 89 * time.Millisecond: 1} {
		r := history.Check(*eventful(), history.Options{TakeoverWithin: late})
		if got := r.Found("late-takeover"); got != want || r.Counts.SlowestTakeover != 90*time.Millisecond {
			t.Errorf("bound %s: raised %d times, want %d; slowest %s", late, got, want, r.Counts.SlowestTakeover)
		}
	}
}

// The time during which a node is stopped counts against the others.
func TestOnlyTheStoppedNodeIsExcused(t *testing.T) {
	for node, want := range map[int]int{1: 0, 2: 1} {
		in := good(50)
		d := delivery(in, unknownCopy)
		d.Node, d.T1 = node, d.T0.Add(6*time.Second)
		in.Faults = []history.Fault{{Kind: history.FaultStop, Node: 1, At: d.T0, Until: d.T0.Add(2 * time.Second), Landed: true}}
		if r := history.Check(*in, history.Options{}); r.Found("late") != want {
			t.Errorf("node %d: raised %d times, want %d", node, r.Found("late"), want)
		}
	}
}
