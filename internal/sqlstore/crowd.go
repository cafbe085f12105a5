package sqlstore

import (
	"sync"
	"time"
)

// A transaction costs about as much as ten deliveries in it, so two small ones side by
// side are slower than one after the other. While one batch is being written the next
// one gathers, and is written beside it only if it has become a crowd, or has waited
// for longer than the other should take: that one may be stuck behind a lock.
const (
	crowdSize = 24
	patience  = 10 * time.Millisecond
)

// Crowd gathers batches for several writers. Its zero value is ready for use.
type Crowd struct {
	mu      sync.Mutex
	writing int           // guarded by mu, as below: batches that are being written
	ended   chan struct{} // closed when one of them ends
}

// Gather returns a batch that is to be written now: first, and up to most deliveries
// that came behind it. Whoever has written it calls Done.
func (c *Crowd) Gather(waiting <-chan *Incoming, first *Incoming, most int) []*Incoming {
	batch, full := []*Incoming{first}, false
	var late <-chan time.Time
	for hurry := false; ; {
		batch, full = collect(waiting, batch, most)
		ended, begun := c.begin(hurry || full || len(batch) >= crowdSize)
		if begun {
			return live(batch)
		}
		if late == nil {
			late = time.After(patience)
		}
		select {
		case p := <-waiting:
			batch = append(batch, p)
		case <-ended:
		case <-late:
			hurry = true
		}
	}
}

// begin begins a batch if nobody writes, or if it must be. Else it returns what to
// wait for.
func (c *Crowd) begin(must bool) (ended <-chan struct{}, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = make(chan struct{})
	}
	if c.writing > 0 && !must {
		return c.ended, false
	}
	c.writing++
	return nil, true
}

// Done says that a batch has been written, or cannot be.
func (c *Crowd) Done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing--
	close(c.ended)
	c.ended = make(chan struct{})
}
