//go:build hktest

package torture

import (
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// Only a build with test hooks arms the children.
func TestMutantsOfTheReferenceAreCaught(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mutant string
		fault  history.FaultKind
		faults int
		slow   time.Duration
		as     string
	}{
		{"ack_before_commit", history.FaultKill, 3, 60 * time.Millisecond, "lost-ack"},
		{"check_then_insert", history.FaultNone, 0, 60 * time.Millisecond, "duplicate-row"},
		{"log_unverified", history.FaultNone, 0, 60 * time.Millisecond, "phantom-bytes"},
		{"effect_outside_tx", history.FaultKill, 3, 60 * time.Millisecond, "effect-twice"},
		// The reference renews no lease: a slow handler is overtaken by itself.
		{"no_fence", history.FaultNone, 0, 250 * time.Millisecond, "stale-finish"},
	} {
		t.Run(c.mutant, func(t *testing.T) {
			t.Parallel()
			o := referenceOptions(t)
			o.Mutant, o.Fault, o.Faults = c.mutant, c.fault, c.faults
			o.NeedsPercent = 0 // what is needed may be among what a mutant loses
			if o.SlowMax = c.slow; c.slow > o.Lease {
				o.SlowPercent, o.SlowMin = 5, c.slow
			}
			// Where in a mistake's window a kill lands is chance: a few seeds.
			var verdicts []history.Verdict
			for range 4 {
				r := torture(t, o)
				if r.Found(c.as) > 0 {
					return
				}
				verdicts = append(verdicts, r.Verdict)
				o.Seed += 2 // zero stands for one
				o.Dir = t.TempDir()
			}
			t.Errorf("judged %v, not found: %s", verdicts, c.as)
		})
	}
}
