//go:build hktest

package test

import (
	"fmt"
	"testing"
)

func push(n int) []byte {
	return fmt.Appendf(nil, `{"ref":"refs/heads/main","before":"a","after":"b%d","commits":[],"pusher":{"name":"x"},"repository":{"id":42}}`, n)
}

func TestCapturedGitHubBodyHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	body := push(1)
	first := s.recorded(t, github("guid-1", "push", body)).Event
	s.reaches(t, first, "done")

	s.duplicate(t, github("guid-1", "push", body))   // a true redelivery
	s.duplicate(t, github("guid-1", "issues", body)) // under another name it is no other event either

	captured := s.recorded(t, github("guid-2", "push", body)).Event
	if e := s.event(t, captured); e.State != "quarantined" || e.quarantine() != "same_body" || len(e.Jobs) != 0 {
		t.Errorf("a captured body under a new delivery id is %+v, want quarantined same_body", e)
	}
	renamed := s.recorded(t, github("guid-3", "issues", body)).Event
	if e := s.event(t, renamed); e.State != "quarantined" || e.quarantine() != "type_mismatch" || len(e.Jobs) != 0 {
		t.Errorf("a captured body under another name is %+v, want quarantined type_mismatch", e)
	}
	// An honest event afterwards goes through the whole queue.
	s.reaches(t, s.recorded(t, github("guid-4", "push", push(2))).Event, "done")
	for key, want := range map[string]int{"guid-1": 1, "guid-2": 0, "guid-3": 0, "guid-4": 1} {
		if n := s.effectsOf(t, "github", key); n != want {
			t.Errorf("%s has %d effects, want %d", key, n, want)
		}
	}
	if e := s.event(t, first); e.Deliveries != 3 || e.Conflicts != 0 || e.Type != "push" {
		t.Errorf("the first is %+v, want 3 deliveries of one push", e)
	}
	if got := s.metric(t, `hookkeeper_deliveries_total{outcome="quarantined",source="github"}`); got != 2 {
		t.Errorf("the metric shows %v quarantined deliveries, want 2", got)
	}

	r := s.command(t, "replay", captured, "--reason", "it was us", "--operator", "http://"+s.operator)
	if r.code != 0 {
		t.Fatalf("replay: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	s.reaches(t, captured, "done")
	for key, want := range map[string]int{"guid-1": 1, "guid-2": 1, "guid-3": 0} {
		if n := s.effectsOf(t, "github", key); n != want {
			t.Errorf("after the replay %s has %d effects, want %d", key, n, want)
		}
	}
}

func TestEqualDispatchesAreTwoFacts(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	for event, body := range map[string]string{
		"workflow_dispatch":   `{"ref":"refs/heads/main","workflow":".github/workflows/a.yml","inputs":null,"repository":{"id":42}}`,
		"repository_dispatch": `{"action":"go","branch":"main","client_payload":{},"repository":{"id":42}}`,
		"ping":                `{"zen":"Keep it logically awesome.","hook_id":1,"hook":{"id":1},"repository":{"id":42}}`,
	} {
		for _, id := range []string{event + "-1", event + "-2"} {
			s.reaches(t, s.recorded(t, github(id, event, []byte(body))).Event, "done")
			if n := s.effectsOf(t, "github", id); n != 1 {
				t.Errorf("%s has %d effects, want one", id, n)
			}
		}
	}
}
