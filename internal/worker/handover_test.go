package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// shelf is a store that lends at the recording, and by claims what it could not.
type shelf struct {
	hook.Queue

	mu       sync.Mutex
	due      []*hook.Job // guarded by mu, as all below
	inLine   bool        // the next job is behind another one: not lent
	claims   int
	lent     int
	done     []string
	released []string
	next     bool // the end of a job makes another due

	hold chan bool // an answer to a claim waits for a word, if this is not nil; set before the pool runs
}

func (s *shelf) Record(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string) (hook.Receipt, error) {
	r, _, err := s.RecordAndLend(ctx, d, id, handlers, hook.Loan{})
	return r, err
}

func (s *shelf) RecordAndLend(_ context.Context, d hook.Delivery, id hook.Identity, handlers []string, loan hook.Loan) (hook.Receipt, []*hook.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lent []*hook.Job
	for _, h := range handlers {
		job := &hook.Job{ID: int64(len(s.due) + s.lent), Handler: h, Event: &hook.Event{Key: id.Key, Body: d.Body}}
		if slices.Contains(loan.Handlers, h) && !s.inLine {
			s.lent++
			lent = append(lent, job)
			continue
		}
		s.due = append(s.due, job)
	}
	return hook.Receipt{EventID: id.Key}, lent, nil
}

func (s *shelf) Claim(_ context.Context, ask hook.Ask) ([]*hook.Job, error) {
	s.mu.Lock()
	s.claims++
	n := min(ask.Max, len(s.due))
	jobs := s.due[:n:n]
	s.due = s.due[n:]
	s.mu.Unlock()
	if s.hold != nil {
		<-s.hold
	}
	return jobs, nil
}

func (s *shelf) Finish(_ context.Context, j *hook.Job, _ hook.Effect) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, j.Event.Key)
	j.Next = s.next
	return nil
}

func (s *shelf) Release(_ context.Context, j *hook.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = append(s.released, j.Event.Key)
	return nil
}

// Retry takes a failed job back and forgets it.
func (s *shelf) Retry(context.Context, *hook.Job, time.Duration, hook.Cause) error { return nil }

func (s *shelf) Extend(context.Context, []*hook.Job, time.Duration) ([]*hook.Job, error) {
	return nil, nil
}

// look runs f with the shelf locked.
func (s *shelf) look(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// pooled is a running pool of one handler over a shelf, within a bubble.
type pooled struct {
	*testing.T
	*worker.Pool
	shelf *shelf
	end   func()
}

func startPool(t *testing.T, cfg worker.Config, route hook.Route) *pooled {
	t.Helper()
	return startPoolOn(t, &shelf{}, cfg, route)
}

func startPoolOn(t *testing.T, s *shelf, cfg worker.Config, route hook.Route) *pooled {
	t.Helper()
	route.Name = "h"
	cfg.Queue, cfg.Recorder, cfg.Logger, cfg.Routes = s, s, slog.New(slog.DiscardHandler), []hook.Route{route}
	p := &pooled{T: t, shelf: s}
	p.Pool, p.end = running(t, cfg)
	synctest.Wait() // it has looked once and rests
	return p
}

// running is a pool that runs until it is ended.
func running(t *testing.T, cfg worker.Config) (p *worker.Pool, end func()) {
	p = worker.New(cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	return p, func() {
		stop()
		<-ended
	}
}

func (p *pooled) take(key string) {
	p.Helper()
	if _, err := p.Record(p.Context(), hook.Delivery{Body: []byte(key)}, hook.Identity{Key: key}, []string{"h"}); err != nil {
		p.Error(err)
	}
}

// lent checks how many jobs have been handed over in all.
func (p *pooled) lent(want int, when string) {
	p.Helper()
	synctest.Wait()
	p.shelf.look(func() {
		if p.shelf.lent != want {
			p.Errorf("%s: %d handed over in all, want %d", when, p.shelf.lent, want)
		}
	})
}

// gate is a handler that works one job for each word.
func gate(words chan bool) hook.Handler {
	return hook.HandlerFunc(func(ctx context.Context, _ *hook.Event) (hook.Effect, error) {
		select {
		case <-words:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

var atOnce = hook.HandlerFunc(func(context.Context, *hook.Event) (hook.Effect, error) { return nil, nil })

// What this process records it works without a claim.
func TestARecordedJobNeedsNoClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, worker.Config{}, hook.Route{Handler: atOnce})
		p.shelf.look(func() { p.shelf.claims = 0 })
		for i := range 100 {
			p.take(fmt.Sprint(i))
			synctest.Wait()
		}
		p.shelf.look(func() {
			if len(p.shelf.done) != 100 || p.shelf.claims > 0 {
				t.Errorf("%d of 100 done after %d claims, want none", len(p.shelf.done), p.shelf.claims)
			}
		})
		p.end()
	})
}

// While jobs are handed over all the time the lane still looks every second: leases
// lapse, and other nodes leave jobs to it.
func TestHandedJobsDoNotHideOthers(t *testing.T) {
	for _, batch := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := startPool(t, worker.Config{}, hook.Route{Handler: atOnce, Batch: batch})
			p.shelf.look(func() {
				p.shelf.due = append(p.shelf.due, &hook.Job{ID: 1 << 40, Handler: "h", Event: &hook.Event{Key: "of another"}})
			})
			for i := range 400 { // four seconds
				p.take(fmt.Sprint(i))
				<-time.After(10 * time.Millisecond)
			}
			p.shelf.look(func() {
				if at := slices.Index(p.shelf.done, "of another"); at < 0 || at > 130 {
					t.Errorf("batch %t: the job of another node was done as number %d of %d, want within a second", batch, at, len(p.shelf.done))
				}
				if p.shelf.claims > 20 {
					t.Errorf("batch %t: %d claims in four seconds", batch, p.shelf.claims)
				}
			})
			p.end()
		})
	}
}

// A look that finds all slots taken is made up for as soon as one is free, and not
// at the next turn: otherwise a lane that is full at every turn never looks.
func TestALookWithoutASlotIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words := make(chan bool)
		p := startPool(t, worker.Config{Slots: 1}, hook.Route{Handler: gate(words)})
		p.take("handed")
		<-time.After(1500 * time.Millisecond) // a turn to look has passed
		p.shelf.look(func() {
			p.shelf.due = append(p.shelf.due, &hook.Job{ID: 1 << 40, Handler: "h", Event: &hook.Event{Key: "of another"}})
		})
		words <- true
		synctest.Wait()
		p.shelf.look(func() {
			if len(p.shelf.due) > 0 {
				t.Error("a slot is free, and the job of another node is not claimed")
			}
		})
		p.end()
	})
}

// A Batch lane pauses so that jobs gather, and no longer than until enough have.
func TestAPauseEndsWhenEnoughHaveGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, worker.Config{Slots: 80}, hook.Route{Handler: atOnce, Batch: true})
		p.take("first")
		synctest.Wait() // it has been started, and the lane pauses
		began := time.Now()
		for i := range 19 {
			p.take(fmt.Sprint(i))
		}
		done := func(want int) {
			t.Helper()
			synctest.Wait()
			p.shelf.look(func() {
				if len(p.shelf.done) != want {
					t.Errorf("%d done, want %d", len(p.shelf.done), want)
				}
			})
		}
		done(1)
		p.take("the twentieth")
		done(21)
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %s", d)
		}
		p.end()
	})
}

// The end of a job that makes another due is followed by a claim at once.
func TestTheNextOfALineIsClaimedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words := make(chan bool)
		p := startPool(t, worker.Config{}, hook.Route{Handler: gate(words)})
		p.take("head")
		synctest.Wait()
		p.shelf.look(func() {
			p.shelf.next = true
			p.shelf.due = append(p.shelf.due, &hook.Job{ID: 1 << 40, Handler: "h", Event: &hook.Event{Key: "next"}})
		})
		began := time.Now()
		words <- true
		words <- true // only its handler hears it
		synctest.Wait()
		p.shelf.look(func() {
			if !slices.Equal(p.shelf.done, []string{"head", "next"}) || time.Since(began) > 100*time.Millisecond {
				t.Errorf("done %v, the next after %s", p.shelf.done, time.Since(began))
			}
		})
		p.end()
	})
}

// What is handed over while the pool stops is released, and afterwards nothing is
// handed over.
func TestADrainReleasesWhatIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, worker.Config{}, hook.Route{Handler: gate(nil), Batch: true})
		p.take("one") // it makes the lane linger
		synctest.Wait()
		p.take("two")
		p.end()
		p.take("three")
		p.shelf.look(func() {
			slices.Sort(p.shelf.released)
			if !slices.Equal(p.shelf.released, []string{"one", "two"}) || p.shelf.lent != 2 || len(p.shelf.due) != 1 {
				t.Errorf("released %v, %d handed over, %d queued; want one and two, 2, 1", p.shelf.released, p.shelf.lent, len(p.shelf.due))
			}
		})
	})
}

// Bodies of handed jobs count against the lane's memory, once.
func TestHandedBodiesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words := make(chan bool)
		p := startPool(t, worker.Config{MaxBytes: 10}, hook.Route{Handler: gate(words)})
		for _, key := range []string{"aaaa", "bbbb", "cccc"} {
			p.take(key)
			synctest.Wait()
		}
		p.shelf.look(func() {
			if p.shelf.lent != 2 {
				t.Errorf("%d bodies of four bytes were handed over, want 2 within 10 bytes", p.shelf.lent)
			}
		})
		for range 3 {
			words <- true
			synctest.Wait()
		}
		for _, key := range []string{"dddd", "eeee"} { // nothing is left of the first ones
			p.take(key)
			synctest.Wait()
		}
		p.shelf.look(func() {
			if p.shelf.lent != 4 || len(p.shelf.done) != 3 {
				t.Errorf("%d handed over, %d done, want 4 and 3", p.shelf.lent, len(p.shelf.done))
			}
		})
		p.end()
	})
}
