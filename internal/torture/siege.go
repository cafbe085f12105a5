package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// Times of a round: the server lives so long before it is hurt.
const (
	uptimeMin = 60 * time.Millisecond
	uptimeMax = 500 * time.Millisecond
	// patience is how long a fault waits for a delivery to be in flight.
	patience = 100 * time.Millisecond
	// Of so many kills one is timed from the start of the process instead of
	// from its readiness, so that it may hit the recovery from the one before.
	killsPerEarly = 8
)

// siege hurts the server, round by round, while the load runs.
type siege struct {
	*run
	dice   *rand.Rand
	loaded <-chan struct{} // closed when every sender has ended
	landed int
	opened float64 // events that the gate has let pass
}

// besiege returns when the load is over and enough faults have landed, with the
// server running.
func (r *run) besiege(ctx context.Context, loaded <-chan struct{}) error {
	s := &siege{run: r, loaded: loaded, dice: rand.New(rand.NewPCG(r.opt.Seed, 1<<63))}
	if r.opt.Fault == history.FaultNone {
		return s.watch(ctx)
	}
	// Faults that miss are repeated, but not for ever: a run in which they
	// never land is inconclusive, and says so.
	for rounds := 0; s.landed < r.opt.Faults && rounds < 3*r.opt.Faults+20; rounds++ {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	r.flood.gate.raise(r.opt.Events)
	for s.landed < 2*r.opt.Faults && !s.over() {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	if r.server.child == nil {
		if err := s.resume(ctx, false); err != nil {
			return err
		}
	}
	return s.watch(ctx)
}

// watch waits for the end of the load beside a server that must live.
func (s *siege) watch(ctx context.Context) error {
	s.flood.gate.raise(s.opt.Events)
	select {
	case <-s.loaded:
		return ctx.Err()
	case <-s.server.child.ended:
		return s.server.alive()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *siege) over() bool {
	select {
	case <-s.loaded:
		return true
	default:
		return false
	}
}

// round lets the server live for a while under its share of the load, then
// hurts it.
func (s *siege) round(ctx context.Context) error {
	if s.server.child == nil {
		early := s.opt.Fault == history.FaultKill && s.dice.IntN(killsPerEarly) == 0
		if err := s.resume(ctx, early); err != nil {
			return err
		}
	}
	if err := s.pace(ctx); err != nil {
		return err
	}
	if s.opt.Fault != history.FaultStop {
		s.server.scrape(ctx)
	}
	f, err := s.strike(ctx)
	if err != nil {
		return err
	}
	if f.Landed {
		s.landed++
	}
	s.faults.add(f)
	return nil
}

func (s *siege) resume(ctx context.Context, early bool) error {
	if err := s.server.start(ctx); err != nil || early {
		return err
	}
	return s.server.ready(ctx)
}

// pace opens the gate step by step, so that the load lasts until the last fault
// and something is in flight at each.
func (s *siege) pace(ctx context.Context) error {
	uptime := uptimeMin + time.Duration(s.dice.Int64N(int64(uptimeMax-uptimeMin)))
	events := float64(s.opt.Events)
	share := (events - s.opened) / float64(max(1, s.opt.Faults-s.landed)+1)
	base, begin := s.opened, time.Now()
	for {
		passed := time.Since(begin)
		// A fifth is kept back for the moment of the fault itself.
		s.opened = min(events, base+share*min(1, float64(passed)/float64(uptime)*0.8))
		s.flood.gate.raise(int(s.opened))
		if passed >= uptime || s.over() {
			return s.server.alive()
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// strike hurts the server once, if possible with a delivery in flight.
func (s *siege) strike(ctx context.Context) (history.Fault, error) {
	if err := s.aim(ctx); err != nil {
		return history.Fault{}, err
	}
	n, unknown := int(s.flood.inFlight.Load()), s.flood.unknown.Load()
	f := history.Fault{Kind: s.opt.Fault, At: time.Now(), InFlight: n, Landed: n > 0}
	var err error
	switch s.opt.Fault {
	case history.FaultKill:
		s.server.kill()
		// What was in flight may have been answered all the same: a kill
		// counts only if it cut somebody off.
		err = s.settle(ctx)
		f.Landed = s.flood.unknown.Load() > unknown
	case history.FaultStop:
		err = s.freeze(ctx)
	case history.FaultTerm:
		err = s.server.stop(ctx)
	}
	f.Until = time.Now()
	return f, err
}

// aim waits for a delivery to be in flight, and lets more events pass for it.
func (s *siege) aim(ctx context.Context) error {
	select {
	case <-s.flood.departed: // an old one
	default:
	}
	for begin := time.Now(); s.flood.inFlight.Load() == 0 && time.Since(begin) < patience && !s.over(); {
		s.opened = min(float64(s.opt.Events), s.opened+1)
		s.flood.gate.raise(int(s.opened))
		select {
		case <-s.flood.departed:
			return nil
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// settle waits until the connections to a killed server have ended.
func (s *siege) settle(ctx context.Context) error {
	for begin := time.Now(); s.flood.inFlight.Load() > 0 && time.Since(begin) < patience; {
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the server for longer than its leases last.
func (s *siege) freeze(ctx context.Context) error {
	if err := signalGroup(s.server.child.cmd, signalFreeze); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	waited := wait(ctx, s.opt.Lease*3/2)
	if err := signalGroup(s.server.child.cmd, signalThaw); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("let the server go on: %w", err)
	}
	return waited
}
