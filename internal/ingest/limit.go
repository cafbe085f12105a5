package ingest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Budget bounds the bytes of all bodies that are being read or recorded.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a Budget of max bytes.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Used returns the bytes that are set aside now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) free(n int64) { b.used.Add(-n) }

// bucket is a token bucket that holds one second's worth.
type bucket struct {
	rate float64

	mu   sync.Mutex
	have float64   // guarded by mu
	at   time.Time // guarded by mu
}

func newBucket(rate float64) *bucket { return &bucket{rate: rate, have: max(rate, 1)} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() {
		b.have = min(b.have+now.Sub(b.at).Seconds()*b.rate, max(b.rate, 1))
	}
	b.at = now
	if b.have < 1 {
		return false
	}
	b.have--
	return true
}
