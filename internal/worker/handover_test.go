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
	stop  context.CancelFunc
	ended chan struct{}
}

func startPool(t *testing.T, cfg worker.Config, route hook.Route) *pooled {
	t.Helper()
	return startPoolOn(t, &shelf{}, cfg, route)
}

func startPoolOn(t *testing.T, s *shelf, cfg worker.Config, route hook.Route) *pooled {
	t.Helper()
	route.Name = "h"
	cfg.Queue, cfg.Recorder, cfg.Logger, cfg.Routes = s, s, slog.New(slog.DiscardHandler), []hook.Route{route}
	ctx, stop := context.WithCancel(t.Context())
	p := &pooled{T: t, Pool: worker.New(cfg), shelf: s, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.Pool.Run(ctx)
	}()
	synctest.Wait() // it has looked once and rests
	return p
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

func (p *pooled) end() {
	p.stop()
	<-p.ended
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

// A job that finds no slot waits in the queue, and none that is recorded after it is
// handed over before it was claimed.
func TestHandedJobsOvertakeNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words := make(chan bool)
		p := startPool(t, worker.Config{Slots: 2}, hook.Route{Handler: gate(words)})
		var want []string
		for i := range 20 {
			p.take(fmt.Sprint(i))
			synctest.Wait()
			want = append(want, fmt.Sprint(i))
			if i > 5 && i%2 == 0 {
				words <- true // a slot is free: for the eldest
				synctest.Wait()
			}
		}
		for range 20 - 7 {
			words <- true
			synctest.Wait()
		}
		p.shelf.look(func() {
			slices.Sort(p.shelf.done[:2]) // two run side by side from here on
			for i, key := range p.shelf.done {
				if d := slices.Index(want, key) - i; d > 1 || d < -1 {
					t.Errorf("worked in the order %v", p.shelf.done)
					break
				}
			}
			if len(p.shelf.done) != 20 || p.shelf.lent != 2 {
				t.Errorf("%d done, %d handed over, want 20 and the first 2", len(p.shelf.done), p.shelf.lent)
			}
		})
		p.take("later") // caught up: handed over again
		words <- true
		synctest.Wait()
		p.shelf.look(func() {
			if p.shelf.lent != 3 || len(p.shelf.done) != 21 {
				t.Errorf("after catching up %d were handed over and %d done, want 3 and 21", p.shelf.lent, len(p.shelf.done))
			}
		})
		p.end()
	})
}

// A claim under way counts as if it had found what it asked for: no more run side by
// side than there are slots, and while older jobs may wait none is handed over.
func TestAClaimUnderWayKeepsItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words, hold := make(chan bool), make(chan bool)
		s := &shelf{hold: hold}
		for i := range 5 {
			s.due = append(s.due, &hook.Job{ID: 1<<40 + int64(i), Handler: "h", Event: &hook.Event{Key: "old"}})
		}
		running, most := 0, 0
		inner := gate(words)
		p := startPoolOn(t, s, worker.Config{Slots: 2}, hook.Route{Handler: hook.HandlerFunc(func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
			s.look(func() { running++; most = max(most, running) })
			defer s.look(func() { running-- })
			return inner.Handle(ctx, e)
		})})
		for range 3 { // one slot is left while the first claim is under way
			p.take("new")
		}
		synctest.Wait()
		s.look(func() {
			if s.lent != 1 {
				t.Errorf("%d were handed over while a claim for one of two slots was under way, want 1", s.lent)
			}
		})
		close(hold)
		for range 8 {
			words <- true
			p.take("newer")
			synctest.Wait()
		}
		s.look(func() {
			if most != 2 || s.lent != 1 {
				t.Errorf("%d ran side by side in 2 slots, %d were handed over while others waited", most, s.lent-1)
			}
		})
		p.end()
	})
}

// Whoever is refused a slot once is waited for, until a claim that began after it has
// found nothing left.
func TestARefusedJobIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		words, hold := make(chan bool), make(chan bool)
		p := startPoolOn(t, &shelf{hold: hold}, worker.Config{Slots: 2}, hook.Route{Handler: gate(words)})
		p.take("a")
		p.take("b")
		p.lent(1, "a claim under way has one of two slots")
		hold <- true // it had looked before b came
		p.lent(1, "b waits")
		p.take("c") // one slot is free, and the claim that takes b is under way
		p.lent(1, "behind b")
		hold <- true
		p.lent(1, "b runs")
		words <- true
		words <- true
		synctest.Wait()
		p.take("d") // a slot is free while the claim that takes c is under way
		p.lent(1, "behind c")
		for busy := true; busy; synctest.Wait() {
			select {
			case hold <- true:
			case words <- true:
			default:
				busy = false
			}
		}
		p.take("e")
		p.lent(2, "nobody waits")
		close(hold)
		words <- true
		p.end()
	})
}

// While a lane pauses before its next claim, nobody is handed over before those whom
// that claim will find.
func TestAPauseLetsNobodyPass(t *testing.T) {
	for _, c := range []struct {
		name  string
		batch bool
		slots int
		due   int  // jobs that wait from the start
		hold  bool // the first claim is held while the events come
		take  int  // events that come then; the last one is refused
		wait  int  // jobs that nobody has claimed when one more comes, into a free slot
		want  int  // handed over of all
	}{
		{"the slots are full, and a Batch lane lets jobs gather", true, 2, 0, false, 3, 1, 2},
		{"refused behind the look of a claim that found all there was, and claimed by the next", true, 4, 1, true, 3, 0, 3},
		{"a full claim, and slots that are being gathered", false, 4, 5, false, 0, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				words := make(chan bool)
				s := &shelf{}
				if c.hold {
					s.hold = make(chan bool)
				}
				for i := range c.due {
					s.due = append(s.due, &hook.Job{ID: 1<<40 + int64(i), Handler: "h", Event: &hook.Event{Key: "old"}})
				}
				p := startPoolOn(t, s, worker.Config{Slots: c.slots}, hook.Route{Handler: gate(words), Batch: c.batch})
				for i := range c.take {
					p.take(fmt.Sprint(i))
					synctest.Wait()
				}
				if c.hold {
					close(s.hold)
				}
				synctest.Wait()
				words <- true
				synctest.Wait() // a slot is free, and no time has passed
				s.look(func() {
					if len(s.due) != c.wait {
						t.Errorf("%d wait, want %d", len(s.due), c.wait)
					}
				})
				p.take("later")
				s.look(func() {
					if s.lent != c.want {
						t.Errorf("%d were handed over, want %d", s.lent, c.want)
					}
				})
				p.end()
			})
		})
	}
}

// Deliveries that keep coming do not keep a lane behind: a claim that has taken all
// there was ends it, although some were refused while it was under way.
func TestALaneCatchesUpWhileDeliveriesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{hold: make(chan bool)}
		for range 8 {
			s.due = append(s.due, &hook.Job{ID: 1 << 40, Handler: "h", Event: &hook.Event{Key: "old"}})
		}
		p := startPoolOn(t, s, worker.Config{Slots: 16}, hook.Route{Handler: atOnce})
		s.hold <- true // as many as it asked for: there may be more
		synctest.Wait()
		for i := range 3 { // while the next claim is under way
			p.take(fmt.Sprint("refused ", i))
		}
		p.lent(0, "behind")
		s.hold <- true // it had found nobody
		synctest.Wait()
		for i := range 4 { // the claim that takes the three is under way
			p.take(fmt.Sprint("handed ", i))
		}
		p.lent(4, "caught up")
		s.look(func() {
			if len(s.done) != 8 {
				t.Errorf("done: %v, want the old ones alone", s.done)
			}
		})
		close(s.hold)
		synctest.Wait()
		s.look(func() {
			if len(s.done) != 15 || len(s.due) != 0 {
				t.Errorf("done %v, waiting %d; want all 15", s.done, len(s.due))
			}
		})
		p.end()
	})
}

// A slot is left for each that was refused one.
func TestTheRefusedHaveTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{hold: make(chan bool)}
		for range 5 {
			s.due = append(s.due, &hook.Job{ID: 1 << 40, Handler: "h", Event: &hook.Event{Key: "old"}})
		}
		p := startPoolOn(t, s, worker.Config{Slots: 8}, hook.Route{Handler: gate(make(chan bool))})
		s.hold <- true // as many as it asked for: there may be more
		synctest.Wait()
		for i := range 2 { // while the claim that takes the fifth is under way
			p.take(fmt.Sprint("refused ", i))
		}
		s.hold <- true
		synctest.Wait()    // five run, and the lane lets more slots come free before it claims
		for i := range 3 { // of the three slots one is nobody's
			p.take(fmt.Sprint("later ", i))
		}
		s.look(func() {
			if s.lent != 1 || len(s.due) != 4 {
				t.Errorf("%d of three were handed over, %d wait; want one, and two beside the first two", s.lent, len(s.due))
			}
		})
		close(s.hold)
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
