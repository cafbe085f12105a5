package forward

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a destination may ask for: it is the longest pause
// that the worker's own schedule has.
const maxRetryAfter = 12 * time.Hour

// retryAfter reads a Retry-After: seconds or a date. What cannot be read, or
// lies in the past, says nothing.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second, true
	}
	if strings.Trim(text, "0123456789") == "" && text != "" {
		return maxRetryAfter, true // more digits than a number has
	}
	at, err := http.ParseTime(text)
	if err != nil || !at.After(now) {
		return 0, false
	}
	return min(at.Sub(now), maxRetryAfter), true
}

// patience is the least pause after so many failures, whatever Retry-After says:
// a destination that asks for a second each time, for an hour, must not use up
// the attempts of its jobs in a minute.
func patience(failed int) time.Duration {
	if failed < 1 {
		return 0
	}
	return min(time.Second<<min(failed, 20), time.Hour)
}
