// Package hooktest is for tests: ours, and those of programs that embed
// hookkeeper. [ExerciseStore] is the suite that every engine passes unchanged;
// [Clock] is a clock that moves when it is told to. It is never part of a
// program that serves.
package hooktest

import (
	"sync"
	"time"
)

// Clock is a clock for tests. The zero value is not ready: use NewClock.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// NewClock returns a clock that stands at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
