package bench_test

import (
	"os/exec"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

// A process may end between being listed and being moved.
func TestWhatHasEndedNeedsNoGroup(t *testing.T) {
	g, err := bench.NewGroups()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := g.Put("part", cmd.Process.Pid); err != nil {
		t.Error(err)
	}
}
