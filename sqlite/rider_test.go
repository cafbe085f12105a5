package sqlite

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// What needs no effect rides in the transaction of one: both hold, or the effect
// fails alone.
func TestAClaimRidesWithAnEffect(t *testing.T) {
	failure := errors.New("not today")
	for _, fails := range []bool{false, true} {
		s, err := Open(filepath.Join(t.TempDir(), "hook.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx := t.Context()
		if err := s.SetRoutes(ctx, []hook.Route{{Name: "h"}}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"first", "second"} {
			d := hook.Delivery{Source: "shop", Header: http.Header{}, Body: []byte(key), ReceivedAt: time.Now()}
			if _, err := s.Record(ctx, d, hook.Identity{Key: key, Trust: hook.TrustSignature}, []string{"h"}); err != nil {
				t.Fatal(err)
			}
		}
		ask := hook.Ask{Handlers: []string{"h"}, Max: 1, Lease: time.Minute, Node: "n"}
		mine, err := s.Claim(ctx, ask)
		if err != nil || len(mine) != 1 {
			t.Fatalf("claimed %d jobs: %v", len(mine), err)
		}
		held, let := make(chan struct{}), make(chan struct{})
		applied := make(chan error, 1)
		go func() {
			applied <- s.Apply(ctx, func(context.Context, hook.Tx) error { close(held); <-let; return nil })
		}()
		<-held // the writer is busy: what follows queues up
		claimed := make(chan []*hook.Job, 1)
		go func() {
			jobs, err := s.Claim(ctx, ask)
			if err != nil {
				t.Error(err)
			}
			claimed <- jobs
		}()
		queued(t, s, 1)
		runs := 0
		finished := make(chan error, 1)
		go func() {
			finished <- s.Finish(ctx, mine[0], func(context.Context, hook.Tx) error {
				runs++
				if fails {
					return failure
				}
				return nil
			})
		}()
		queued(t, s, 2)
		close(let)
		if err := <-applied; err != nil {
			t.Fatal(err)
		}
		if err := <-finished; errors.Is(err, failure) != fails || !fails && err != nil {
			t.Errorf("the effect fails: %t; its end: %v", fails, err)
		}
		if jobs := <-claimed; len(jobs) != 1 || jobs[0].Event.Key != "second" {
			t.Errorf("the effect fails: %t; claimed beside it: %v, want the second event", fails, jobs)
		}
		if runs != 1 {
			t.Errorf("the effect fails: %t; it ran %d times", fails, runs)
		}
		counts, err := s.Counts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n, want := counts.Jobs["h"][hook.StateRunning], map[bool]int64{false: 1, true: 2}[fails]; n != want {
			t.Errorf("the effect fails: %t; %d jobs are running, want %d", fails, n, want)
		}
	}
}

// queued waits until so many operations wait for the writer.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(s.ops) < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d operations wait, want %d", len(s.ops), n)
		}
	}
}
