package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hookkeeper": main})
}

// TestScript runs the scripts of testdata/script against the real command line,
// each in a folder of its own.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else every command lasts a second under -race
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"until": until},
	})
}

// until runs hookkeeper events with the given arguments again and again until
// so many events are listed, all in that state, and leaves the list in stdout. A
// server that is not there yet counts as not yet.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: until COUNT STATE ARGUMENTS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		if ts.Exec("hookkeeper", append([]string{"events"}, args[2:]...)...) != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
		if len(lines) == want && all(lines, `"state":"`+args[1]+`","jobs":`) {
			return
		}
	}
	ts.Fatalf("not every event became %s; last list:\n%s", args[1], ts.ReadFile("stdout"))
}

func all(lines []string, part string) bool {
	for _, line := range lines {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}
