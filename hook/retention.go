package hook

import "time"

// Keep says how long something of a source is kept, from the time at which it was
// recorded. In a Retention zero means what holds for all sources, and there for
// ever; a negative time means for ever.
type Keep struct {
	Bodies     time.Duration // exact bytes of events whose work is over
	Hints      time.Duration // the same of hints; never longer than Bodies
	Rejections time.Duration // notes on refused deliveries, which are a ring besides
	Attempts   time.Duration // how each attempt went; that a job is done is kept with its key
	Keys       time.Duration // everything of an event, its key too: a later delivery is a new event
}

// Retention says what is kept how long. The audit trail, totals and whatever open
// or dead work, a quarantine or a hold needs are kept for ever.
type Retention struct {
	Keep                    // of all sources
	Sources map[string]Keep // of one, where it differs
}

// MinKeepKeys is the shortest time for which keys may be kept: longer than any
// sender tries again, or lets an event be sent anew.
const MinKeepKeys = 90 * 24 * time.Hour

// Of returns what holds for a source. Here zero means for ever.
func (r Retention) Of(source string) Keep {
	own := r.Sources[source]
	pick := func(own, all time.Duration) time.Duration {
		if own == 0 {
			own = all
		}
		return max(own, 0)
	}
	k := Keep{
		Bodies: pick(own.Bodies, r.Bodies), Hints: pick(own.Hints, r.Hints),
		Rejections: pick(own.Rejections, r.Rejections), Attempts: pick(own.Attempts, r.Attempts),
		Keys: pick(own.Keys, r.Keys),
	}
	if k.Bodies > 0 && (k.Hints == 0 || k.Hints > k.Bodies) {
		k.Hints = k.Bodies
	}
	return k
}

// Longest returns the time after which no source keeps a body any more, zero if
// one of them keeps bodies for ever.
func (r Retention) Longest() time.Duration {
	longest := time.Duration(0)
	all := []Keep{Retention{Keep: r.Keep}.Of("")}
	for name := range r.Sources {
		all = append(all, r.Of(name))
	}
	for _, k := range all {
		if k.Bodies == 0 || k.Hints == 0 {
			return 0
		}
		longest = max(longest, k.Bodies, k.Hints)
	}
	return longest
}

// TimeSigner is an optional ability of a Source. Only where the signature covers a
// time is a delivery refused once it is old, and so may its key be forgotten.
type TimeSigner interface {
	// SignsTime reports whether every delivery that verifies carries a signed time
	// which Verify has found to be near.
	SignsTime() bool
}
