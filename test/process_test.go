//go:build hktest

package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	id := s.recorded(t, stripe(stripeEvent("evt_one", defaultSubject, ""))).Event
	s.reaches(t, id, "done")

	began := time.Now()
	second := launch(t, options{database: s.path})
	select {
	case <-second.ended:
	case <-time.After(8 * time.Second):
		t.Fatal("after 8 s the second process still runs")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the second process is refused only after %s", took)
	}
	if code := second.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the second process ends with exit code %d, want 1", code)
	}
	inUse := fmt.Sprintf("in use by pid %d", s.cmd.Process.Pid)
	if n := linesWith(second.log.String(), inUse); n != 1 {
		t.Errorf("%d lines say %q, want one:\n%s", n, inUse, second.log)
	}
	if n := linesWith(second.log.String(), "hookkeeper: "); n != 1 {
		t.Errorf("%d lines of errors, want one:\n%s", n, second.log)
	}
	second.log.judge(t)

	for _, args := range [][]string{
		{"events", "list"}, {"events", "show", id}, {"events", "export"}, {"events", "export", "--history"},
		{"replay", id, "--dry-run"}, {"migrate", "status"},
	} {
		if r := s.command(t, append(args, "--database", "sqlite:"+s.path)...); r.code != 0 || r.stdout == "" {
			t.Errorf("%v beside the server: exit code %d: %s", args, r.code, r.stderr)
		}
	}
	r := s.command(t, "replay", id, "--reason", "beside the server", "--database", "sqlite:"+s.path)
	if r.code != 1 || linesWith(r.stderr, inUse) != 1 || !strings.Contains(r.stderr, "--operator") {
		t.Errorf("a writing command beside the server: exit code %d, %q, want 1 and %q", r.code, r.stderr, inUse)
	}
	s.recorded(t, stripe(stripeEvent("evt_two", defaultSubject, "")))

	// The lock is the kernel's: it does not outlive its process.
	s.kill(t)
	third := start(t, options{database: s.path})
	third.duplicate(t, stripe(stripeEvent("evt_one", defaultSubject, "")))
	third.reaches(t, third.recorded(t, stripe(stripeEvent("evt_three", "pi_three", ""))).Event, "done")
}

func linesWith(text, part string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func TestSIGTERMReleasesWork(t *testing.T) {
	t.Parallel()
	s := start(t, options{work: `{backoff: {base: 1h, max: 2h}, lease: 10m, limit: 20m}`})
	orders := map[string]string{
		"evt_hangs": `{"hang":true}`, "evt_slow": `{"slow_ms":600000}`, "evt_effect": `{"effect":"sleep","fail":99}`,
	}
	ids := map[string]string{}
	for key, hk := range orders {
		ids[key] = s.recorded(t, stripe(stripeEvent(key, "pi_"+key, hk))).Event
	}
	for _, key := range []string{"evt_hangs", "evt_slow"} {
		s.reaches(t, ids[key], "running")
	}
	if took := s.stop(t); took > 4*time.Second {
		t.Errorf("SIGTERM takes %s, want under 4 s", took)
	}
	for _, l := range s.history(t) {
		if l.Kind == "event" && l.State == "running" {
			t.Errorf("after the stop %s is running", l.Key)
		}
	}
	if got := s.effects(t); len(got) != 0 {
		t.Errorf("work that did not end left the effects %+v", got)
	}

	// The leases are of ten minutes: a job that is worked again within seconds
	// has been released, and the file was free at once.
	began := time.Now()
	again := start(t, options{database: s.path, work: `{backoff: {base: 1h, max: 2h}, lease: 10m, limit: 20m}`})
	for _, key := range []string{"evt_hangs", "evt_slow"} {
		eventually(t, 5*time.Second, key+" is claimed again", func() bool {
			e := again.event(t, ids[key])
			return e.State == "running" && e.Jobs[0].Attempt == 2
		})
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the next process works the released jobs only after %s", took)
	}
	if got := again.metric(t, `hookkeeper_jobs{handler="test",state="running"}`); got != 2 {
		t.Errorf("%v jobs are running, want 2", got)
	}
	code, text := again.get("http://" + again.operator + "/metrics")
	for line := range strings.Lines(string(text)) {
		for _, never := range []string{"hookkeeper_leases_taken_over_total{", "hookkeeper_stale_finishes_total{"} {
			if strings.HasPrefix(line, never) && !strings.HasSuffix(strings.TrimSpace(line), " 0") {
				t.Errorf("after a clean stop (metrics: %d) there is %s", code, line)
			}
		}
	}
	if took := again.stop(t); took > 4*time.Second {
		t.Errorf("SIGTERM takes %s, want under 4 s", took)
	}
}

// The door closes before the house does: what is refused while stopping is told
// to come again, and what was answered 200 is there.
func TestNothingIsLostAroundSIGTERM(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	var answered atomic.Int64
	var answers [4][]answer
	var senders sync.WaitGroup
	for w := range answers {
		senders.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("evt_%d_%d", w, i)
				a := s.send(stripe(stripeEvent(key, "pi_"+key, "")))
				if a.err != nil {
					return // the process is gone
				}
				answers[w] = append(answers[w], a)
				answered.Add(1)
			}
		})
	}
	eventually(t, 10*time.Second, "deliveries flow", func() bool { return answered.Load() > 100 })
	s.stop(t)
	senders.Wait()
	acknowledged := map[string]bool{}
	for _, a := range slices.Concat(answers[:]...) {
		switch {
		case a.code == 200:
			acknowledged[a.Event] = true
		case a.code != 503 || a.after == "":
			t.Errorf("while stopping a delivery is answered %v, want 200, or 503 with Retry-After", a)
		}
	}
	again := start(t, options{database: s.path})
	eventually(t, 20*time.Second, "everything is worked", func() bool {
		return again.everyState(t, "done", len(acknowledged))
	})
	for _, e := range again.events(t) {
		delete(acknowledged, e.ID)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged events are lost", len(acknowledged))
	}
}
