//go:build hktest

package test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testHooks are everything that a build for tests obeys.
func testHooks() map[string]string {
	return map[string]string{
		"HK_MUTANT": "ack_before_commit,check_then_insert,effect_outside_tx,no_fence,log_unverified," +
			"shared_tx_rollback,waiting_blocks,swallow_db_error,unsorted_batch,cursor_past_open",
		"HK_FAILPOINT":    "before-insert:error,before-commit:error,after-commit:exit,before-answer:panic,after-claim:exit,before-finish:exit",
		"HK_CLOCK_OFFSET": "1000h",
	}
}

func TestReleaseBuildHasNoTestHooks(t *testing.T) {
	t.Parallel()
	s := start(t, options{release: true, env: testHooks()})
	body := stripeEvent("evt_release", defaultSubject, `{"fail":1,"panic":true,"effect":"commit"}`)
	s.refused(t, byStripe("stripe", forgersSecret, body, time.Now()), 400, "bad_signature")
	if got := s.events(t); len(got) != 0 {
		t.Errorf("an unverified delivery left %+v", got)
	}
	ids := map[string]bool{}
	statuses := map[string]int{}
	for _, a := range s.together(copies(stripe(body), 50)) {
		if a.err != nil || a.code != 200 {
			t.Errorf("answered %v", a)
		}
		ids[a.Event] = true
		statuses[a.Status]++
	}
	if len(ids) != 1 || statuses["recorded"] != 1 {
		t.Errorf("fifty copies are the events %v with the answers %v", ids, statuses)
	}
	all := s.events(t)
	if len(all) != 1 || all[0].State != "no_handler" || len(all[0].Jobs) != 0 {
		t.Fatalf("events are %+v, want one that no handler wants", all)
	}
	if age := time.Since(all[0].ReceivedAt); age < -time.Minute || age > time.Minute {
		t.Errorf("received at %s: the clock is off", all[0].ReceivedAt)
	}
	s.refused(t, byStripe("stripe", stripeSecret, body, time.Now().Add(1000*time.Hour)), 400, "timestamp_in_future")
	if r := s.command(t, "events", "export", "--effects", "--database", "sqlite:"+s.path); r.code != 2 {
		t.Errorf("--effects: exit code %d, want 2: unknown flag", r.code)
	}
	text, err := os.ReadFile(s.binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"HK_MUTANT", "HK_FAILPOINT", "HK_CLOCK_OFFSET", "hk_effects"} {
		if strings.Contains(string(text), word) {
			t.Errorf("the release binary holds the word %s", word)
		}
	}
}

// The same hooks do work where they are meant to, or the test above shows
// nothing.
func TestHooksOfTheTestBuildWork(t *testing.T) {
	t.Parallel()
	body := stripeEvent("evt_hooks", defaultSubject, "")
	late := start(t, options{env: map[string]string{"HK_CLOCK_OFFSET": "1000h"}})
	late.refused(t, stripe(body), 400, "timestamp_too_old")
	broken := start(t, options{env: map[string]string{"HK_FAILPOINT": "before-answer:error"}})
	broken.want(t, stripe(body), 503, "unavailable", "unavailable")
	open := start(t, options{env: map[string]string{"HK_MUTANT": "log_unverified"}})
	open.refused(t, byStripe("stripe", forgersSecret, body, time.Now()), 400, "bad_signature")
	if got := open.events(t); len(got) != 1 {
		t.Errorf("the mutant log_unverified leaves %d rows, want one", len(got))
	}
}

func TestSmallBinary(t *testing.T) {
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(b.release)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("release binary: %.1f MB", float64(info.Size())/1e6)
	if info.Size() >= 40_000_000 {
		t.Errorf("the release binary has %d bytes, want under 40 MB", info.Size())
	}
}

func TestFirstAnswerWithinASecond(t *testing.T) {
	var took []time.Duration
	for i := range 5 {
		began := time.Now()
		s := launch(t, options{release: true})
		s.awaitListening(t)
		a := s.recorded(t, stripe(stripeEvent(fmt.Sprintf("evt_first_%d", i), defaultSubject, "")))
		took = append(took, time.Since(began))
		if a.code != 200 {
			t.Fatalf("the first delivery is answered %v", a)
		}
		s.stop(t)
	}
	slices.Sort(took)
	t.Logf("start to first 200, five times: %v", took)
	if took[2] >= time.Second {
		t.Errorf("start to first 200 takes %s (median), want under a second", took[2])
	}
}

func TestIdleMemoryUnder40MiB(t *testing.T) {
	t.Parallel()
	s := start(t, options{release: true})
	idle := time.NewTimer(10 * time.Second)
	<-idle.C
	kib := statusKiB(t, s.cmd.Process.Pid, "VmRSS")
	t.Logf("idle for 10 s: %.1f MiB resident", float64(kib)/1024)
	if kib >= 40<<10 {
		t.Errorf("%d KiB resident, want under 40 MiB", kib)
	}
}

// statusKiB reads a size from what the kernel says of a process.
func statusKiB(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
