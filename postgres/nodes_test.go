package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// nodes opens n stores on one database, by the database's clock.
func nodes(t *testing.T, n int) []*postgres.Store {
	t.Helper()
	url := pgtest.Database(t)
	all := make([]*postgres.Store, n)
	for i := range all {
		all[i] = open(t, url, postgres.Options{MaxConns: 8})
	}
	return all
}

func record(ctx context.Context, s hook.Recorder, key, subject string, handlers ...string) (hook.Receipt, error) {
	return s.Record(ctx, hook.Delivery{Source: "shop", Body: []byte(`{"id":"` + key + `"}`), ReceivedAt: time.Now()},
		hook.Identity{Key: key, Type: "thing.happened", Subject: subject, Trust: hook.TrustSignature}, handlers)
}

func mustRecord(t *testing.T, s hook.Recorder, key, subject string, handlers ...string) hook.Receipt {
	t.Helper()
	r, err := record(t.Context(), s, key, subject, handlers...)
	if err != nil {
		t.Fatalf("record %s: %v", key, err)
	}
	return r
}

func claim(t *testing.T, s hook.Queue, most int, lease time.Duration) []*hook.Job {
	t.Helper()
	jobs, err := s.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: lease, Max: most, MaxAttempts: 100, Node: "n"})
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return jobs
}

// until polls, at most twenty seconds: other processes leave no signal.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited 20 s in vain: %s", what)
		case <-tick.C:
		}
	}
}

func noDeadlocks(t *testing.T) {
	t.Helper()
	if n := pgtest.Deadlocks(t); n != 0 {
		t.Errorf("the server broke up %d deadlocks", n)
	}
}

// One event, five hundred deliveries at once on three nodes: one row, one job.
func TestOneEventOnManyNodes(t *testing.T) {
	all := nodes(t, 3)
	const n = 500
	receipts := make([]hook.Receipt, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			var err error
			if receipts[i], err = record(t.Context(), all[i%len(all)], "a", "s", "h"); err != nil {
				t.Errorf("record: %v", err)
			}
		})
	}
	wait.Wait()
	fresh := 0
	for _, r := range receipts {
		if !r.Duplicate {
			fresh++
		}
		if r.EventID != receipts[0].EventID || r.Conflict {
			t.Errorf("got %+v, want the event %s", r, receipts[0].EventID)
		}
	}
	d, err := all[0].Event(t.Context(), receipts[0].EventID)
	if err != nil || fresh != 1 || d.Deliveries != n {
		t.Errorf("fresh %d, deliveries %d, %v; want 1 and %d", fresh, d.Deliveries, err, n)
	}
	if jobs := claim(t, all[1], 10, time.Minute); len(jobs) != 1 {
		t.Errorf("jobs: got %d, want 1", len(jobs))
	}
	hooktest.CheckLedger(t, all[2])
	noDeadlocks(t)
}

// What a node that has died was working is worked by another when its lease is
// over by the database's clock, and the dead one's word counts no more.
func TestAnotherNodeTakesOver(t *testing.T) {
	all := nodes(t, 2)
	mustRecord(t, all[0], "a", "s", "h")
	first := claim(t, all[0], 1, 300*time.Millisecond)
	if len(first) != 1 {
		t.Fatalf("claimed %d", len(first))
	}
	if early := claim(t, all[1], 1, time.Minute); len(early) != 0 {
		t.Fatal("claimed under a live lease")
	}
	var second []*hook.Job
	until(t, "the lease to lapse", func() bool {
		second = claim(t, all[1], 1, time.Minute)
		return len(second) > 0
	})
	if second[0].Attempt != 2 || second[0].Failed != 1 {
		t.Errorf("attempt %d, failed %d; want 2 and 1", second[0].Attempt, second[0].Failed)
	}
	if err := all[0].Finish(t.Context(), first[0], nil); !errors.Is(err, hook.ErrLeaseLost) {
		t.Errorf("the dead one finished: %v", err)
	}
	if err := all[1].Finish(t.Context(), second[0], nil); err != nil {
		t.Error(err)
	}
	hooktest.CheckLedger(t, all[0])
}

// walk drives jobs through random fates from several nodes at once, and sees that
// of one line never two run.
type walk struct {
	t       *testing.T
	all     []*postgres.Store
	running sync.Map // line: how many run
	ended   atomic.Int64
	events  int64
}

func (w *walk) work(s *postgres.Store, r *rand.Rand) {
	for w.ended.Load() < w.events && w.t.Context().Err() == nil && !w.t.Failed() {
		jobs, err := s.Claim(w.t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: time.Minute, Max: 1 + r.IntN(4), MaxAttempts: 100, Node: "n"})
		if err != nil {
			w.t.Errorf("claim: %v", err)
			return
		}
		for _, j := range jobs {
			if _, two := w.running.LoadOrStore(j.Event.Subject, j.Event.Key); two && j.Event.Subject != "" {
				w.t.Errorf("%s runs beside another of %s", j.Event.Key, j.Event.Subject)
			}
		}
		for _, j := range jobs {
			w.end(s, j, r)
		}
	}
}

func (w *walk) end(s *postgres.Store, j *hook.Job, r *rand.Rand) {
	w.running.Delete(j.Event.Subject)
	ctx := w.t.Context()
	var err error
	switch n := r.IntN(10); {
	case j.Attempt < 4 && n < 2:
		err = s.Retry(ctx, j, time.Duration(r.IntN(20))*time.Millisecond, hook.Cause{Text: "again"})
	case j.Attempt < 4 && n < 4:
		err = s.Retry(ctx, j, time.Duration(r.IntN(20))*time.Millisecond, hook.Cause{Text: "not yet", Wait: true})
	case j.Attempt < 4 && n < 5:
		err = s.Release(ctx, j)
	case n == 5:
		err = s.Bury(ctx, j, hook.Cause{Text: "hopeless"})
		w.ended.Add(1)
	default:
		j.Batch = n < 8
		err = s.Finish(ctx, j, func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ($1)`, j.Event.Key)
			return err
		})
		w.ended.Add(1)
	}
	if err != nil {
		w.t.Errorf("end of %s: %v", j.Event.Key, err)
	}
}

func TestLinesHoldUnderARandomWalk(t *testing.T) {
	all := nodes(t, 3)
	err := all[0].Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE fx (k TEXT UNIQUE)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const events, subjects = 600, 7
	w := &walk{t: t, all: all, events: events}
	var wait sync.WaitGroup
	for i := range 6 {
		s := all[i%len(all)]
		wait.Go(func() {
			for n := i; n < events; n += 6 {
				subject := ""
				if n%8 > 0 {
					subject = fmt.Sprint("s", n%subjects)
				}
				if _, err := record(t.Context(), s, fmt.Sprint(n), subject, "h"); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
		wait.Go(func() { w.work(s, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	wait.Wait()
	r, err := all[0].Sweep(t.Context(), hook.SweepRules{Ledger: true})
	if err != nil || r.Mended != 0 || r.Imbalance != 0 {
		t.Errorf("sweep: %+v, %v; want no line without a head", r, err)
	}
	if left := claim(t, all[0], 100, time.Minute); len(left) != 0 {
		t.Errorf("%d jobs are left", len(left))
	}
	hooktest.CheckLedger(t, all[1])
	noDeadlocks(t)
}

// A reader sees every event once, although transactions that began early commit
// late: some are held back between their number and their commit.
func TestAFeedSkipsNoLateCommit(t *testing.T) {
	url := pgtest.Database(t)
	var all []*postgres.Store
	for range 3 {
		all = append(all, open(t, url, postgres.Options{MaxConns: 8}))
	}
	if _, err := all[0].Feed(t.Context(), "reader", hook.Filter{}, 0); err != nil {
		t.Fatal(err)
	}
	const events = 1500
	var recording, holding sync.WaitGroup
	for i := range 12 {
		recording.Go(func() {
			for n := i; n < events; n += 12 {
				if _, err := record(t.Context(), all[i%3], fmt.Sprint(n), ""); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	holding.Go(func() { holdCounters(ctx, t, url) })
	var over atomic.Bool
	go func() { recording.Wait(); over.Store(true) }()
	seen := map[string]int{}
	until(t, "all events", func() bool {
		last := over.Load() // one more look after the end
		page, err := all[1].Feed(t.Context(), "reader", hook.Filter{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			seen[e.Key]++
		}
		if len(page) > 0 {
			if err := all[2].Advance(t.Context(), "reader", page[len(page)-1].ID); err != nil {
				t.Fatal(err)
			}
		}
		return last && len(page) == 0
	})
	stop()
	holding.Wait()
	if len(seen) != events {
		t.Errorf("fed %d events, want %d", len(seen), events)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s was fed %d times", key, n)
		}
	}
}

// What one node refuses the others show, also when nothing else is recorded.
func TestRefusalsOfOneNodeAreSeenByAll(t *testing.T) {
	all := nodes(t, 2)
	all[0].Reject(hook.Delivery{Source: "shop", Body: []byte("forged"), ReceivedAt: time.Now()}, hook.ReasonBadSignature, "no match")
	deadline := time.Now().Add(20 * time.Second)
	for {
		notes, err := all[1].Rejections(t.Context(), "shop", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(notes) == 1 && string(notes[0].Body) == "forged" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other node shows %d notes, want the one", len(notes))
		}
		<-time.After(50 * time.Millisecond)
	}
}
