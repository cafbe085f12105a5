//go:build hktest

package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// begun starts the nodes of a run whose load a test makes by itself.
func begun(t *testing.T, o Options, prepare func(*run)) *run {
	t.Helper()
	o.Binary, o.Dir = build(t), runDir(t, o.Seed)
	o, err := onPostgres(t, o).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.each((*node).kill)
		if err := r.place.close(); err != nil {
			t.Error(err)
		}
	})
	prepare(r)
	for _, n := range r.nodes {
		if err := n.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range r.nodes {
		if err := n.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// ended drains and stops the nodes and has the history judged.
func ended(t *testing.T, r *run) history.Report {
	t.Helper()
	if err := r.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.nodes {
		n.scrape(t.Context())
		if err := n.stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.export(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	report, err := Judge(r.opt.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// One event five hundred times at one instant, over three nodes.
func TestACrowdAtThreeNodesIsOneEvent(t *testing.T) {
	const copies = 500
	r := begun(t, Options{Events: 1, Senders: copies / parallelCopies}, func(*run) {})
	e := r.flood.plan.event(1)
	e.orders = orders{}
	letter := r.flood.genuine(e)
	statuses := map[int]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	barrier := make(chan struct{})
	for range copies {
		group.Go(func() {
			<-barrier
			status, _ := r.flood.deliver(t.Context(), letter)
			mu.Lock()
			statuses[status]++
			mu.Unlock()
		})
	}
	close(barrier)
	group.Wait()
	if statuses[http.StatusOK] != copies {
		t.Errorf("the copies are answered %v, want 200 for all", statuses)
	}
	report := ended(t, r)
	for _, v := range report.Violations {
		t.Errorf("%s %s: %d: %q", v.Invariant, v.Name, v.Count, v.Samples)
	}
	if c := report.Counts; c.Events != 1 || c.Effects != 1 || c.Duplicates != copies-1 {
		t.Errorf("%d rows, %d effects, %d duplicates, want 1, 1, %d", c.Events, c.Effects, c.Duplicates, copies-1)
	}
}

// crowds sends a hundred events fifty times each, over three nodes, in an order
// of its own for each sender.
func crowds(t *testing.T, mutant string) (history.Report, map[int]int) {
	t.Helper()
	const events, senders = 100, 50
	r := begun(t, Options{Events: events, Senders: senders, Mutant: mutant}, func(*run) {})
	statuses := map[int]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	barrier := make(chan struct{})
	for sender := range senders {
		group.Go(func() {
			<-barrier
			dice := rand.New(rand.NewPCG(uint64(sender), 1))
			var copies sync.WaitGroup // a few at a time, as senders have them
			for _, n := range dice.Perm(events) {
				// Of the source without subjects: a common subject would make
				// batches take turns.
				e := r.flood.plan.event(2*n + 1)
				e.orders = orders{}
				copies.Go(func() {
					status, _ := r.flood.deliver(t.Context(), r.flood.genuine(e))
					mu.Lock()
					statuses[status]++
					mu.Unlock()
				})
				if n%4 == 0 {
					copies.Wait()
				}
			}
			copies.Wait()
		})
	}
	close(barrier)
	group.Wait()
	return ended(t, r), statuses
}

func TestCrowdsAtThreeNodesDoNotLockEachOtherOut(t *testing.T) {
	report, statuses := crowds(t, "")
	for _, v := range report.Violations {
		t.Errorf("%s %s: %d: %q", v.Invariant, v.Name, v.Count, v.Samples)
	}
	if statuses[http.StatusOK] != 5000 {
		t.Errorf("the copies are answered %v, want 200 for all", statuses)
	}
	if c := report.Counts; c.Events != 100 || c.Effects != 100 {
		t.Errorf("%d rows and %d effects of 100 events", c.Events, c.Effects)
	}
}

// cursorRun is three receivers, of which one commits late, and a reader.
func cursorRun(t *testing.T, mutant string) (missed, events int) {
	t.Helper()
	events = 10_000
	o := Options{Events: events, Senders: 32, Mutant: mutant,
		Child: []string{"torture", "--child", "--role", "receive", "--role", "operate"}}
	r := begun(t, o, func(r *run) {
		late := r.nodes[len(r.nodes)-1]
		late.env = append(late.env, "HK_FAILPOINT=before-commit:sleep=30ms")
	})
	r.flood.gate.raise(events)
	loaded := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(loaded)
		r.flood.run(t.Context())
		t.Logf("the load took %s", time.Since(begin).Round(time.Millisecond))
	}()
	seen, held, err := r.nodes[0].follow(t.Context(), loaded)
	<-loaded
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the reader was done after %s; once all was written nothing held it back for longer than %s",
		(time.Since(begin) - quietFor).Round(time.Millisecond), held.Round(time.Millisecond))
	for n := range events {
		e := r.flood.plan.event(n)
		if !seen[e.source+"/"+e.key] {
			missed++
		}
	}
	r.each(func(n *node) {
		if err := n.alive(); err != nil {
			t.Error(err)
		}
	})
	return missed, events
}

// quietFor is longer than any transaction that may hold a cursor back.
const quietFor = 3 * time.Second

// follow reads a feed until it stays empty after the load has ended, and gives
// what it has shown, and how long it was once shown nothing although there was
// more.
func (n *node) follow(ctx context.Context, loaded <-chan struct{}) (seen map[string]bool, held time.Duration, err error) {
	seen = map[string]bool{}
	quiet, empty := time.Now(), false // since when nothing has come
	client := &http.Client{Timeout: 10 * time.Second}
	feed := "http://" + n.operator + "/api/v1/feeds/torture"
	for last := false; ; {
		select {
		case <-loaded:
			last = true
		default:
		}
		var page struct {
			Events []struct{ ID, Source, Key string }
		}
		if err := n.order(ctx, client, http.MethodGet, feed+"?limit=100&since=2000-01-01T00:00:00Z", nil, &page); err != nil {
			return nil, 0, err
		}
		for _, e := range page.Events {
			seen[e.Source+"/"+e.Key] = true
		}
		if len(page.Events) > 0 {
			if last && empty {
				held = max(held, time.Since(quiet))
			}
			quiet, empty = time.Now(), false
			through := map[string]string{"through": page.Events[len(page.Events)-1].ID}
			if err := n.order(ctx, client, http.MethodPost, feed+"/advance", through, nil); err != nil {
				return nil, 0, err
			}
			continue
		}
		if empty = true; last && time.Since(quiet) > quietFor {
			return seen, held, nil
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
}

func (n *node) order(ctx context.Context, client *http.Client, method, url string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: answered %d", method, url, resp.StatusCode)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func TestACursorSkipsNothing(t *testing.T) {
	t.Parallel()
	if missed, of := cursorRun(t, ""); missed > 0 {
		t.Errorf("%d of %d events were skipped", missed, of)
	}
}

// Batches that take their locks in the order of arrival do lock each other out.
func TestUnsortedBatchesAreCaught(t *testing.T) {
	if os.Getenv("HK_SELFTEST") == "" && !full() {
		t.Skip("make torture-selftest runs it")
	}
	report, _ := crowds(t, "unsorted_batch")
	if n := report.Found("deadlock"); n == 0 {
		t.Error("not caught")
	}
	t.Logf("caught as deadlock, %d times", report.Metrics.Deadlocks)
}

// A cursor that does not stop before transactions that are still open skips what
// they write.
func TestACursorPastOpenTransactionsIsCaught(t *testing.T) {
	if os.Getenv("HK_SELFTEST") == "" && !full() {
		t.Skip("make torture-selftest runs it")
	}
	missed, of := cursorRun(t, "cursor_past_open")
	t.Logf("caught: %d of %d events were skipped", missed, of)
	if missed == 0 {
		t.Error("not caught")
	}
}
