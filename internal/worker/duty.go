package worker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Duties runs work that comes round by the clock, each on one node at a time.
type Duties struct {
	All    []hook.Duty
	Turns  hook.TurnKeeper // nil: this process is the only one
	Logger *slog.Logger
	Grace  time.Duration // for a duty to heed the end of its context
}

// Run does every duty at its turns until ctx ends, and returns when all have
// ended or their grace is over.
func (d *Duties) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, duty := range d.All {
		all.Go(func() { d.rounds(ctx, duty) })
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		close(ended)
	}()
	<-ctx.Done()
	grace := time.NewTimer(d.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		d.Logger.Error("a duty does not heed its end and is left behind")
	}
}

// rounds asks for the turn a little more often than it comes, so that another
// node's end does not cost a whole round.
func (d *Duties) rounds(ctx context.Context, duty hook.Duty) {
	ask := duty.Every
	if d.Turns != nil {
		ask = max(duty.Every/4, time.Second)
	}
	ask = min(ask, duty.Every)
	tick := time.NewTicker(ask)
	defer tick.Stop()
	failing := false
	for {
		failing = d.round(ctx, duty, failing)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round does the duty if it is our turn. What fails again and again is logged
// once, until it succeeds.
func (d *Duties) round(ctx context.Context, duty hook.Duty, failing bool) bool {
	mine, err := true, error(nil)
	if d.Turns != nil {
		// A tick that comes a little early must not miss its turn.
		mine, err = d.Turns.Turn(ctx, duty.Name, duty.Every-duty.Every/20)
	}
	if err == nil && mine {
		err = runDuty(ctx, duty)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && !failing:
		d.Logger.Error("duty", "duty", duty.Name, "error", err)
		return true
	case err == nil && mine && failing:
		d.Logger.Info("duty works again", "duty", duty.Name)
		return false
	}
	return failing
}

func runDuty(ctx context.Context, duty hook.Duty) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return duty.Run(ctx)
}
