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

var errNotToday = errors.New("not today")

// Effects that wait together have a transaction each and one sync: nobody is
// answered, or given what he has read, before it, and one that fails takes no other
// one with it, wherever it stands.
func TestEffectsThatWaitShareASync(t *testing.T) {
	for fails := range 3 {
		t.Run(fmt.Sprintf("number %d fails", fails+1), func(t *testing.T) { shareASync(t, fails) })
	}
}

func shareASync(t *testing.T, fails int) {
	ctx := t.Context()
	s, _ := twoEvents(t)
	if err := s.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE seen (n INTEGER PRIMARY KEY)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	busy := hold(t, s)
	answers := make([]chan error, 3)
	for n := range answers {
		answers[n] = make(chan error, 1)
		go func() {
			answers[n] <- s.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
				if n > 0 && fails != 0 { // the first one has committed, ahead of the disk
					if len(s.owed) == 0 {
						t.Error("answered before the sync")
					}
					readAhead(t, s)
				}
				if _, err := tx.ExecContext(ctx, `INSERT INTO seen (n) VALUES ($1)`, n); err != nil || n != fails {
					return err
				}
				return errNotToday
			})
		}()
		queued(t, s, n+1)
	}
	busy()
	for n, answer := range answers {
		if err := <-answer; errors.Is(err, errNotToday) != (n == fails) || n != fails && err != nil {
			t.Errorf("effect %d: %v", n+1, err)
		}
	}
	var rows int
	err := s.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM seen WHERE n <> $1`, fails).Scan(&rows)
	})
	if err != nil || rows != 2 {
		t.Errorf("%d effects hold, want the two that did not fail: %v", rows, err)
	}
	if s.ahead.Load() != nil {
		t.Error("commits are still ahead of the disk")
	}
}

// readAhead sees what has been committed ahead of the disk, and is not given it.
func readAhead(t *testing.T, s *Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var rows int
	err := s.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM seen`).Scan(&rows)
		cancel() // View would wait for the sync, which comes after this effect
		return err
	})
	if rows == 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("a reader saw %d rows and was told %v before they were on disk", rows, err)
	}
}

// A claim goes to the disk with the effects before it.
func TestAClaimSharesTheSyncOfAnEffect(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("the effect fails: %t", fails), func(t *testing.T) { claimBeside(t, fails) })
	}
}

func claimBeside(t *testing.T, fails bool) {
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
			if s.level != syncLater {
				t.Error("the effect has a sync of its own")
			}
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

// A delivery that waits goes before the next effect.
func TestADeliveryGoesBeforeTheNextEffect(t *testing.T) {
	s, mine := twoEvents(t)
	busy := hold(t, s)
	ends := make(chan error, 2)
	for range 2 {
		go func() { ends <- s.Apply(t.Context(), func(context.Context, hook.Tx) error { return nil }) }()
	}
	queued(t, s, 2)
	go func() {
		ends <- s.Finish(t.Context(), mine, func(ctx context.Context, tx hook.Tx) error {
			var there bool
			row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM event_keys WHERE key = 'third')`)
			if err := row.Scan(&there); err != nil || !there {
				t.Errorf("the delivery came after the effects: %v", err)
			}
			return nil
		})
	}()
	queued(t, s, 3)
	recorded := make(chan error, 1)
	go func() { recorded <- record(s, "third") }()
	for end := time.Now().Add(10 * time.Second); len(s.records) < 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("no delivery waits")
		}
	}
	busy()
	for range 3 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if err := <-recorded; err != nil {
		t.Error(err)
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
		if err := record(s, key); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := s.Claim(ctx, ask)
	if err != nil || len(mine) != 1 {
		t.Fatalf("claimed %d jobs: %v", len(mine), err)
	}
	return s, mine[0]
}

func record(s *Store, key string) error {
	d := hook.Delivery{Source: "shop", Header: http.Header{}, Body: []byte(key), ReceivedAt: time.Now()}
	_, err := s.Record(context.Background(), d, hook.Identity{Key: key, Trust: hook.TrustSignature}, []string{"h"})
	return err
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
