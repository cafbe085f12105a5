package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
	"github.com/hookkeeper/hookkeeper/internal/wire"
)

const (
	// patience is how long a fault waits for a delivery to be in flight.
	patience = 100 * time.Millisecond
	// cutWithin is how long an armed cut waits for a COMMIT: a node without
	// deliveries still sweeps and beats.
	cutWithin = 2 * time.Second
	// Of so many kills one is timed from the start of the process instead of
	// from its readiness, so that it may hit the recovery from the one before.
	killsPerEarly = 8
	// watchEvery is how often a calm siege looks whether all nodes live.
	watchEvery = 20 * time.Millisecond
)

// siege hurts the nodes, round by round, while the load runs.
type siege struct {
	*run
	dice   *rand.Rand
	loaded <-chan struct{} // closed when every sender has ended
	landed int
	opened float64 // events that the gate has let pass
}

// besiege returns when the load is over and enough faults have landed, with all
// nodes running.
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
	for s.landed < 2*r.opt.Faults && !s.over() && !s.database() {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	for _, n := range r.nodes {
		if n.child != nil {
			continue
		}
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	for _, n := range r.nodes {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	return s.watch(ctx)
}

// database reports whether it is the database server that is hurt.
func (s *siege) database() bool {
	return s.opt.Fault == history.FaultDatabaseStop || s.opt.Fault == history.FaultDatabaseFreeze
}

// watch waits for the end of the load beside nodes that must live.
func (s *siege) watch(ctx context.Context) error {
	s.flood.gate.raise(s.opt.Events)
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case <-s.loaded:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if err := s.alive(); err != nil {
				return err
			}
		}
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

// round lets the nodes live for a while under their share of the load, then
// hurts one.
func (s *siege) round(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	if err := s.pace(ctx); err != nil {
		return err
	}
	at := s.victim()
	if s.opt.Fault == history.FaultKill || s.opt.Fault == history.FaultTerm {
		s.nodes[at].scrape(ctx)
	}
	f, err := s.strike(ctx, s.nodes[at], s.flood.targets[at])
	if err != nil {
		return err
	}
	if f.Landed {
		s.landed++
	}
	s.faults.add(f)
	if s.opt.Progress != nil {
		s.opt.Progress(min(s.landed, s.opt.Faults), s.opt.Faults)
	}
	return nil
}

// resume starts what is down. A node that is alone is waited for, but for an
// early kill; of several one is enough.
func (s *siege) resume(ctx context.Context) error {
	var started, running *node
	for _, n := range s.nodes {
		if n.child != nil {
			running = n
			continue
		}
		if err := n.start(ctx); err != nil {
			return err
		}
		started = n
	}
	early := len(s.nodes) == 1 && s.opt.Fault == history.FaultKill && s.dice.IntN(killsPerEarly) == 0
	if started == nil || running != nil || early {
		return nil
	}
	return started.ready(ctx)
}

// victim is a node that has a delivery in flight, if there is one.
func (s *siege) victim() int {
	first := s.dice.IntN(len(s.nodes))
	for i := range s.nodes {
		at := (first + i) % len(s.nodes)
		if s.flood.targets[at].inFlight.Load() > 0 {
			return at
		}
	}
	return first
}

// pace opens the gate step by step, so that the load lasts until the last fault
// and something is in flight at each.
func (s *siege) pace(ctx context.Context) error {
	uptime := s.opt.UptimeMin + time.Duration(s.dice.Int64N(int64(s.opt.UptimeMax-s.opt.UptimeMin)))
	events := float64(s.opt.Events)
	share := (events - s.opened) / float64(max(1, s.opt.Faults-s.landed)+1)
	base, begin := s.opened, time.Now()
	for {
		passed := time.Since(begin)
		// A fifth is kept back for the moment of the fault itself.
		s.opened = min(events, base+share*min(1, float64(passed)/float64(uptime)*0.8))
		s.flood.gate.raise(int(s.opened))
		if passed >= uptime || s.over() {
			return s.alive()
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// strike hurts a node or the database once, if possible with a delivery in
// flight.
func (s *siege) strike(ctx context.Context, n *node, t *target) (history.Fault, error) {
	if err := s.aim(ctx, t); err != nil {
		return history.Fault{}, err
	}
	flying, unknown := int(t.inFlight.Load()), t.unknown.Load()
	f := history.Fault{Kind: s.opt.Fault, At: time.Now(), InFlight: flying, Landed: flying > 0, Node: n.number}
	var err error
	switch s.opt.Fault {
	case history.FaultKill:
		n.kill()
		// What was in flight may have been answered all the same: a kill
		// counts only if it cut somebody off.
		err = s.settle(ctx, t)
		f.Landed = t.unknown.Load() > unknown
	case history.FaultStop:
		err = s.freeze(ctx, n)
	case history.FaultTerm:
		err = n.stop(ctx)
	case history.FaultCut:
		err = s.cut(ctx, &f)
	case history.FaultDatabaseStop, history.FaultDatabaseFreeze:
		f.Node = 0
		return f, s.outage(ctx, &f)
	}
	f.Until = time.Now()
	return f, err
}

// aim waits for a delivery to be in flight, and lets more events pass for it.
func (s *siege) aim(ctx context.Context, t *target) error {
	select {
	case <-t.departed: // an old one
	default:
	}
	for begin := time.Now(); t.inFlight.Load() == 0 && time.Since(begin) < patience && !s.over(); {
		s.opened = min(float64(s.opt.Events), s.opened+1)
		s.flood.gate.raise(int(s.opened))
		select {
		case <-t.departed:
			return nil
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// settle waits until the connections to a killed node have ended.
func (s *siege) settle(ctx context.Context, t *target) error {
	for begin := time.Now(); t.inFlight.Load() > 0 && time.Since(begin) < patience; {
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the node for longer than its leases last.
func (s *siege) freeze(ctx context.Context, n *node) error {
	if err := signalGroup(n.child.cmd, signalFreeze); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	waited := wait(ctx, s.opt.Lease*3/2)
	if err := signalGroup(n.child.cmd, signalThaw); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("let the node go on: %w", err)
	}
	return waited
}

// cut breaks a node's connection to the database at its next COMMIT, in turn
// before the server sees it and after.
func (s *siege) cut(ctx context.Context, f *history.Fault) error {
	at := max(0, f.Node-1)
	proxy, kind := s.place.proxies[at], wire.Before
	if s.landed%2 == 1 {
		kind = wire.After
	}
	proxy.Arm(kind)
	defer proxy.Arm(0)
	select {
	case made := <-proxy.Made():
		f.Landed, f.Committed = true, made == wire.After
	case <-time.After(cutWithin):
		f.Landed = false
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
