package hookkeeper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	eraseLook = 2 * time.Second       // how often a node looks whether an erasure is due
	eraseStep = 20 * time.Millisecond // the same while one is going on
	eraseRest = 5 * time.Second       // after a failure
)

// checkRetention refuses rules that would make a late delivery a new event, or keep
// the parts of an event for longer than itself.
func (c *Config) checkRetention(add func(string, ...any)) {
	known := map[string]hook.Source{}
	for _, s := range c.Sources {
		known[s.Name()] = s
	}
	if c.Retention.Keys > 0 {
		add("retention: keys are kept for ever unless a source says otherwise: set it under sources")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Retention.Sources)) {
		if known[name] == nil {
			add("retention of source %.80q: there is no such source", name)
			continue
		}
		if err := CheckKeepKeys(known[name], c.Retention); err != nil {
			add("%v", err)
		}
	}
}

// CheckKeepKeys says why the keys of a source cannot be forgotten as the rules want,
// or nil. Keys are forgotten only where a delivery is refused once it is old: else
// one that comes late would be a new event.
func CheckKeepKeys(s hook.Source, r hook.Retention) error {
	keep, name := r.Of(s.Name()), s.Name()
	switch timed, _ := s.(hook.TimeSigner); {
	case keep.Keys == 0:
		return nil
	case timed == nil || !timed.SignsTime():
		return fmt.Errorf("retention of source %s: keys are kept for ever: its signatures cover no time, "+
			"so a delivery could be repeated after its key was forgotten: leave keys out", name)
	case keep.Keys < hook.MinKeepKeys:
		return fmt.Errorf("retention of source %s: keys: %s is too short: at least 90d, longer than senders try again", name, keep.Keys)
	}
	for _, part := range []struct {
		name string
		keep time.Duration
	}{{"bodies", keep.Bodies}, {"attempts", keep.Attempts}} {
		if part.keep == 0 || part.keep > keep.Keys {
			return fmt.Errorf("retention of source %s: keys: they are to go before %s: keep %s no longer than keys", name, part.name, part.name)
		}
	}
	return nil
}

// erasures gets on with erasures until ctx ends. Every node that works does it: the
// store gives each step to one of them.
func (k *Keeper) erasures(ctx context.Context) {
	eraser, ok := k.cfg.Store.(hook.ErasureKeeper)
	if !ok {
		return
	}
	look := time.NewTicker(eraseLook)
	defer look.Stop()
	for {
		busy, err := eraser.StepErasure(ctx, k.forget)
		next := eraseLook
		switch {
		case err != nil && ctx.Err() == nil:
			k.cfg.Logger.Error("erasure not got on with, tried again", "error", err.Error())
			next = eraseRest
		case busy:
			next = eraseStep
		}
		look.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// forget lets every department blank what it keeps of a customer.
func (k *Keeper) forget(ctx context.Context, tx hook.Tx, source, customer string) (rows int, err error) {
	for _, d := range k.cfg.Departments {
		if d.Erase == nil {
			continue
		}
		n, err := d.Erase(ctx, tx, source, customer)
		if err != nil {
			return 0, fmt.Errorf("department %s: %w", d.Name, err)
		}
		rows += n
	}
	return rows, nil
}
