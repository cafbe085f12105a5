package source

import (
	"fmt"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// defaultTolerance is what Stripe's SDKs and Standard Webhooks use.
const defaultTolerance = 5 * time.Minute

// window bounds the distance between the signed time and now, past and future.
// A zero tolerance means no bound.
type window struct{ tolerance time.Duration }

// check refuses a signed time outside the window. now is cut to the unit of the
// signed time first, so that a delivery is valid through the whole last second.
// It is asked after the signature: the reasons about time then only speak of
// times that the sender did sign.
func (w window) check(now, signed time.Time, unit time.Duration) error {
	if w.tolerance == 0 {
		return nil
	}
	// Sub saturates, so a time at the end of the calendar stays far away.
	age := now.Truncate(unit).Sub(signed)
	if age > w.tolerance {
		return refuse(hook.ReasonTimestampTooOld, fmt.Sprintf("signed %s before the clock of this check, tolerance %s",
			age.Round(time.Second), w.tolerance))
	}
	if age < -w.tolerance {
		return refuse(hook.ReasonTimestampInFuture, fmt.Sprintf("signed %s ahead of the clock of this check, tolerance %s",
			(-age).Round(time.Second), w.tolerance))
	}
	return nil
}

// unixTime reads a time in whole units since 1970: digits only, no sign. Fifteen
// of them reach past the year 30,000 even in milliseconds.
func unixTime(text string, unit time.Duration) (time.Time, bool) {
	if len(text) == 0 || len(text) > 15 {
		return time.Time{}, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return time.Time{}, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if unit == time.Millisecond {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}
