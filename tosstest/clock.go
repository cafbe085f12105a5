package tosstest

import (
	"context"
	"maps"
	"slices"
	"time"
)

// kst is the zone in which Toss writes times.
func kst() *time.Location { return time.FixedZone("KST", 9*60*60) }

// clock is the simulator's time: it runs at a speed and can be moved forward.
// Guarded by Sim.mu.
type clock struct {
	wall  func() time.Time
	scale float64 // zero: it stands
	base  time.Time
	since time.Time // on the wall, when it showed base
}

func newClock(o Options) clock {
	scale := o.TimeScale
	switch scale {
	case 0:
		scale = 1
	case -1:
		scale = 0
	}
	now := o.Now()
	return clock{wall: o.Now, scale: scale, base: now, since: now}
}

func (c *clock) now() time.Time {
	return c.base.Add(time.Duration(float64(c.wall().Sub(c.since)) * c.scale))
}

// reach moves the clock to t unless it is past it.
func (c *clock) reach(t time.Time) {
	if c.now().Before(t) {
		c.base, c.since = t, c.wall()
	}
}

// timer is something that happens at a time of the simulator.
type timer struct {
	at time.Time
	do func() // without mu
}

// at plans something. The caller holds mu.
func (s *Sim) at(t time.Time, do func()) {
	i, _ := slices.BinarySearchFunc(s.due, t, func(d *timer, t time.Time) int {
		if d.at.After(t) {
			return 1
		}
		return -1 // behind those of the same time
	})
	s.due = slices.Insert(s.due, i, &timer{at: t, do: do})
	s.arm()
}

// arm sets the wall's alarm for what is due next. The caller holds mu.
func (s *Sim) arm() {
	if s.wake != nil {
		s.wake.Stop()
	}
	if len(s.due) == 0 || s.clock.scale == 0 || s.ctx.Err() != nil {
		return
	}
	left := time.Duration(float64(s.due[0].at.Sub(s.clock.now())) / s.clock.scale)
	s.wake = time.AfterFunc(max(left, 0)+time.Millisecond, func() { s.Advance(0) })
}

// Now is the simulator's time.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.now()
}

// Advance moves the clock and returns when all that falls due on the way, in
// its order, has happened: expiries, and retries of deliveries with their
// answers. Deliveries that are on their way are waited for first, so it must not
// be called while handling one.
func (s *Sim) Advance(d time.Duration) {
	s.advancing.Lock()
	defer s.advancing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.clock.now().Add(max(d, 0))
	s.settle()
	for len(s.due) > 0 && !s.due[0].at.After(target) {
		next := s.due[0]
		s.due = s.due[1:]
		s.clock.reach(next.at)
		s.mu.Unlock()
		next.do()
		s.mu.Lock()
		s.settle()
	}
	s.clock.reach(target)
	s.arm()
}

// settle waits for the deliveries that are on their way now, not for those that
// begin meanwhile: under load there is no moment without any. The caller holds
// mu.
func (s *Sim) settle() {
	for _, one := range slices.Collect(maps.Keys(s.flying)) {
		for s.flying[one] && s.ctx.Err() == nil {
			s.landed.Wait()
		}
	}
}

// Flush waits until no delivery is on its way; those that wait for a retry, or
// for the fault reorder's next one, do not count. Its error is that of ctx.
func (s *Sim) Flush(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.landed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.flying) > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.landed.Wait()
	}
	return nil
}

// stamp writes a time as payments have it.
func stamp(t time.Time) string { return t.In(kst()).Format("2006-01-02T15:04:05-07:00") }
