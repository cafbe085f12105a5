package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
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
	Name      string   `json:"name"`
	Invariant string   `json:"invariant"`
	Count     int      `json:"count"`
	Samples   []string `json:"samples"`
}

// Counts say what the run consisted of.
type Counts struct {
	// Keys, in the categories of a set checker.
	Attempted    int `json:"attempted"`
	Acknowledged int `json:"acknowledged"`
	Recovered    int `json:"recovered"`
	Lost         int `json:"lost"`
	Unexpected   int `json:"unexpected"`
	Duplicated   int `json:"duplicated"`

	// Deliveries, by what their senders saw.
	Deliveries  int `json:"deliveries"`
	Acks        int `json:"acks"`
	Unknown     int `json:"unknown"`
	Refused     int `json:"refused"`
	Shed        int `json:"shed"`
	Duplicates  int `json:"duplicates"`
	ForgedFirst int `json:"forged_first"`

	// The log.
	Events      int `json:"events"`
	Conflicts   int `json:"conflicts"`
	Transitions int `json:"transitions"`
	Effects     int `json:"effects"`
	Done        int `json:"done"`
	Dead        int `json:"dead"`
	Retried     int `json:"retried"`
	Released    int `json:"released"`
	TakenOver   int `json:"taken_over"`
	Waited      int `json:"waited"`

	SlowestTakeover time.Duration `json:"slowest_takeover_ns"` // after the end of the lease

	// Faults.
	Faults   int `json:"faults"`
	Landed   int `json:"landed"`
	InFlight int `json:"in_flight"`
	// Commits of unknown outcome that the cuts made.
	HadCommitted    int `json:"had_committed"`
	HadNotCommitted int `json:"had_not_committed"`
}

// Report is the judgement of one run.
type Report struct {
	Verdict    Verdict     `json:"verdict"`
	Violations []Violation `json:"violations"` // in order of their first appearance
	Lacking    []string    `json:"lacking"`    // why a run without violations proves nothing
	Counts     Counts      `json:"counts"`
	Metrics    Metrics     `json:"metrics"`
	Away       []Away      `json:"away,omitempty"` // one for each time that the database was away
	Seed       uint64      `json:"seed"`           // of the run, if there is one
	Dir        string      `json:"files"`          // where the files of the run lie, if they were kept
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
	case "not-final", "late-takeover":
		return "L1"
	case "deadlock":
		return "engine"
	case "false-ready", "dead-while-away":
		return "probes"
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
	fmt.Fprintf(&b, "faults: %d, %d landed", c.Faults, c.Landed)
	if n := c.HadCommitted + c.HadNotCommitted; n > 0 {
		fmt.Fprintf(&b, "; unknown commits: %d, %d of them had committed", n, c.HadCommitted)
	}
	if c.SlowestTakeover > 0 {
		fmt.Fprintf(&b, "; slowest takeover %s after the end of its lease", c.SlowestTakeover.Round(time.Millisecond))
	}
	b.WriteByte('\n')
	for i := range r.Away {
		a := &r.Away[i]
		fmt.Fprintf(&b, "database away: first 200 %d ms after its return; a node had at most %d goroutines, %d descriptors, %d MiB\n",
			a.AckAfterMS, a.Goroutines, a.Descriptors, a.MemoryKiB>>10)
	}
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
