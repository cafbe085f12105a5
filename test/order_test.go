//go:build hktest

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a file from which a server reads by how much its clock is off.
type clock struct{ path string }

func newClock(t *testing.T) clock {
	c := clock{filepath.Join(t.TempDir(), "clock")}
	c.set(t, 0)
	return c
}

func (c clock) env() map[string]string { return map[string]string{"HK_CLOCK_OFFSET": "file:" + c.path} }

// set moves the clock in one step: a reader never finds half a text.
func (c clock) set(t *testing.T, offset time.Duration) {
	t.Helper()
	if err := os.WriteFile(c.path+".new", []byte(offset.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.path+".new", c.path); err != nil {
		t.Fatal(err)
	}
}

func billing(id, kind, subscription, hk string) []byte {
	object := fmt.Sprintf(`{"id":"in_%s","object":"invoice","subscription":%q}`, id, subscription)
	if kind == "customer.subscription.created" {
		object = fmt.Sprintf(`{"id":%q,"object":"subscription"}`, subscription)
	}
	return fmt.Appendf(nil, `{"id":%q,"object":"event","type":%q,"created":%d,"livemode":false,"data":{"object":%s},"hk":%s}`,
		id, kind, time.Now().Unix(), object, hk)
}

// The backoff is an hour: only the end of the subscription's job can wake the
// invoice's in time.
func TestInvoiceBeforeItsSubscriptionBothEndDone(t *testing.T) {
	t.Parallel()
	s := start(t, options{work: `{backoff: {base: 1h, max: 12h}}`})
	invoice := s.recorded(t, stripe(billing("evt_invoice", "invoice.paid", "sub_1", `{"needs":"evt_sub"}`))).Event
	waiting := s.reaches(t, invoice, "waiting")
	if cause := waiting.Jobs[0].LastError; cause == nil || !strings.Contains(*cause, "evt_sub") {
		t.Errorf("a waiting job does not say what it waits for: %+v", waiting.Jobs)
	}
	if waiting.Subject != "sub_1" {
		t.Fatalf("subject %q, want that of the subscription", waiting.Subject)
	}
	sub := s.recorded(t, stripe(billing("evt_sub", "customer.subscription.created", "sub_1", `{}`))).Event
	if e := s.reaches(t, sub, "done"); e.Subject != "sub_1" {
		t.Fatalf("subject %q, want that of the invoice", e.Subject)
	}
	s.reaches(t, invoice, "done")
	for _, key := range []string{"evt_invoice", "evt_sub"} {
		if n := s.effectsOf(t, "stripe", key); n != 1 {
			t.Errorf("%s has %d effects, want one", key, n)
		}
	}
}

// What never comes ends as a dead letter that names it, never as a success.
func TestWhatNeverComesEndsDead(t *testing.T) {
	t.Parallel()
	s := start(t, options{work: `{backoff: {base: 10ms, max: 50ms}, waiting: 300ms}`})
	id := s.recorded(t, stripe(billing("evt_alone", "invoice.paid", "sub_2", `{"needs":"evt_never"}`))).Event
	e := s.reaches(t, id, "dead")
	if cause := e.Jobs[0].LastError; cause == nil || !strings.Contains(*cause, "evt_never") {
		t.Errorf("the dead letter does not name what never came: %+v", e.Jobs)
	}
	if n := s.effectsOf(t, "stripe", "evt_alone"); n != 0 {
		t.Errorf("%d effects, want none", n)
	}
}

func TestHoursOfBackoffHoldASubjectForAMinute(t *testing.T) {
	t.Parallel()
	c := newClock(t)
	s := start(t, options{env: c.env(), work: `{backoff: {base: 8h, max: 12h}}`})
	first, subject := s.failedForHours(t)
	behind := s.recorded(t, stripe(stripeEvent("evt_behind", subject, ""))).Event
	last := s.recorded(t, stripe(stripeEvent("evt_behind_2", subject, ""))).Event

	// Events of other subjects are worked meanwhile, and their end shows that
	// the queue has been looked through by the new time.
	for i, offset := range []time.Duration{0, 30 * time.Second, 50 * time.Second} {
		c.set(t, offset)
		other := s.recorded(t, stripe(stripeEvent(fmt.Sprintf("evt_other_%d", i), fmt.Sprintf("pi_other_%d", i), "")))
		s.reaches(t, other.Event, "done")
		if state := s.event(t, behind).State; state != "ready" {
			t.Errorf("%s after the failure the next event of its subject is %s, want ready", offset, state)
		}
	}
	c.set(t, 61*time.Second)
	s.reaches(t, behind, "done")
	s.reaches(t, last, "done")
	e := s.event(t, first)
	if e.State != "retrying" || e.Jobs[0].Attempt != 1 {
		t.Errorf("the failed job is %+v, want still retrying after one attempt", e.Jobs)
	}
	c.set(t, 13*time.Hour)
	s.reaches(t, first, "done")
	for _, key := range []string{e.Key, "evt_behind", "evt_behind_2"} {
		if n := s.effectsOf(t, "stripe", key); n != 1 {
			t.Errorf("%s has %d effects, want one", key, n)
		}
	}
}

// failedForHours records an event whose job fails once. The backoff has full
// jitter, so a short one may come out; then another event is taken.
func (s *server) failedForHours(t *testing.T) (id, subject string) {
	t.Helper()
	for i := range 10 {
		subject = fmt.Sprintf("pi_held_%d", i)
		id = s.recorded(t, stripe(stripeEvent("evt_"+subject, subject, `{"fail":1}`))).Event
		e := s.reaches(t, id, "retrying")
		if next := e.Jobs[0].NextAt; next != nil && time.Until(*next) > 10*time.Minute {
			return id, subject
		}
	}
	t.Fatal("ten backoffs of up to eight hours were all short")
	return "", ""
}
