package toss

import (
	"sync"
	"time"
)

// maxBraked bounds what a brake remembers; beyond it the full ones are forgotten.
const maxBraked = 4096

// brake lets so many through in a time, for each key: a bucket of tokens that
// fills evenly.
type brake struct {
	most  float64
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newBrake(most int, every time.Duration, now func() time.Time) *brake {
	return &brake{most: float64(most), every: every, now: now, buckets: map[string]bucket{}}
}

// pass takes a token of key, or says that there is none.
func (b *brake) pass(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if len(b.buckets) >= maxBraked {
		b.forget(now)
	}
	one, ok := b.buckets[key]
	if !ok {
		one = bucket{b.most, now}
	}
	one.tokens = b.filled(one, now)
	one.at = now
	passed := one.tokens >= 1
	if passed {
		one.tokens--
	}
	b.buckets[key] = one
	return passed
}

func (b *brake) filled(one bucket, now time.Time) float64 {
	elapsed := max(now.Sub(one.at), 0)
	return min(b.most, one.tokens+b.most*float64(elapsed)/float64(b.every))
}

// forget drops what says nothing any more, and everything if that is not enough.
func (b *brake) forget(now time.Time) {
	for key, one := range b.buckets {
		if b.filled(one, now) >= b.most {
			delete(b.buckets, key)
		}
	}
	if len(b.buckets) >= maxBraked {
		clear(b.buckets)
	}
}
