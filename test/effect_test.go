//go:build hktest

package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// misdeeds are what effects must not do, and what the cause of the failed
// attempt then says.
func misdeeds() map[string]string {
	return map[string]string{
		"sleep":  "too slow",
		"commit": "COMMIT",
		"cancel": "ended its transaction",
		"record": "inside an effect",
	}
}

func TestBadEffectsHurtNobody(t *testing.T) {
	s := start(t, options{})
	const healthy, each, late = 300, 4, time.Second
	var bad, good []delivery
	for range each {
		for how := range misdeeds() {
			key := fmt.Sprintf("evt_bad_%s_%d", how, len(bad))
			bad = append(bad, stripe(stripeEvent(key, "pi_"+key, fmt.Sprintf(`{"effect":%q,"fail":2}`, how))))
		}
	}
	for i := range healthy {
		key := fmt.Sprintf("evt_good_%d", i)
		good = append(good, stripe(stripeEvent(key, "pi_"+key, "")))
	}
	answers := s.stream(good, bad)
	ids := map[string]bool{}
	slowest := time.Duration(0)
	for _, a := range answers {
		if a.err != nil || a.code != http.StatusOK || a.Status != "recorded" || a.took > late {
			t.Errorf("a delivery beside bad effects is answered %v, want 200 recorded within %s", a, late)
		}
		ids[a.Event] = true
		slowest = max(slowest, a.took)
	}
	t.Logf("slowest answer of %d: %s", len(answers), slowest)
	eventually(t, 40*time.Second, "all events are done", func() bool {
		return s.everyState(t, "done", healthy+len(bad))
	})
	if got := s.events(t); len(got) != healthy+len(bad) || len(ids) != len(got) {
		t.Errorf("%d rows and %d ids, want %d", len(got), len(ids), healthy+len(bad))
	}
	times := map[string][]int{}
	for _, e := range s.effects(t) {
		times[e.Key] = append(times[e.Key], e.Attempt)
	}
	for _, e := range s.events(t) {
		want := []int{1}
		if strings.HasPrefix(e.Key, "evt_bad_") {
			want = []int{3}
		}
		if !slices.Equal(times[e.Key], want) {
			t.Errorf("effects of %s are of attempts %v, want %v", e.Key, times[e.Key], want)
		}
		delete(times, e.Key)
	}
	if len(times) > 0 {
		t.Errorf("effects without an event: %v", times)
	}
	s.failedTwice(t)
	s.balancedAfterRestart(t)
}

// stream sends the good ones, a bad one between every few of them, over sixteen
// connections at about 150 a second: long enough to meet every bad effect.
func (s *server) stream(good, bad []delivery) []answer {
	var all []delivery
	every := len(good) / len(bad)
	for i, d := range good {
		if i%every == 0 && i/every < len(bad) {
			all = append(all, bad[i/every])
		}
		all = append(all, d)
	}
	answers := make([]answer, len(all))
	next := make(chan int)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for i := range next {
				answers[i] = s.send(all[i])
			}
		})
	}
	pace := time.NewTicker(7 * time.Millisecond)
	defer pace.Stop()
	for i := range all {
		<-pace.C
		next <- i
	}
	close(next)
	group.Wait()
	return answers
}

func (s *server) everyState(t *testing.T, state string, n int) bool {
	t.Helper()
	s.mustLive(t)
	all := s.events(t)
	for _, e := range all {
		if e.State != state {
			return false
		}
	}
	return len(all) >= n
}

// failedTwice wants to see that the misdeeds did happen, and were the cause.
func (s *server) failedTwice(t *testing.T) {
	t.Helper()
	failed := map[string]int{}
	for _, l := range s.history(t) {
		how, _, bad := strings.Cut(strings.TrimPrefix(l.Key, "evt_bad_"), "_")
		if l.Kind != "transition" || l.From != "running" || l.To == "done" {
			continue
		}
		if !bad || l.To != "retrying" || l.Attempt > 2 || l.Cause == "" || !strings.Contains(l.Cause, misdeeds()[how]) {
			t.Errorf("unexpected end of an attempt: %+v", l)
		}
		failed[l.Key]++
	}
	for key, n := range failed {
		if n != 2 {
			t.Errorf("%s failed %d times, want 2", key, n)
		}
	}
	if len(failed) != 4*len(misdeeds()) {
		t.Errorf("inconclusive: only %d bad effects had a failed attempt", len(failed))
	}
}

// balancedAfterRestart lets the ledger be recomputed, which a start does at
// once, beside the first events. What is missing would show in the metric, or,
// if it were found only later, in the log that the stop judges.
func (s *server) balancedAfterRestart(t *testing.T) {
	t.Helper()
	s.stop(t)
	again := start(t, options{database: s.path})
	for i := range 5 {
		key := fmt.Sprintf("evt_balance_%d", i)
		again.reaches(t, again.recorded(t, stripe(stripeEvent(key, "pi_"+key, ""))).Event, "done")
	}
	if off := again.metric(t, "hookkeeper_ledger_imbalance"); off != 0 {
		t.Errorf("the ledger is off by %v events", off)
	}
	again.stop(t)
}
