package hookkeeper

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	pausedFor = time.Second            // how long what is paused is believed without asking the store
	bulkLook  = 250 * time.Millisecond // how often a node looks whether a bulk replay is due
	bulkStep  = 20 * time.Millisecond  // the same while one is going on
	bulkQuiet = 15                     // looks without a step after which none is going on
	bulkRest  = 5 * time.Second        // after a failure
)

// queue is the store's queue, or one that leaves out what operators have paused,
// where the store keeps that.
func (k *Keeper) queue() hook.Queue {
	pauser, ok := k.cfg.Store.(hook.Pauser)
	if !ok {
		return k.cfg.Store
	}
	return &pausing{Queue: k.cfg.Store, pauser: pauser, now: time.Now}
}

// pausing lends no jobs of paused handlers. It is safe for concurrent use.
type pausing struct {
	hook.Queue
	pauser hook.Pauser
	now    func() time.Time

	mu     sync.Mutex
	names  []string  // guarded by mu; paused handlers
	asked  time.Time // guarded by mu
	passes bool      // guarded by mu; an answer has been had
}

// Claim implements hook.Queue. If the store cannot say what is paused, what it
// said last holds; before its first answer nothing is lent.
func (p *pausing) Claim(ctx context.Context, ask hook.Ask) ([]*hook.Job, error) {
	names, err := p.paused(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		ask.Handlers = slices.DeleteFunc(slices.Clone(ask.Handlers), func(h string) bool { return slices.Contains(names, h) })
		if len(ask.Handlers) == 0 {
			return nil, nil
		}
	}
	return p.Queue.Claim(ctx, ask)
}

func (p *pausing) paused(ctx context.Context) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.passes && now.Sub(p.asked) < pausedFor {
		return p.names, nil
	}
	all, err := p.pauser.Paused(ctx)
	if err != nil {
		if p.passes {
			return p.names, nil
		}
		return nil, err
	}
	p.names, p.asked, p.passes = nil, now, true
	for _, pause := range all {
		p.names = append(p.names, pause.Handler)
	}
	return p.names, nil
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
