package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

const day = 24 * time.Hour

// delivered records one event and fails the test if it cannot.
func delivered(t *testing.T, s *sqlite.Store, clock *hooktest.Clock, key, body string, handlers ...string) hook.Receipt {
	t.Helper()
	r, err := s.Record(t.Context(), hook.Delivery{Source: "shop", Header: http.Header{"X-Mail": {"canary-header@example.com"}},
		Body: []byte(body), ReceivedAt: clock.Now()}, hook.Identity{Key: key, Type: "paid", Trust: hook.TrustSignature}, handlers)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// After an erasure no file of the database holds what it was about: not the table,
// not free pages, not the write-ahead log, not the index of words; also when the
// process ends in the middle of it.
func TestNoFileShowsWhatWasErased(t *testing.T) {
	t.Parallel()
	folder, clock := t.TempDir(), hooktest.NewClock()
	path := filepath.Join(folder, "hook.db")
	reopened := func() *sqlite.Store {
		t.Helper()
		s, err := sqlite.Open(path, sqlite.Options{Now: clock.Now, Search: &hook.Search{Words: true}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := reopened()
	recordCanaries(t, s, clock)
	index := func() {
		t.Helper()
		for busy := true; busy; {
			var err error
			if busy, err = s.IndexWords(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	index()
	if len(holding(t, folder, "canary")) == 0 {
		t.Fatal("no file holds the canary before it is erased")
	}
	order := hook.ErasureOrder{Source: "shop", Customer: "cus_Canary1", Reason: "asked for", Actor: "tester"}
	id, err := s.AddErasure(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	blank := func(context.Context, hook.Tx, string, string) (int, error) { return 3, nil }
	if _, err := s.StepErasure(t.Context(), blank); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Erasure(t.Context(), id); err != nil || e.State != hook.ErasureRunning || e.Erased == 0 {
		t.Fatalf("after one step: %+v, %v", e, err)
	}
	if err := s.Close(); err != nil { // the process ends in the middle
		t.Fatal(err)
	}
	s = reopened()
	e := erasedWhole(t, s, clock, id, blank)
	if e.State != hook.ErasureDone || e.Found != 350 || e.Erased != 350 || e.Seen != 700 || e.Notes != 1 || e.Rows != 3 {
		t.Errorf("at the end: %+v", e)
	}
	index()
	clock.Advance(time.Hour)
	index()
	for _, canary := range []string{"canary@example.com", "cus_Canary1"} {
		if found := holding(t, folder, canary); len(found) > 0 {
			t.Errorf("while it is worked %q stands in %v", canary, found)
		}
	}
	if found := holding(t, folder, "somebody@example.com"); len(found) == 0 {
		t.Error("what is another customer's is gone too")
	}
	hooktest.CheckLedger(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found := holding(t, folder, "canary@"); len(found) > 0 {
		t.Errorf("after the end it stands in %v", found)
	}
}

// erasedWhole works an order until it is done.
func erasedWhole(t *testing.T, s *sqlite.Store, clock *hooktest.Clock, id int64, blank hook.Eraser) (e *hook.Erasure) {
	t.Helper()
	for range 100 {
		clock.Advance(time.Second)
		if _, err := s.StepErasure(t.Context(), blank); err != nil {
			t.Fatal(err)
		}
		var err error
		if e, err = s.Erasure(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if e.State == hook.ErasureDone {
			break
		}
	}
	return e
}

// recordCanaries records what is about one customer among others, in every place where
// bytes are kept.
func recordCanaries(t *testing.T, s *sqlite.Store, clock *hooktest.Clock) {
	t.Helper()
	for i := range 700 {
		body := fmt.Sprintf(`{"c":"cus_Somebody","mail":"somebody@example.com","pad":"%s"}`, strings.Repeat("y", i%3000))
		if i%2 == 0 {
			body = fmt.Sprintf(`{"c":"cus_Canary1","mail":"canary@example.com","n":%d,"pad":"%s"}`, i, strings.Repeat("x", i*7%9000))
		}
		delivered(t, s, clock, fmt.Sprint("k", i), body)
	}
	delivered(t, s, clock, "k0", `{"c":"cus_Canary1","mail":"canary@example.com","again":true}`)
	s.Reject(hook.Delivery{Source: "shop", Body: []byte(`{"c":"cus_Canary1","mail":"canary@example.com"}`), ReceivedAt: clock.Now()},
		hook.ReasonBadSignature, "no")
}

// holding gives the files of a folder in which some bytes stand.
func holding(t *testing.T, folder, what string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(what)) {
			found = append(found, f.Name())
		}
	}
	return found
}

// A year of work, a week at a time: with every rule on the file stops growing, and
// nothing that is open loses its body.
func TestAYearReachesAPlateau(t *testing.T) {
	t.Parallel()
	clock, path := hooktest.NewClock(), filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rules := hook.SweepRules{Ledger: true, Keep: hook.Retention{Keep: hook.Keep{Bodies: 30 * day, Attempts: 60 * day},
		Sources: map[string]hook.Keep{"shop": {Keys: 90 * day}}}}
	body := `{"pad":"` + strings.Repeat("z", 8000) + `"}`
	pages := func() (n int) {
		t.Helper()
		err := s.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT page_count FROM pragma_page_count`).Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	open := delivered(t, s, clock, "waits", `{"a":1}`, "slow").EventID
	half := 0
	for week := range 52 {
		for i := range 8 {
			delivered(t, s, clock, fmt.Sprint(week, "-", i), body, "h")
		}
		for {
			jobs, err := s.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: time.Minute, Max: 100, MaxAttempts: 3, Node: "n"})
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) == 0 {
				break
			}
			for _, j := range jobs {
				if err := s.Finish(t.Context(), j, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		clock.Advance(7 * day)
		if r, err := s.Sweep(t.Context(), rules); err != nil || r.Imbalance != 0 {
			t.Fatalf("week %d: %+v, %v", week, r, err)
		}
		if week == 26 {
			half = pages()
		}
	}
	if end := pages(); end > half*11/10 {
		t.Errorf("the file has %d pages after a year, %d after half of one", end, half)
	}
	if e, err := s.Event(t.Context(), open); err != nil || e.BodyGone || e.State != hook.StateReady {
		t.Errorf("the event whose work is open: %+v, %v", e, err)
	}
	var keys int
	err = s.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM event_keys`).Scan(&keys)
	})
	if err != nil || keys > 14*8+1 {
		t.Errorf("%d keys are left of a quarter, %v", keys, err)
	}
}

// Deliveries are answered between the steps of a sweep that has a lot to remove.
func TestDeliveriesGoOnWhileRetentionRemoves(t *testing.T) {
	t.Parallel()
	clock := hooktest.NewClock()
	s := open(t, clock)
	body := `{"pad":"` + strings.Repeat("z", 4000) + `"}`
	done := make(chan error, 64)
	for part := range 64 {
		go func() {
			var err error
			for i := range 60 {
				_, err = s.Record(t.Context(), hook.Delivery{Source: "shop", Body: []byte(body), ReceivedAt: clock.Now()},
					hook.Identity{Key: fmt.Sprint(part, "-", i), Trust: hook.TrustSignature}, nil)
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range 64 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(40 * day)
	type result struct {
		report hook.SweepReport
		err    error
	}
	swept := make(chan result, 1)
	go func() {
		r, err := s.Sweep(t.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: 30 * day}}})
		swept <- result{r, err}
	}()
	answered := 0
	for {
		select {
		case r := <-swept:
			if r.err != nil || r.report.Pruned != 64*60 {
				t.Errorf("swept %+v, %v", r.report, r.err)
			}
			if answered < 3 {
				t.Errorf("%d deliveries were answered meanwhile: the sweep let nobody in", answered)
			}
			return
		default:
			delivered(t, s, clock, fmt.Sprint("live", answered), `{}`)
			answered++
		}
	}
}

// What is encrypted is opened to be looked through, and erased like anything else.
func TestErasureOpensWhatIsSealed(t *testing.T) {
	t.Parallel()
	clock := hooktest.NewClock()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"),
		sqlite.Options{Now: clock.Now, EncryptionKeys: [][]byte{hooktest.EncryptionKey(1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mine := delivered(t, s, clock, "a", `{"c":"cus_Canary1"}`).EventID
	delivered(t, s, clock, "a", `{"c":"cus_Canary1","again":true}`)
	beside := delivered(t, s, clock, "b", `{"c":"somebody"}`).EventID
	delivered(t, s, clock, "b", `{"c":"cus_Canary1","beside":true}`)
	other := delivered(t, s, clock, "c", `{"c":"cus_Other"}`).EventID
	s.Reject(hook.Delivery{Source: "shop", Body: []byte(`{"c":"cus_Canary1"}`), ReceivedAt: clock.Now()}, hook.ReasonBadSignature, "no")
	id, err := s.AddErasure(t.Context(), hook.ErasureOrder{Source: "shop", Customer: "cus_Canary1", Reason: "asked for", Actor: "t"})
	if err != nil {
		t.Fatal(err)
	}
	e := erasedWhole(t, s, clock, id, func(context.Context, hook.Tx, string, string) (int, error) { return 0, nil })
	if e.Found != 2 || e.Erased != 2 || e.Notes != 1 {
		t.Errorf("the order: %+v", e)
	}
	for id, want := range map[string]bool{mine: true, beside: true, other: false} {
		d, err := s.Event(t.Context(), id)
		if err != nil || d.BodyGone != want || len(d.Headers["X-Mail"]) != 1 || (d.Headers["X-Mail"][0] == "") != want {
			t.Errorf("%+v, %v; want it erased: %t", d, err, want)
		}
	}
}
