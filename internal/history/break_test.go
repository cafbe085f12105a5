package history_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// breakage spoils a good history in one way. also lists what else the same
// spoiling must show; anything beyond that would be a false alarm.
type breakage struct {
	name, invariant string
	also            []string
	spoil           func(in *history.Input)
}

func breaksOfDeliveries() []breakage {
	return []breakage{
		{"lost-ack", "I1", nil, func(in *history.Input) {
			in.Dump = slices.DeleteFunc(in.Dump, func(l hook.HistoryLine) bool { return ofVictim(l.Key) })
			dropEffect(in)
		}},
		{"lost-conflict", "I1", nil, func(in *history.Input) {
			d := *delivery(in, answeredCopy)
			d.SHA = hash("other bytes")
			in.Deliveries = append(in.Deliveries, d)
		}},
		{"accepted-invalid", "I3", nil, func(in *history.Input) { delivery(in, forgedCopy).Status = 200 }},
		{"refused-valid", "I4", nil, func(in *history.Input) { delivery(in, unknownCopy).Status = 400 }},
		{"refused-valid", "I4", nil, func(in *history.Input) { delivery(in, unknownCopy).Status = 500 }},
		{"refused-valid", "I4", nil, func(in *history.Input) { delivery(in, unknownCopy).Status = 307 }},
		{"late", "I12", nil, func(in *history.Input) {
			d := delivery(in, unknownCopy)
			d.T1 = d.T0.Add(5100 * time.Millisecond)
		}},
		{"late", "I12", nil, func(in *history.Input) { // from the last byte on
			d := delivery(in, unknownCopy)
			d.Sent = d.T0.Add(8 * time.Second)
			d.T1 = d.Sent.Add(5100 * time.Millisecond)
		}},
		{"late", "I12", nil, func(in *history.Input) { // a body of 2 MiB that never ends
			d := delivery(in, unknownCopy)
			d.Unfinished, d.Size = true, 2<<20
			d.T1 = d.T0.Add(12100 * time.Millisecond)
		}},
		{"late", "I12", nil, func(in *history.Input) { delivery(in, unknownCopy).ShedDue = true }},
	}
}

// away is a database that once was away.
func away(seen history.Away) []history.Fault {
	return []history.Fault{{Kind: history.FaultDatabaseStop, At: at(0), Until: at(9), Landed: true, Away: &seen}}
}

func breaksOfRows() []breakage {
	return []breakage{
		{"phantom-row", "I2", nil, func(in *history.Input) {
			r := *row(in)
			r.Key, r.Jobs, r.State = "evt_nobody", nil, hook.StateNoHandler
			in.Dump = append(in.Dump, r)
		}},
		{"phantom-bytes", "I2", []string{"lost-conflict"}, func(in *history.Input) {
			row(in).SHA256 = delivery(in, forgedCopy).SHA
			row(in).Recomputed = row(in).SHA256
		}},
		{"before-sent", "I2", nil, func(in *history.Input) {
			row(in).ReceivedAt = atPtr(victim*10 - 50)
		}},
		{"duplicate-row", "I5", nil, func(in *history.Input) {
			r := *row(in)
			r.Seq = 9999
			in.Dump = append(in.Dump, r)
		}},
		{"body-changed", "I6", nil, func(in *history.Input) { row(in).Recomputed = hash("other bytes") }},
		{"imbalance", "ledger", nil, func(in *history.Input) { row(in).State = hook.StateNoHandler }},
		{"imbalance", "ledger", nil, func(in *history.Input) { in.Metrics.LedgerImbalance = 1 }},
		{"deadlock", "engine", nil, func(in *history.Input) { in.Metrics.Deadlocks = 1 }},
		{"false-ready", "probes", nil, func(in *history.Input) { in.Faults = away(history.Away{FalseReady: 1}) }},
		{"dead-while-away", "probes", nil, func(in *history.Input) { in.Faults = away(history.Away{Dead: 1}) }},
	}
}

func breaksOfEffects() []breakage {
	return []breakage{
		{"effect-twice", "I7", nil, func(in *history.Input) { in.Effects = append(in.Effects, effect(in)) }},
		{"done-without-effect", "I7", nil, dropEffect},
		{"effect-without-row", "I7", nil, func(in *history.Input) {
			f := effect(in)
			f.Key = "evt_nobody"
			in.Effects = append(in.Effects, f)
		}},
		{"unfinished-with-effect", "I7", nil, func(in *history.Input) {
			rework(in, hook.StateDead,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
				transition(victim, 3, hook.StateRunning, hook.StateDead, 1, 20))
		}},
		{"key-changed", "I7", nil, func(in *history.Input) {
			call := history.Outward{Source: "stripe", Mode: "test", Key: keyOf(victim), Intent: "refund", IdempotencyKey: "hk_1"}
			again := call
			again.IdempotencyKey, again.Accepted = "hk_2", true
			in.Outward = append(in.Outward, call, again)
		}},
		{"far-twice", "I7", nil, func(in *history.Input) {
			call := history.Outward{Source: "stripe", Mode: "test", Key: keyOf(victim), Intent: "refund", IdempotencyKey: "hk_1", Accepted: true}
			in.Outward = append(in.Outward, call, call)
		}},
	}
}

func breaksOfTransitions() []breakage {
	return []breakage{
		{"illegal", "I8", nil, func(in *history.Input) {
			rework(in, hook.StateDone,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateDone, 0, 10))
		}},
		{"illegal", "I8", nil, func(in *history.Input) { // claimed without a lease
			for i := range in.Dump {
				if ofVictim(in.Dump[i].Key) {
					in.Dump[i].LeaseUntil = nil
				}
			}
		}},
		{"gap", "I8", []string{"stale-finish"}, func(in *history.Input) {
			in.Dump = slices.DeleteFunc(in.Dump, func(l hook.HistoryLine) bool {
				return ofVictim(l.Key) && l.To == hook.StateRunning
			})
		}},
		{"attempt-jump", "I8", nil, func(in *history.Input) {
			for i := range in.Dump {
				if l := &in.Dump[i]; ofVictim(l.Key) && l.Attempt == 1 {
					l.Attempt = 2
				}
			}
		}},
		{"claimed-under-live-lease", "I8", nil, func(in *history.Input) {
			rework(in, hook.StateDone,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
				transition(victim, 3, hook.StateRunning, hook.StateRunning, 2, 609),
				transition(victim, 4, hook.StateRunning, hook.StateDone, 2, 620))
		}},
		{"claimed-under-live-lease", "I8", []string{"gap"}, func(in *history.Input) { // by a store that forgot the first claim
			rework(in, hook.StateDone,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
				transition(victim, 3, hook.StateReady, hook.StateRunning, 2, 20),
				transition(victim, 4, hook.StateRunning, hook.StateDone, 2, 30))
		}},
		{"stale-finish", "I8", nil, func(in *history.Input) {
			for i := range in.Dump {
				if l := &in.Dump[i]; ofVictim(l.Key) && l.To == hook.StateDone {
					l.Attempt = 0
				}
			}
		}},
		{"final", "I8", nil, func(in *history.Input) {
			row(in).State, row(in).Jobs[0].State = hook.StateDiscarded, hook.StateDiscarded
			dropEffect(in)
		}},
	}
}

func breaksOfBounds() []breakage {
	return []breakage{
		{"attempts-over-max", "I9", nil, func(in *history.Input) {
			lines := []hook.HistoryLine{transition(victim, 1, "", hook.StateReady, 0, 0)}
			from := hook.StateReady
			for n := 1; n <= 5; n++ {
				to := hook.StateRetrying
				if n == 5 {
					to = hook.StateDead
				}
				lines = append(lines,
					transition(victim, 2*n, from, hook.StateRunning, n, 20*n),
					transition(victim, 2*n+1, hook.StateRunning, to, n, 20*n+10))
				from = to
			}
			rework(in, hook.StateDead, lines...)
			dropEffect(in)
		}},
		{"attempts-over-max", "I9", nil, func(in *history.Input) { // waits beyond its time
			rework(in, hook.StateDead,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10),
				transition(victim, 3, hook.StateRunning, hook.StateWaiting, 1, 20),
				transition(victim, 4, hook.StateWaiting, hook.StateRunning, 2, 100_000),
				transition(victim, 5, hook.StateRunning, hook.StateWaiting, 2, 100_010),
				transition(victim, 6, hook.StateWaiting, hook.StateRunning, 3, 100_020),
				transition(victim, 7, hook.StateRunning, hook.StateDead, 3, 100_030))
			dropEffect(in)
		}},
		{"not-final", "L1", nil, func(in *history.Input) {
			rework(in, hook.StateRunning,
				transition(victim, 1, "", hook.StateReady, 0, 0),
				transition(victim, 2, hook.StateReady, hook.StateRunning, 1, 10))
			dropEffect(in)
		}},
	}
}

func TestEveryBreakIsCaughtUnderItsName(t *testing.T) {
	breaks := slices.Concat(breaksOfDeliveries(), breaksOfRows(), breaksOfEffects(), breaksOfTransitions(), breaksOfBounds())
	for i, b := range breaks {
		t.Run(fmt.Sprintf("%02d/%s", i, b.name), func(t *testing.T) {
			in := good(50)
			b.spoil(in)
			r := history.Check(*in, history.Options{Drained: true, MaxAttempts: 4, MaxWaiting: time.Minute})
			if r.Verdict != history.Broken || r.Found(b.name) == 0 {
				t.Fatalf("judged %s, raised %v", r.Verdict, names(&r))
			}
			want := append([]string{b.name}, b.also...)
			slices.Sort(want)
			if diff := cmp.Diff(want, names(&r)); diff != "" {
				t.Errorf("raised (-want +got):\n%s", diff)
			}
			if got := history.InvariantOf(b.name); got != b.invariant {
				t.Errorf("%s counted to %s, want %s", b.name, got, b.invariant)
			}
		})
	}
}

func TestWithinTheBoundsNothingIsLate(t *testing.T) {
	in := good(50)
	d := delivery(in, unknownCopy)
	d.T1 = d.T0.Add(4900 * time.Millisecond)
	d = delivery(in, answeredCopy)
	d.Sent = d.T0.Add(20 * time.Second)
	d.T1 = d.Sent.Add(time.Second)
	if r := history.Check(*in, history.Options{}); r.Verdict != history.Held {
		t.Errorf("judged %s: %+v", r.Verdict, r.Violations)
	}
}

func TestAnswersOutsideTheOrdinary(t *testing.T) {
	in := good(50)
	d := delivery(in, unknownCopy)
	d.Status, d.OverLimit = 413, true
	delivery(in, answeredCopy).Status = 204
	o := history.Options{Success: map[string]int{"stripe": 204}}
	r := history.Check(*in, o)
	if got := r.Found("refused-valid"); got != 49 { // the 49 other keys were answered 200
		t.Errorf("refused-valid %d times, want 49: %+v", got, r.Violations)
	}
	for _, status := range []int{0, 429, 503} {
		in := good(50)
		delivery(in, unknownCopy).Status = status
		if r := history.Check(*in, history.Options{}); r.Verdict != history.Held {
			t.Errorf("%d was judged %s: %+v", status, r.Verdict, r.Violations)
		}
	}
}
