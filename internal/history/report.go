package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Verdict is the outcome of a run.
type Verdict string

// The verdicts. Only Held is a success.
const (
	Held         Verdict = "held"
	Broken       Verdict = "broken"
	Inconclusive Verdict = "inconclusive"
)

// Violation is one way in which an invariant was broken, with how often and the
// first samples.
type Violation struct {
	Name      string
	Invariant string
	Count     int
	Samples   []string
}

// Counts say what the run consisted of.
type Counts struct {
	// Keys, in the categories of a set checker.
	Attempted, Acknowledged, Recovered, Lost, Unexpected, Duplicated int
	// Deliveries, by what their senders saw.
	Deliveries, Acks, Unknown, Refused, Shed, Duplicates, ForgedFirst int
	// The log.
	Events, Conflicts, Transitions, Effects          int
	Done, Dead, Retried, Released, TakenOver, Waited int
	// Faults.
	Faults, Landed, InFlight int
}

// Report is the judgement of one run.
type Report struct {
	Verdict    Verdict
	Violations []Violation // in order of their first appearance
	Lacking    []string    // why a run without violations proves nothing
	Counts     Counts
	Metrics    Metrics
	Seed       uint64 // of the run, if there is one
	Dir        string // where the files of the run lie, if they were kept
}

// Found returns how often the named violation was raised.
func (r *Report) Found(name string) int {
	for i := range r.Violations {
		if r.Violations[i].Name == name {
			return r.Violations[i].Count
		}
	}
	return 0
}

// maxSamples bounds the samples kept of each violation.
const maxSamples = 3

func (r *Report) raise(name, sample string) {
	i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Name == name })
	if i < 0 {
		i = len(r.Violations)
		r.Violations = append(r.Violations, Violation{Name: name, Invariant: invariantOf(name)})
	}
	v := &r.Violations[i]
	v.Count++
	if len(v.Samples) < maxSamples {
		v.Samples = append(v.Samples, sample)
	}
}

// invariantOf names the invariant that a violation breaks.
func invariantOf(name string) string {
	switch name {
	case "lost-ack", "lost-conflict":
		return "I1"
	case "phantom-row", "phantom-bytes", "before-sent":
		return "I2"
	case "accepted-invalid":
		return "I3"
	case "refused-valid":
		return "I4"
	case "duplicate-row":
		return "I5"
	case "body-changed":
		return "I6"
	case "effect-twice", "done-without-effect", "effect-without-row", "unfinished-with-effect",
		"key-changed", "far-twice":
		return "I7"
	case "gap", "illegal", "attempt-jump", "claimed-under-live-lease", "stale-finish", "final":
		return "I8"
	case "attempts-over-max":
		return "I9"
	case "late":
		return "I12"
	case "not-final":
		return "L1"
	}
	return "ledger"
}

// WriteTo prints the report for people: verdict, counts, each violation with
// its samples, what is lacking, the seed and where the files lie.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	c, m := &r.Counts, &r.Metrics
	fmt.Fprintf(&b, "verdict: %s\n", r.Verdict)
	fmt.Fprintf(&b, "keys: %d attempted, %d acknowledged, %d recovered, %d lost, %d unexpected, %d duplicated\n",
		c.Attempted, c.Acknowledged, c.Recovered, c.Lost, c.Unexpected, c.Duplicated)
	fmt.Fprintf(&b, "deliveries: %d, %d acknowledged (%d as duplicate), %d refused, %d shed, %d unknown, "+
		"%d connections refused, %d keys forged first\n",
		c.Deliveries, c.Acks, c.Duplicates, c.Refused, c.Shed, c.Unknown, m.RefusedConnections, c.ForgedFirst)
	fmt.Fprintf(&b, "log: %d events, %d conflicts, %d transitions, %d effects; %d done, %d dead; "+
		"attempts: %d retried, %d waited, %d released, %d taken over; %d stale finishes refused\n",
		c.Events, c.Conflicts, c.Transitions, c.Effects, c.Done, c.Dead,
		c.Retried, c.Waited, c.Released, c.TakenOver, m.StaleFinishes)
	fmt.Fprintf(&b, "faults: %d, %d landed\n", c.Faults, c.Landed)
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "BROKEN %s %s: %d\n", v.Invariant, v.Name, v.Count)
		for _, s := range v.Samples {
			fmt.Fprintf(&b, "    %s\n", s)
		}
	}
	for _, l := range r.Lacking {
		fmt.Fprintf(&b, "lacking: %s\n", l)
	}
	if r.Seed != 0 {
		fmt.Fprintf(&b, "seed: %d\n", r.Seed)
	}
	if r.Dir != "" {
		fmt.Fprintf(&b, "files: %s\n", r.Dir)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
