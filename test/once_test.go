//go:build hktest

package test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// together sends all deliveries at one instant.
func (s *server) together(all []delivery) []answer {
	answers := make([]answer, len(all))
	barrier := make(chan struct{})
	var group sync.WaitGroup
	for i, d := range all {
		group.Go(func() {
			<-barrier
			answers[i] = s.send(d)
		})
	}
	close(barrier)
	group.Wait()
	return answers
}

// copies is n times the same delivery.
func copies(d delivery, n int) []delivery {
	all := make([]delivery, n)
	for i := range all {
		all[i] = delivery{d.source, d.header.Clone(), d.body}
	}
	return all
}

func TestFiveHundredCopiesAreOneEvent(t *testing.T) {
	s := start(t, options{})
	const n = 500
	body := stripeEvent("evt_crowd", defaultSubject, "")
	ids, statuses := map[string]int{}, map[string]int{}
	for _, a := range s.together(copies(stripe(body), n)) {
		if a.err != nil || a.code != http.StatusOK {
			t.Errorf("a copy is answered %v", a)
		}
		ids[a.Event]++
		statuses[a.Status]++
	}
	if statuses["recorded"] != 1 || statuses["duplicate"] != n-1 || len(ids) != 1 {
		t.Errorf("answers are %v about %d events, want one recorded, the others duplicate, one event", statuses, len(ids))
	}
	all := s.events(t)
	if len(all) != 1 {
		t.Fatalf("%d rows, want one", len(all))
	}
	e := s.reaches(t, all[0].ID, "done")
	if e.Deliveries != n || e.Conflicts != 0 || len(e.Jobs) != 1 || e.Jobs[0].Attempt != 1 {
		t.Errorf("the row is %+v, want %d deliveries, no conflict, one job with one attempt", e, n)
	}
	if got := s.effectsOf(t, "stripe", "evt_crowd"); got != 1 {
		t.Errorf("%d effects, want one", got)
	}
	if got := s.raw(t, e.ID); !bytes.Equal(got, body) {
		t.Errorf("kept bytes are not those that came")
	}
}

func TestRedeliveryCannotEndAJob(t *testing.T) {
	s := start(t, options{work: `{backoff: {base: 100ms, max: 200ms}, attempts: 4}`})
	// The first ordered failure comes inside the effect, after its row, the
	// second inside the handler.
	d := stripe(stripeEvent("evt_again", defaultSubject, `{"fail":2,"slow_ms":150}`))
	id := s.recorded(t, d).Event
	seen := map[string]int{}
	eventually(t, 20*time.Second, "the job ends while its event is delivered again and again", func() bool {
		s.duplicate(t, d)
		state := s.event(t, id).State
		seen[state]++
		return state == "done"
	})
	if seen["running"]+seen["retrying"] < 5 {
		t.Fatalf("inconclusive: redeliveries met only the states %v", seen)
	}
	for range 10 {
		s.duplicate(t, d)
	}
	// A later event goes through all of the queue: had a redelivery queued
	// anything, it would have run before.
	s.reaches(t, s.recorded(t, stripe(stripeEvent("evt_after", defaultSubject, ""))).Event, "done")
	var rows []effect
	for _, e := range s.effects(t) {
		if e.Key == "evt_again" {
			rows = append(rows, e)
		}
	}
	if len(rows) != 1 || rows[0].Attempt != 3 || rows[0].Generation != 1 {
		t.Errorf("effects are %+v, want one, of the third attempt", rows)
	}
	if e := s.event(t, id); e.Deliveries != int64(1+sumOf(seen)+10) {
		t.Errorf("%d deliveries counted, want %d", e.Deliveries, 1+sumOf(seen)+10)
	}
}

func sumOf(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// The other half of the promise: a dead letter stays dead, visible and without
// effect however often its event comes, until an operator replays it.
func TestRedeliveryCannotReviveADeadLetter(t *testing.T) {
	t.Parallel()
	s := start(t, options{work: `{backoff: {base: 5ms, max: 10ms}, attempts: 3}`})
	d := stripe(stripeEvent("evt_poison", defaultSubject, `{"poison":true}`))
	id := s.recorded(t, d).Event
	s.reaches(t, id, "dead")
	for range 20 {
		s.duplicate(t, d)
	}
	s.reaches(t, s.recorded(t, stripe(stripeEvent("evt_next", defaultSubject, ""))).Event, "done")
	e := s.event(t, id)
	if e.State != "dead" || e.Jobs[0].Attempt != 3 || e.Jobs[0].LastError == nil {
		t.Errorf("the job is %+v, want dead after three attempts, with its cause", e.Jobs)
	}
	if n := s.effectsOf(t, "stripe", "evt_poison"); n != 0 {
		t.Errorf("a job that never ended well has %d effects", n)
	}
	if got := s.metric(t, `hookkeeper_jobs{handler="test",state="dead"}`); got != 1 {
		t.Errorf("the metric shows %v dead jobs, want 1", got)
	}
}

// twin is a genuine delivery and one that somebody without the secret made of
// the same id.
type twin struct {
	name            string
	genuine, forged func(id string) delivery
	key             func(id string) string
	refusal         int
	reason          string
}

func same(id string) string { return id }

func twins() []twin {
	object := func(id, who string) []byte { return fmt.Appendf(nil, `{"id":%q,"event":"paid","who":%q}`, id, who) }
	payout := func(id, status string) []byte {
		return fmt.Appendf(nil, `{"eventType":"payout.changed","eventId":%q,"createdAt":"2026-11-20T10:00:00+09:00",`+
			`"entityType":"payout","entityBody":{"id":"po_1","status":%q}}`, id, status)
	}
	issue := func(id, title string) []byte {
		return fmt.Appendf(nil, `{"action":"opened","issue":{"title":%q,"n":%q},"repository":{"id":7}}`, title, id)
	}
	return []twin{
		{"stripe", func(id string) delivery { return stripe(stripeEvent(id, "pi_honest", "")) },
			func(id string) delivery {
				return byStripe("stripe", forgersSecret, stripeEvent(id, "pi_thief", ""), time.Now())
			}, same, 400, "bad_signature"},
		{"github", func(id string) delivery { return github(id, "issues", issue(id, "honest")) },
			func(id string) delivery { return byGitHub(forgersSecret, id, "issues", issue(id, "thief")) },
			same, 401, "bad_signature"},
		{"partner", func(id string) delivery { return byPartner(partnerSecret, id, object(id, "honest")) },
			func(id string) delivery { return byPartner(forgersSecret, id, object(id, "thief")) },
			same, 401, "bad_signature"},
		{"legacy", func(id string) delivery { return byLegacy("legacy", legacySecret, object(id, "honest")) },
			func(id string) delivery { return byLegacy("legacy", forgersSecret, object(id, "thief")) },
			same, 401, "bad_signature"},
		{"toss", func(id string) delivery { return byToss(tossSecurity, "tr_"+id, payout(id, "COMPLETED")) },
			func(id string) delivery { return byToss(forgersSecret, "tr_"+id, payout(id, "FAILED")) },
			same, 401, "bad_signature"},
	}
}

func TestForgedTwinClaimsNothing(t *testing.T) {
	s := start(t, options{})
	for _, tw := range twins() {
		t.Run(tw.name, func(t *testing.T) {
			first, racing := "evt_first_"+tw.name, "evt_racing_"+tw.name
			s.refused(t, tw.forged(first), tw.refusal, tw.reason)
			unsigned := tw.genuine(first)
			unsigned.header = http.Header{"X-Github-Delivery": {first}, "X-Github-Event": {"issues"}}
			s.refused(t, unsigned, tw.refusal, "missing_header")
			if got := s.events(t, "source", tw.name); len(got) != 0 {
				t.Fatalf("a forged delivery left %+v", got)
			}
			honest := tw.genuine(first)
			id := s.recorded(t, honest).Event
			s.refused(t, tw.forged(first), tw.refusal, tw.reason)
			s.keeps(t, id, first, honest.body)

			honest = tw.genuine(racing)
			crowd := copies(tw.forged(racing), 40)
			crowd[20] = honest
			var winner string
			for i, a := range s.together(crowd) {
				switch {
				case i == 20 && (a.err != nil || a.code != http.StatusOK || a.Status != "recorded"):
					t.Errorf("the genuine one among forged ones is answered %v", a)
				case i == 20:
					winner = a.Event
				case a.code != tw.refusal || a.Reason != tw.reason || a.Event != "":
					t.Errorf("a forged one beside the genuine one is answered %v", a)
				}
			}
			s.keeps(t, winner, racing, honest.body)
			if got := s.events(t, "source", tw.name); len(got) != 2 {
				t.Errorf("%d rows, want the two genuine ones", len(got))
			}
		})
	}
}

// keeps wants the event worked once, with exactly these bytes and no trace of
// any other delivery.
func (s *server) keeps(t *testing.T, id, key string, body []byte) {
	t.Helper()
	e := s.reaches(t, id, "done")
	if e.Key != key || e.SHA256 != sum(body) || e.Deliveries != 1 || e.Conflicts != 0 || e.Trust != "signature" {
		t.Errorf("the row is %+v, want key %s, sha256 %s, one delivery, no conflict", e, key, sum(body))
	}
	if !bytes.Equal(s.raw(t, id), body) {
		t.Errorf("event %s: kept bytes are not the genuine ones", id)
	}
	if n := s.effectsOf(t, e.Source, key); n != 1 {
		t.Errorf("event %s has %d effects, want one", id, n)
	}
}

// Who knows the secret may contradict himself; the first word stays.
func TestOtherSignedBytesAreAConflict(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	body := stripeEvent("evt_twice", defaultSubject, "")
	id := s.recorded(t, stripe(body)).Event
	volatile := bytes.Replace(body, []byte(`"pending_webhooks":1`), []byte(`"pending_webhooks":0`), 1)
	s.duplicate(t, stripe(volatile))
	if e := s.event(t, id); e.Conflicts != 0 || e.Deliveries != 2 {
		t.Errorf("a copy that differs only in pending_webhooks makes %+v, want a plain duplicate", e)
	}
	other := bytes.Replace(body, []byte(defaultSubject), []byte("pi_anotherone"), 1)
	s.duplicate(t, stripe(other))
	s.duplicate(t, stripe(other))
	e := s.reaches(t, id, "done")
	if e.Conflicts != 1 || e.Deliveries != 4 {
		t.Errorf("%d conflicts of %d deliveries, want 1 of 4", e.Conflicts, e.Deliveries)
	}
	if !bytes.Equal(s.raw(t, id), body) {
		t.Error("kept bytes are not the first ones")
	}
	if n := s.effectsOf(t, "stripe", "evt_twice"); n != 1 {
		t.Errorf("%d effects, want one", n)
	}
	if n := strings.Count(s.log.String(), "other bytes"); n != 2 {
		t.Errorf("%d alarms about other bytes, want one for each of the two deliveries", n)
	}
}

// A refused delivery costs the genuine ones behind it nothing, whatever it is.
// Its note is written with the first batch that commits after it.
func TestRefusalsCostNobodyAnAnswer(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty": "", "one byte": "x", "no text": "\x00\xff", "longer than is kept": strings.Repeat("y", 200<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{})
			for range 3 {
				s.refused(t, byStripe("stripe", forgersSecret, []byte(body), time.Now()), 400, "bad_signature")
			}
			s.recorded(t, stripe(stripeEvent("evt_behind", defaultSubject, "")))
			code, text := s.get("http://" + s.operator + "/api/v1/rejections")
			if n := strings.Count(string(text), "bad_signature"); code != 200 || n != 3 {
				t.Errorf("%d notes of the refusals, want 3: %d %s", n, code, text)
			}
		})
	}
}
