//go:build hktest

package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// paymentHint says what only a re-query could prove. Its hk asks for failures
// that nobody may obey.
func paymentHint(order, status string, padding int) []byte {
	return fmt.Appendf(nil, `{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":"2026-11-20T10:00:00.000000","data":`+
		`{"paymentKey":"pk_%s","orderId":%q,"status":%q,"totalAmount":15000,"pad":%q},"hk":{"poison":true,"needs":"x"}}`,
		order, order, status, strings.Repeat("x", padding))
}

func depositHint(order, status, secret string) []byte {
	return fmt.Appendf(nil, `{"createdAt":"2026-11-20T10:00:00.000000","secret":%q,"status":%q,`+
		`"transactionKey":"tk_%s","orderId":%q,"hk":{"poison":true}}`, secret, status, order, order)
}

// patient sends as a sender does: what is answered 429 is sent again.
func (s *server) patient(t *testing.T, d delivery) (a answer) {
	t.Helper()
	eventually(t, 10*time.Second, "a delivery is taken", func() bool {
		a = s.send(d)
		return a.code != http.StatusTooManyRequests
	})
	return a
}

func TestHintsChangeNothing(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(order, status string) []byte{
		"payment": func(order, status string) []byte { return paymentHint(order, status, 0) },
		"deposit": func(order, status string) []byte { return depositHint(order, status, "sec_"+status) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{})
			order := "order_" + name
			genuine := []delivery{
				tossHint("tr_1", body(order, "WAITING_FOR_DEPOSIT")), tossHint("tr_2", body(order, "DONE")),
			}
			forged := func(transmission, status string) delivery { return tossHint(transmission, body(order, status)) }
			all := []delivery{
				forged("tr_1", "DONE"), forged("tr_1", "CANCELED"), forged("tr_2", "EXPIRED"), // before
				genuine[0],
				forged("tr_1", "ABORTED"), forged("tr_3", "DONE"), // between; the second has a genuine body
				genuine[1],
				forged("tr_2", "CANCELED"), forged("", "DONE"), // after
			}
			ids := map[string]bool{}
			for i, d := range all {
				a := s.patient(t, d)
				if a.code != http.StatusOK || a.Status != "recorded" || ids[a.Event] {
					t.Errorf("delivery %d is answered %v, want 200 and a row of its own", i, a)
				}
				ids[a.Event] = true
				s.bytesKept(t, a.Event, d.body)
			}
			for _, d := range all {
				if a := s.patient(t, d); a.code != http.StatusOK || a.Status != "duplicate" || !ids[a.Event] {
					t.Errorf("a byte-equal repeat is answered %v, want 200 duplicate", a)
				}
			}
			s.hintsDone(t, order, len(all))
		})
	}
}

func (s *server) bytesKept(t *testing.T, id string, body []byte) {
	t.Helper()
	if got := s.raw(t, id); !bytes.Equal(got, body) {
		t.Errorf("event %s: kept bytes are not those that came", id)
	}
}

// hintsDone wants n events of the order, each worked once, with nothing of any
// body in what was written.
func (s *server) hintsDone(t *testing.T, order string, n int) {
	t.Helper()
	eventually(t, 10*time.Second, "all hints are done", func() bool { return s.everyState(t, "done", n) })
	keys := map[string]bool{}
	for _, e := range s.events(t) {
		if e.Trust != "hint" || e.Subject != order || e.Conflicts != 0 || e.Deliveries != 2 ||
			!strings.HasPrefix(e.Key, "hint:") || e.Jobs[0].Attempt != 1 {
			t.Errorf("event %+v, want a hint about %s, two deliveries, no conflict, one attempt", e, order)
		}
		keys[e.Key] = true
	}
	if len(keys) != n {
		t.Errorf("%d keys, want %d", len(keys), n)
	}
	text := s.read(t, "events", "export", "--effects")
	if strings.Count(text, "\n") != n {
		t.Errorf("%d effects, want %d", strings.Count(text, "\n"), n)
	}
	for _, field := range []string{order, "DONE", "CANCELED", "EXPIRED", "ABORTED", "WAITING", "sec_", "15000"} {
		if strings.Contains(text, field) {
			t.Errorf("the effects hold %q, a field of a hint's body", field)
		}
	}
}

func TestFloodOfHintsIsBounded(t *testing.T) {
	const flood, order, maxRows, padding = 10_000, "order_flooded", 32, 4000
	c := newClock(t)
	s := start(t, options{env: c.env()})
	taken := s.flood(t, flood, order, padding)
	// The rate alone must not be what keeps the rows few.
	for i := 0; taken <= maxRows+10; i++ {
		if a := s.patient(t, tossHint(fmt.Sprintf("tr_more_%d", i), paymentHint(order, "DONE", i))); a.code != 200 {
			t.Fatalf("a hint is answered %v", a)
		}
		taken++
	}
	t.Logf("%d of the hints were taken", taken)

	// A genuine one behind the flood loses its row at most, never its question.
	sent := time.Now().UnixMicro()
	genuine := s.patient(t, tossHint("tr_genuine", paymentHint(order, "DONE", 1)))
	if genuine.code != http.StatusOK {
		t.Errorf("the genuine hint is answered %v", genuine)
	}
	c.set(t, 11*time.Second)
	eventually(t, 10*time.Second, "the handler asks once more after the genuine hint", func() bool {
		for _, e := range s.effects(t) {
			if e.At > sent {
				return true
			}
		}
		return false
	})
	rows := s.events(t, "subject", order)
	deliveries := int64(0)
	for _, e := range rows {
		deliveries += e.Deliveries
	}
	if len(rows) != maxRows || deliveries < int64(taken) {
		t.Errorf("%d rows with %d deliveries, want %d rows with at least the %d taken", len(rows), deliveries, maxRows, taken)
	}
	asked := 0
	for _, l := range s.history(t) {
		if l.Kind == "transition" && l.To == "running" {
			asked++
		}
	}
	if asked > maxRows+3 {
		t.Errorf("the handler was asked %d times, want about one for each of the %d rows", asked, maxRows)
	}
	s.stop(t)
	if size := sizeOf(t, filepath.Dir(s.path)); size > 4<<20 {
		t.Errorf("the flood of %d bytes left %d bytes on disk", flood*padding, size)
	}
}

// flood sends different hints about one subject as fast as it can and returns
// how many were taken.
func (s *server) flood(t *testing.T, n int, order string, padding int) int {
	t.Helper()
	var next, taken atomic.Int64
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				a := s.send(tossHint(fmt.Sprintf("tr_%d", i), paymentHint(order, "DONE", padding)))
				switch {
				case a.err == nil && a.code == http.StatusOK:
					taken.Add(1)
				case a.err != nil || a.code != http.StatusTooManyRequests || a.Status != "busy" || a.Reason != "rate" || a.after == "":
					t.Errorf("a hint of the flood is answered %v, want 200, or 429 with Retry-After", a)
				}
			}
		})
	}
	group.Wait()
	return int(taken.Load())
}

func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func tossSignedBody(kind, id string) []byte {
	return fmt.Appendf(nil, `{"eventType":%q,"eventId":%q,"entityBody":{"id":"po_1","status":"COMPLETED"}}`, kind, id)
}

func TestSignedTossTypesNeverPassAsHints(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	for _, kind := range []string{"payout.changed", "seller.changed"} {
		body := tossSignedBody(kind, "evt_"+kind)
		s.refused(t, tossHint("tr", body), 401, "missing_header")
		for _, value := range []string{"", "garbage", "v1:", "v1:AAAA", "v2:AAAA"} {
			d := byToss(tossSecurity, "tr", body)
			d.header["Tosspayments-Webhook-Signature"] = []string{value}
			if a := s.send(d); a.code != 401 || a.Status != "rejected" {
				t.Errorf("%s with signature %q is answered %v, want 401 rejected", kind, value, a)
			}
		}
		twice := fmt.Appendf(nil, `{"eventType":"PAYMENT_STATUS_CHANGED","eventType":%q,"eventId":"e"}`, kind)
		s.refused(t, tossHint("tr", twice), 401, "malformed_body")
	}
	s.refused(t, tossHint("tr", []byte(`not json`)), 401, "malformed_body")
	s.refused(t, tossHint("tr", paymentHint("order_fat", "DONE", 64<<10)), 413, "too_large")
	if got := s.events(t); len(got) != 0 {
		t.Errorf("refused deliveries left %+v", got)
	}
	for _, kind := range []string{"payout.changed", "seller.changed"} {
		a := s.recorded(t, byToss(tossSecurity, "tr", tossSignedBody(kind, "evt_"+kind)))
		if e := s.reaches(t, a.Event, "done"); e.Trust != "signature" || e.Key != "evt_"+kind {
			t.Errorf("the signed event is %+v", e)
		}
	}
}

func TestTossWorksWithoutItsSecurityKey(t *testing.T) {
	t.Parallel()
	s := start(t, options{env: map[string]string{"TOSS_SECURITY_KEY": ""}})
	body := tossSignedBody("payout.changed", "evt_1")
	s.refused(t, tossHint("tr", body), 401, "bad_config")
	s.refused(t, byToss(tossSecurity, "tr", body), 401, "bad_config")
	s.refused(t, byToss("", "tr", body), 401, "bad_config") // the empty key opens nothing
	if got := s.events(t); len(got) != 0 {
		t.Errorf("refused deliveries left %+v", got)
	}
	for _, body := range [][]byte{paymentHint("order_1", "DONE", 0), depositHint("order_1", "DONE", "s")} {
		s.reaches(t, s.recorded(t, tossHint("tr", body)).Event, "done")
	}
}
