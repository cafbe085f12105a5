package sqlite

import (
	"context"
	"errors"
	"fmt"
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
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("the effect fails: %t", fails), func(t *testing.T) { ride(t, fails) })
	}
}

var errNotToday = errors.New("not today")

func ride(t *testing.T, fails bool) {
	ctx := t.Context()
	s, mine := twoEvents(t)
	busy := hold(t, s) // what follows queues up
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
		finished <- s.Finish(ctx, mine, func(context.Context, hook.Tx) error {
			runs++
			if fails {
				return errNotToday
			}
			return nil
		})
	}()
	queued(t, s, 2)
	busy()
	if err := <-finished; errors.Is(err, errNotToday) != fails || !fails && err != nil {
		t.Errorf("the end of the effect: %v", err)
	}
	if jobs := <-claimed; len(jobs) != 1 || jobs[0].Event.Key != "second" {
		t.Errorf("claimed beside it: %v, want the second event", jobs)
	}
	if runs != 1 {
		t.Errorf("the effect ran %d times", runs)
	}
	counts, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, want := counts.Jobs["h"][hook.StateRunning], map[bool]int64{false: 1, true: 2}[fails]; n != want {
		t.Errorf("%d jobs are running, want %d", n, want)
	}
}

var ask = hook.Ask{Handlers: []string{"h"}, Max: 1, Lease: time.Minute, Node: "n"}

// twoEvents gives a store with two events, and the job of the first.
func twoEvents(t *testing.T) (*Store, *hook.Job) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "hook.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
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
	mine, err := s.Claim(ctx, ask)
	if err != nil || len(mine) != 1 {
		t.Fatalf("claimed %d jobs: %v", len(mine), err)
	}
	return s, mine[0]
}

// hold keeps the writer busy until what it returns is called.
func hold(t *testing.T, s *Store) (let func()) {
	t.Helper()
	held, free := make(chan struct{}), make(chan struct{})
	applied := make(chan error, 1)
	go func() {
		applied <- s.Apply(context.Background(), func(context.Context, hook.Tx) error {
			close(held)
			<-free
			return nil
		})
	}()
	<-held
	return func() {
		close(free)
		if err := <-applied; err != nil {
			t.Error(err)
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
