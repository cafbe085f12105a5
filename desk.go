package hookkeeper

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	pausedFor = time.Second            // how long what is paused is believed without asking the store
	pausedAsk = 400 * time.Millisecond // how often it is asked
	bulkLook  = 250 * time.Millisecond // how often a node looks whether a bulk replay is due
	bulkStep  = 20 * time.Millisecond  // the same while one is going on
	bulkQuiet = 15                     // looks without a step after which none is going on
	bulkRest  = 5 * time.Second        // after a failure
)

// queue is the store's queue, or one that leaves out what operators have paused,
// where the store keeps that.
func (k *Keeper) queue() hook.Queue {
	if k.pausing == nil {
		return k.cfg.Store
	}
	return k.pausing
}

// recorder is the store, or what lends at a recording all but the jobs of paused
// handlers.
func (k *Keeper) recorder() hook.Recorder {
	lender, ok := k.cfg.Store.(hook.Lender)
	if !ok || k.pausing == nil {
		return k.cfg.Store
	}
	return &pausedLender{Lender: lender, pausing: k.pausing}
}

// hastener is nil where the store cannot bring jobs forward.
func (k *Keeper) hastener() hook.Hastener {
	h, _ := k.cfg.Store.(hook.Hastener)
	return h
}

// newPausing returns nil where the store keeps no pauses.
func newPausing(store hook.Store) *pausing {
	pauser, ok := store.(hook.Pauser)
	if !ok {
		return nil
	}
	return &pausing{Queue: store, pauser: pauser, now: time.Now}
}

// pausedLender lends no jobs of paused handlers.
type pausedLender struct {
	hook.Lender
	pausing *pausing
}

// RecordAndLend implements hook.Lender. It never asks the store first, for a sender
// waits: if it is not known what is paused nothing is lent, and the jobs wait to be
// claimed.
func (p *pausedLender) RecordAndLend(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string, loan hook.Loan) (hook.Receipt, []*hook.Job, error) {
	if names, known := p.pausing.known(); known {
		loan.Handlers = without(loan.Handlers, names)
	} else {
		loan.Handlers = nil
	}
	return p.Lender.RecordAndLend(ctx, d, id, handlers, loan)
}

// without leaves the names out.
func without(handlers, names []string) []string {
	if len(names) == 0 {
		return handlers
	}
	return slices.DeleteFunc(slices.Clone(handlers), func(h string) bool { return slices.Contains(names, h) })
}

// pausing lends no jobs of paused handlers. It is safe for concurrent use.
type pausing struct {
	hook.Queue
	pauser hook.Pauser
	now    func() time.Time

	asking sync.Mutex               // one asks, others wait for the answer
	last   atomic.Pointer[pausedAt] // nil before the first answer
}

// pausedAt is what was paused at a time.
type pausedAt struct {
	names []string
	at    time.Time
}

// Claim implements hook.Queue. If the store cannot say what is paused, what it
// said last holds; before its first answer nothing is lent.
func (p *pausing) Claim(ctx context.Context, ask hook.Ask) ([]*hook.Job, error) {
	names, err := p.paused(ctx)
	if err != nil {
		return nil, err
	}
	if ask.Handlers = without(ask.Handlers, names); len(ask.Handlers) == 0 {
		return nil, nil
	}
	return p.Queue.Claim(ctx, ask)
}

// known is what is paused, if that was heard a moment ago.
func (p *pausing) known() (names []string, ok bool) {
	last := p.last.Load()
	if last == nil || p.now().Sub(last.at) >= pausedFor {
		return nil, false
	}
	return last.names, true
}

func (p *pausing) paused(ctx context.Context) ([]string, error) {
	if names, ok := p.known(); ok {
		return names, nil
	}
	p.asking.Lock()
	defer p.asking.Unlock()
	if names, ok := p.known(); ok {
		return names, nil
	}
	err := p.ask(ctx)
	last := p.last.Load()
	if last == nil {
		return nil, err
	}
	return last.names, nil
}

func (p *pausing) ask(ctx context.Context) error {
	now := p.now()
	all, err := p.pauser.Paused(ctx)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(all))
	for _, pause := range all {
		names = append(names, pause.Handler)
	}
	p.last.Store(&pausedAt{names, now})
	return nil
}

// run keeps what is known fresh, until ctx ends, so that whoever records need not
// ask. A failure is one of the store, and others tell of that.
func (p *pausing) run(ctx context.Context) {
	tick := time.NewTicker(pausedAsk)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.asking.Lock()
		_ = p.ask(ctx)
		p.asking.Unlock()
	}
}

// bulkReplays gets on with bulk replays until ctx ends. Every node that works does
// it: the store gives each step to one of them.
func (k *Keeper) bulkReplays(ctx context.Context) {
	bulk, ok := k.cfg.Store.(hook.BulkKeeper)
	if !ok {
		return
	}
	look := time.NewTicker(bulkLook)
	defer look.Stop()
	quiet := bulkQuiet
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		next := bulkLook
		for busy := true; busy && ctx.Err() == nil; {
			var err error
			if busy, err = bulk.StepBulk(ctx); err != nil && ctx.Err() == nil {
				k.cfg.Logger.Error("bulk replay not got on with, tried again", "error", err.Error())
				next = bulkRest
				break
			}
			if busy {
				next = bulkStep
				quiet = 0
				k.pool.Wake()
			}
		}
		if next == bulkLook && quiet < bulkQuiet { // the next step may be due in a moment
			quiet++
			next = bulkStep
		}
		look.Reset(next)
	}
}
