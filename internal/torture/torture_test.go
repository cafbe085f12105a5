package torture

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// asReference makes the test binary the receiver under test.
const asReference = "TORTURE_REFERENCE=1"

func TestMain(m *testing.M) {
	if os.Getenv("TORTURE_REFERENCE") == "1" {
		if err := referenceMain(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func referenceOptions(t *testing.T) Options {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Binary: binary, Dir: t.TempDir(), Events: 100, Env: []string{asReference},
		NeedsPercent: 5, Attempts: 8, Drain: 10 * time.Second, Lease: 200 * time.Millisecond,
		SlowPercent: 30, SlowMax: 60 * time.Millisecond,
	}
}

func torture(t *testing.T, o Options) history.Report {
	t.Helper()
	var out strings.Builder
	o.Out = &out
	report, err := Run(t.Context(), o)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestReferenceHolds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  history.FaultKind
		faults int
	}{{history.FaultNone, 0}, {history.FaultKill, 3}, {history.FaultStop, 1}, {history.FaultTerm, 2}} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			o := referenceOptions(t)
			o.Fault, o.Faults = c.fault, c.faults
			r := torture(t, o)
			if len(r.Violations) > 0 {
				t.Errorf("judged %s: %+v", r.Verdict, r.Violations)
			}
			if r.Counts.Attempted != o.Events || r.Counts.Acknowledged != o.Events {
				t.Errorf("%d keys attempted, %d acknowledged, want %d", r.Counts.Attempted, r.Counts.Acknowledged, o.Events)
			}
			if r.Counts.Landed < c.faults {
				t.Errorf("%d faults landed, want %d", r.Counts.Landed, c.faults)
			}
			again, err := Judge(o.Dir)
			if diff := cmp.Diff(r, again); err != nil || diff != "" {
				t.Errorf("judged again: error %v (-first +again):\n%s", err, diff)
			}
		})
	}
}

func TestOptionsThatMakeNoRunAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no binary":                {Dir: "x"},
		"no folder":                {Binary: "x"},
		"without a number":         {Binary: "x", Dir: "x", Fault: history.FaultKill},
		"no kind of fault":         {Binary: "x", Dir: "x", Faults: 3},
		`unknown fault "flood"`:    {Binary: "x", Dir: "x", Fault: "flood", Faults: 3},
		"must be positive":         {Binary: "x", Dir: "x", Events: -1},
		"slowest handler is faste": {Binary: "x", Dir: "x", SlowMin: time.Second},
	} {
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestAServerThatDoesNotStartIsAnError(t *testing.T) {
	o := referenceOptions(t)
	o.Env = append(o.Env, "HOOKKEEPER_CONFIG=/nonexistent/hookkeeper.yaml")
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "/nonexistent/") {
		t.Errorf("error %v", err)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "earlier run") {
		t.Errorf("a second run in the same folder: error %v", err)
	}
}

func TestACancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	o := referenceOptions(t)
	o.Events, o.Fault, o.Faults = 100_000, history.FaultKill, 1000
	begin := time.Now()
	if _, err := Run(ctx, o); err == nil {
		t.Error("a cancelled run was judged")
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

func TestSamplesAreAddedUp(t *testing.T) {
	text := []byte(`# HELP hookkeeper_stale_finishes_total x
hookkeeper_stale_finishes_total{handler="a b"} 2
hookkeeper_stale_finishes_total{handler="c"} 1e+00 1700000000
hookkeeper_stale_finishes_total_created{handler="c"} 9
hookkeeper_ledger_imbalance 4
`)
	if got := samples(text, "hookkeeper_stale_finishes_total"); got != 3 {
		t.Errorf("stale finishes %d, want 3", got)
	}
	if got := samples(text, "hookkeeper_ledger_imbalance"); got != 4 {
		t.Errorf("imbalance %d, want 4", got)
	}
}
