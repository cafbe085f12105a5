package history_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

func names(r *history.Report) []string {
	var all []string
	for _, v := range r.Violations {
		all = append(all, v.Name)
	}
	slices.Sort(all)
	return all
}

func TestGoodHistoryRaisesNothing(t *testing.T) {
	in := good(2000)
	r := history.Check(*in, history.Options{Drained: true, MaxAttempts: 4, MaxWaiting: time.Hour})
	if r.Verdict != history.Held || len(r.Violations) > 0 || len(r.Lacking) > 0 {
		t.Errorf("a good history was judged %s: %v %v", r.Verdict, r.Violations, r.Lacking)
	}
	want := history.Counts{
		Attempted: 2000, Acknowledged: 2000, Deliveries: 6000, Acks: 2000, Unknown: 2000, Refused: 2000,
		ForgedFirst: 2000, Events: 2000, Transitions: 6000, Effects: 2000, Done: 2000,
	}
	if diff := cmp.Diff(want, r.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// A run uses many legal ways through the picture; none may raise an alarm.
func TestLegalWaysRaiseNothing(t *testing.T) {
	step := func(n int, from, to hook.State, attempt, ms int) hook.HistoryLine {
		return transition(victim, n, from, to, attempt, ms)
	}
	caused := func(l hook.HistoryLine, cause string) hook.HistoryLine { l.Cause = cause; return l }
	begin := []hook.HistoryLine{step(1, "", hook.StateReady, 0, 0), step(2, hook.StateReady, hook.StateRunning, 1, 10)}
	ways := map[string]struct {
		state hook.State
		lines []hook.HistoryLine
	}{
		"retried, waited, woken, done": {hook.StateDone, []hook.HistoryLine{
			step(3, hook.StateRunning, hook.StateRetrying, 1, 20), step(4, hook.StateRetrying, hook.StateRunning, 2, 30),
			step(5, hook.StateRunning, hook.StateWaiting, 2, 40), step(6, hook.StateWaiting, hook.StateReady, 2, 50),
			step(7, hook.StateReady, hook.StateRunning, 3, 60), step(8, hook.StateRunning, hook.StateDone, 3, 70)}},
		"taken over exactly at the lease's end": {hook.StateDone, []hook.HistoryLine{
			step(3, hook.StateRunning, hook.StateRunning, 2, 610), step(4, hook.StateRunning, hook.StateDone, 2, 620)}},
		"finished after the lease, before a takeover": {hook.StateDone, []hook.HistoryLine{
			step(3, hook.StateRunning, hook.StateDone, 1, 5000)}},
		"released five times of four": {hook.StateDone, []hook.HistoryLine{
			caused(step(3, hook.StateRunning, hook.StateRetrying, 1, 20), "released"), step(4, hook.StateRetrying, hook.StateRunning, 2, 30),
			caused(step(5, hook.StateRunning, hook.StateRetrying, 2, 40), "released"), step(6, hook.StateRetrying, hook.StateRunning, 3, 50),
			caused(step(7, hook.StateRunning, hook.StateRetrying, 3, 60), "released"), step(8, hook.StateRetrying, hook.StateRunning, 4, 70),
			caused(step(9, hook.StateRunning, hook.StateRetrying, 4, 80), "released"), step(10, hook.StateRetrying, hook.StateRunning, 5, 90),
			step(11, hook.StateRunning, hook.StateDone, 5, 100)}},
		"lost at the last attempt": {hook.StateDead, []hook.HistoryLine{
			caused(step(3, hook.StateRunning, hook.StateDead, 1, 700), "lost")}},
		"buried and discarded": {hook.StateDiscarded, []hook.HistoryLine{
			step(3, hook.StateRunning, hook.StateDead, 1, 20), step(4, hook.StateDead, hook.StateDiscarded, 1, 30)}},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			in := good(50)
			rework(in, way.state, append(slices.Clone(begin), way.lines...)...)
			if way.state != hook.StateDone {
				dropEffect(in)
			}
			r := history.Check(*in, history.Options{Drained: true, MaxAttempts: 4})
			if r.Verdict != history.Held {
				t.Errorf("judged %s: %+v", r.Verdict, r.Violations)
			}
		})
	}
}

func TestReplayIsJudgedAsAJobOfItsOwn(t *testing.T) {
	replay := func(in *history.Input) {
		lines := []hook.HistoryLine{
			transition(victim, 4, "", hook.StateReady, 0, 100),
			transition(victim, 5, hook.StateReady, hook.StateRunning, 1, 110),
			transition(victim, 6, hook.StateRunning, hook.StateDone, 1, 120),
		}
		for i := range lines {
			lines[i].Generation = 2
		}
		in.Dump = append(in.Dump, lines...)
		row(in).Jobs[0].Generation = 2
		second := effect(in)
		second.Generation = 2
		in.Effects = append(in.Effects, second)
	}
	in := good(50)
	replay(in)
	if r := history.Check(*in, history.Options{Drained: true}); r.Verdict != history.Held {
		t.Errorf("a replay of a done job was judged %s: %+v", r.Verdict, r.Violations)
	}

	in = good(50)
	replay(in)
	first := slices.IndexFunc(in.Dump, func(l hook.HistoryLine) bool {
		return ofVictim(l.Key) && l.Generation == 1 && l.To == hook.StateDone
	})
	in.Dump = slices.Delete(in.Dump, first, first+1)
	if r := history.Check(*in, history.Options{Drained: true}); r.Found("illegal") == 0 {
		t.Errorf("a replay beside a running job was judged %s: %+v", r.Verdict, r.Violations)
	}
}

func TestRowsThatNeedNoDelivery(t *testing.T) {
	for _, trust := range []hook.Trust{hook.TrustSenderAPI, hook.TrustInternal, hook.TrustHint} {
		in := good(50)
		row(in).Trust = trust
		in.Deliveries = slices.DeleteFunc(in.Deliveries, func(d history.Delivery) bool { return ofVictim(d.Key) })
		if r := history.Check(*in, history.Options{Drained: true}); r.Verdict != history.Held {
			t.Errorf("%s: judged %s: %+v", trust, r.Verdict, r.Violations)
		}
	}
}

func TestConflictsAndVolatileFieldsAreNoLoss(t *testing.T) {
	other := func(in *history.Input, sha, canonical string) {
		d := *delivery(in, answeredCopy)
		d.SHA, d.Canon = hash(sha), canonical
		in.Deliveries = append(in.Deliveries, d)
	}
	kept := good(50)
	other(kept, "other", "")
	kept.Dump = append(kept.Dump, hook.HistoryLine{Kind: "conflict", Source: "stripe", Mode: "test",
		Key: keyOf(victim), SHA256: hash("other"), Recomputed: hash("other")})

	volatile := good(50)
	delivery(volatile, answeredCopy).Canon = "same"
	other(volatile, "other", "same")

	counted := good(50)
	for i := range 8 {
		sha := hash("conflict " + keyOf(i))
		counted.Dump = append(counted.Dump, hook.HistoryLine{Kind: "conflict", Source: "stripe", Mode: "test",
			Key: keyOf(victim), SHA256: sha, Recomputed: sha})
	}
	other(counted, "ninth", "")

	for name, in := range map[string]*history.Input{"kept": kept, "volatile": volatile, "ninth": counted} {
		if r := history.Check(*in, history.Options{Drained: true}); r.Verdict != history.Held {
			t.Errorf("%s: judged %s: %+v", name, r.Verdict, r.Violations)
		}
	}
}

func TestStoppedTimeIsNotLate(t *testing.T) {
	in := good(50)
	d := delivery(in, answeredCopy)
	d.T1 = d.T0.Add(7 * time.Second)
	in.Faults = []history.Fault{{Kind: history.FaultStop, At: d.T0.Add(time.Second), Until: d.T0.Add(4 * time.Second)}}
	if r := history.Check(*in, history.Options{}); r.Verdict != history.Held {
		t.Errorf("judged %s: %+v", r.Verdict, r.Violations)
	}
	in.Faults[0].Until = d.T0.Add(2 * time.Second)
	if r := history.Check(*in, history.Options{}); r.Found("late") != 1 {
		t.Errorf("6 s of which the process was stopped 1 s: %+v", r.Violations)
	}
}

func TestReportNamesVerdictSamplesSeedAndPlace(t *testing.T) {
	in := good(50)
	for i := range in.Dump {
		if in.Dump[i].Kind == "event" {
			in.Dump[i].Recomputed = hash("changed")
		}
	}
	r := history.Check(*in, history.Options{Fault: history.FaultKill})
	r.Seed, r.Dir = 42, "kept/here"
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"verdict: broken", "BROKEN I6 body-changed: 50", "seed: 42", "files: kept/here", "lacking: "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	if got := strings.Count(b.String(), "stored as"); got != 3 {
		t.Errorf("%d samples, want 3", got)
	}
}
