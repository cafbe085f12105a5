//go:build hktest

package test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shape is a signed body that no honest sender sends, and what becomes of it.
// An empty quarantine says that it is worked; "?" that both are right.
type shape struct {
	name, body, quarantine string
	key                    string // where the id decides; empty: the hash of the body
}

func shapes() []shape {
	return []shape{
		{name: "empty", body: "", quarantine: "unreadable"},
		{name: "blank", body: " \r\n\t", quarantine: "unreadable"},
		{name: "not JSON", body: "hello, world", quarantine: "unreadable"},
		{name: "form", body: "id=evt_form&type=x", quarantine: "unreadable"},
		{name: "half an object", body: `{"id":"evt_half","type":"x"`, quarantine: "unreadable"},
		{name: "data behind", body: `{"id":"evt_behind","type":"x"} {"id":"evt_b2"}`, quarantine: "unreadable"},
		{name: "text", body: `"evt_text"`, quarantine: "unreadable"},
		{name: "array", body: `[{"id":"evt_array"}]`, quarantine: "unreadable"},
		{name: "NUL bytes", body: "{\"id\":\"evt\x00nul\",\"type\":\"x\"}", quarantine: "?"},
		{name: "only NUL", body: "\x00\x00\x00", quarantine: "unreadable"},
		{name: "escaped NUL", body: `{"id":"evt\u0000escaped","type":"a\u0000b"}`, quarantine: "?"},
		{name: "bad UTF-8", body: "{\"id\":\"evt_\xff\xfe\xc3\x28\",\"type\":\"\xed\xa0\x80\"}", quarantine: "?"},
		{name: "BOM", body: "\ufeff{\"id\":\"evt_bom\",\"type\":\"x\"}", quarantine: "?"},
		{name: "lone surrogate", body: `{"id":"evt_\ud800","type":"\udfff\ud800"}`, quarantine: "?"},
		{name: "1e400", body: `{"id":"evt_1e400","type":"x","created":1e400,"n":-1e400}`, key: "evt_1e400"},
		{name: "steers a terminal", body: `{"id":"evt_\u001b[31m\u202e","type":"\u001b]0;x\u0007\r\n"}`, quarantine: "?"},
		{name: "100,000 deep", body: `{"id":"evt_deep","a":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`,
			quarantine: "unreadable"},
		{name: "100,000 deep objects", body: strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat(`}`, 100_000),
			quarantine: "unreadable"},
		{name: "1 MiB of [", body: strings.Repeat(`[`, 1<<20), quarantine: "unreadable"},
		{name: "1 MiB of text", body: `{"id":"evt_big","pad":"` + strings.Repeat("x", 1<<20-25) + `"}`, key: "evt_big"},
		{name: "no id", body: `{"type":"x"}`},
		{name: "id is null", body: `{"id":null,"type":"x"}`},
		{name: "id is an object", body: `{"id":{"id":"evt_inner"},"type":"x"}`},
		{name: "nested id", body: `{"data":{"id":"evt_nested"},"type":"x"}`},
		{name: "id twice", body: `{"id":"evt_one","type":"x","id":"evt_two"}`, quarantine: "ambiguous"},
		{name: "id twice, once escaped", body: `{"id":"evt_three","\u0069d":"evt_four"}`, quarantine: "ambiguous"},
		{name: "escaped id", body: `{"\u0069d":"evt_escaped","type":"x"}`, key: "evt_escaped"},
		{name: "ID is not id", body: `{"ID":"evt_capitals","Id":"evt_capitals","type":"x"}`},
		{name: "ID beside id", body: `{"ID":"evt_wrong","id":"evt_right","Id":"evt_wrong"}`, key: "evt_right"},
	}
}

func TestAnyShapeIsRecorded(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	for _, source := range []string{"stripe", "legacy"} {
		for _, sh := range shapes() {
			t.Run(source+"/"+sh.name, func(t *testing.T) { s.takes(t, source, sh) })
		}
	}
	for i, sh := range shapes() {
		for _, d := range []delivery{
			byPartner(partnerSecret, fmt.Sprintf("msg_%d", i), []byte(sh.body)),
			github(fmt.Sprintf("guid_%d", i), "push", []byte(sh.body)),
		} {
			a := s.recorded(t, d)
			if e := s.event(t, a.Event); e.SHA256 != sum(d.body) || e.Size != int64(len(d.body)) {
				t.Errorf("%s at %s is kept as %+v", sh.name, d.source, e)
			}
		}
	}
	s.bytesAreWhole(t, 4*len(shapes()))
}

func signedShape(source, body string) delivery {
	if source == "stripe" {
		return stripe([]byte(body))
	}
	return byLegacy("legacy", legacySecret, []byte(body))
}

func (s *server) takes(t *testing.T, source string, sh shape) {
	t.Helper()
	d := signedShape(source, sh.body)
	a := s.recorded(t, d)
	if a.took > 2*time.Second {
		t.Errorf("answered only after %s", a.took)
	}
	e := s.event(t, a.Event)
	if sh.quarantine != "?" && e.quarantine() != sh.quarantine {
		t.Errorf("quarantine is %q, want %q", e.quarantine(), sh.quarantine)
	}
	if e.quarantine() == "" {
		e = s.reaches(t, a.Event, "done")
	} else if e.State != "quarantined" || len(e.Jobs) != 0 {
		t.Errorf("a quarantined event is %s with the jobs %+v", e.State, e.Jobs)
	}
	key := sh.key
	if key == "" && sh.quarantine == "" {
		key = sum(d.body)
	}
	if key != "" && e.Key != key {
		t.Errorf("the key is %q, want %q", e.Key, key)
	}
	if got := s.raw(t, a.Event); !bytes.Equal(got, d.body) || e.SHA256 != sum(d.body) {
		t.Errorf("kept are %d bytes with sha256 %s, came %d with %s", len(got), e.SHA256, len(d.body), sum(d.body))
	}
	if again := s.duplicate(t, d); again.Event != a.Event {
		t.Errorf("a repeat is event %s, want %s", again.Event, a.Event)
	}
}

// bytesAreWhole wants n events, whose bytes still are what their hash says, and
// an effect for exactly those that were worked.
func (s *server) bytesAreWhole(t *testing.T, n int) {
	t.Helper()
	eventually(t, 20*time.Second, "every event has reached a final state", func() bool {
		for _, e := range s.events(t) {
			if e.State != "done" && e.State != "quarantined" {
				return false
			}
		}
		return true
	})
	done, total := 0, 0
	for _, l := range s.history(t) {
		if l.Kind != "event" {
			continue
		}
		total++
		if l.SHA256 == "" || l.SHA256 != l.Recomputed {
			t.Errorf("event %s/%q: stored sha256 %s, of the bytes %s", l.Source, l.Key, l.SHA256, l.Recomputed)
		}
		if l.State == "done" {
			done++
		}
	}
	if total != n {
		t.Errorf("%d events, want %d", total, n)
	}
	if got := len(s.effects(t)); got != done || done == 0 || done == total {
		t.Errorf("%d effects of %d done among %d events", got, done, total)
	}
}

// Equal ids in other modes, and at other sources, are other events.
func TestModesAndSourcesAreApart(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	const id = "evt_same"
	test := stripeEvent(id, defaultSubject, "")
	live := bytes.Replace(test, []byte(`"livemode":false`), []byte(`"livemode":true`), 1)
	at := time.Now()
	rows := map[string]string{}
	for _, c := range []struct {
		d                       delivery
		mode, state, quarantine string
	}{
		{stripe(test), "test", "done", ""},
		{stripe(live), "live", "done", ""},
		{byStripe("shop", shopSecret, live, at), "live", "done", ""},
		{byStripe("shop", shopSecret, test, at), "test", "quarantined", "mode"},
		{byPartner(partnerSecret, id, test), "", "done", ""},
		{byLegacy("legacy", legacySecret, test), "", "done", ""},
		{github(id, "push", push(9)), "", "done", ""},
	} {
		a := s.recorded(t, c.d)
		e := s.reaches(t, a.Event, c.state)
		if e.Mode != c.mode || e.Key != id || e.quarantine() != c.quarantine || e.Source != c.d.source {
			t.Errorf("at %s the event is %+v, want mode %q, quarantine %q", c.d.source, e, c.mode, c.quarantine)
		}
		if other, twice := rows[a.Event]; twice {
			t.Errorf("%s shares its row with %s", c.d.source, other)
		}
		rows[a.Event] = c.d.source
		s.duplicate(t, c.d)
	}
	effects := map[string]int{}
	for _, e := range s.effects(t) {
		effects[e.Source+" "+e.Mode]++
	}
	want := map[string]int{"stripe test": 1, "stripe live": 1, "shop live": 1, "partner ": 1, "legacy ": 1, "github ": 1}
	for name, n := range want {
		if effects[name] != n {
			t.Errorf("%q has %d effects, want %d", name, effects[name], n)
		}
		delete(effects, name)
	}
	if len(effects) > 0 {
		t.Errorf("effects that nobody ordered: %v", effects)
	}
	// One source's secret opens no other door.
	s.refused(t, byStripe("shop", stripeSecret, live, at), http.StatusBadRequest, "bad_signature")
}
