package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Sweeper calls the store's housekeeping regularly: it reads the database, not
// messages, so that nothing can be stuck unseen.
type Sweeper struct {
	Keeping hook.Keeping
	Rules   hook.SweepRules
	Every   time.Duration // between two sweeps
	Ledger  time.Duration // between two recomputations of the ledger
	Logger  *slog.Logger
	// Balance hears the result of each recomputation.
	Balance func(imbalance int)
}

// Run sweeps until ctx ends; the first sweep, with the ledger, is at once.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	var balanced time.Time
	for {
		rules := s.Rules
		if now := time.Now(); now.Sub(balanced) >= s.Ledger {
			rules.Ledger, balanced = true, now
		}
		s.sweep(ctx, rules)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sweeper) sweep(ctx context.Context, rules hook.SweepRules) {
	r, err := s.Keeping.Sweep(ctx, rules)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Error("sweep", "error", err)
		}
		return
	}
	if !r.Checked {
		return
	}
	s.Balance(r.Imbalance)
	if r.Imbalance != 0 {
		s.Logger.Error("alarm: the ledger does not balance: events recorded are not the events accounted for",
			"events", r.Imbalance)
	}
}
