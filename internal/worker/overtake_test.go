package worker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// Who waits for a slot, and whom nobody passes: see keep.

// shelfWith is a shelf on which so many old jobs lie.
func shelfWith(old int) *shelf {
	s := &shelf{}
	for i := range old {
		s.due = append(s.due, &hook.Job{ID: 1<<40 + int64(i), Handler: "h", Event: &hook.Event{Key: "old"}})
	}
	return s
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
		s := shelfWith(5)
		s.hold = hold
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
				s := shelfWith(c.due)
				if c.hold {
					s.hold = make(chan bool)
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
		s := shelfWith(8)
		s.hold = make(chan bool)
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
		s := shelfWith(5)
		s.hold = make(chan bool)
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
