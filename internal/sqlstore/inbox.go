package sqlstore

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// MaxBatchBytes bounds the deliveries of one transaction.
const MaxBatchBytes = 4 << 20

// Incoming is a delivery that waits for the commit of its batch.
type Incoming struct {
	entry *Entry
	done  chan error  // buffered: the writer never waits for a reader
	gone  atomic.Bool // nobody waits any more; it need not be written
}

// NewIncoming returns e as one that waits.
func NewIncoming(e *Entry) *Incoming { return &Incoming{entry: e, done: make(chan error, 1)} }

// Wait returns the receipt, and the jobs that were lent, once the batch has been answered. After limit it gives
// up, as the sender is about to: the row may exist.
func (p *Incoming) Wait(limit time.Duration) (hook.Receipt, []*hook.Job, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case err := <-p.done:
		if err != nil {
			return hook.Receipt{}, nil, fmt.Errorf("record: %w", err)
		}
		return p.entry.Receipt, p.entry.Lent, nil
	case <-timeout.C:
		p.gone.Store(true)
		return hook.Receipt{}, nil, fmt.Errorf("record: no commit within %s; the row may exist", limit)
	}
}

// Answer tells whoever waits how the batch ended: after its commit, never before.
func (p *Incoming) Answer(err error) { p.done <- err }

// Gather takes what waits already behind first, up to so many deliveries and
// MaxBatchBytes, and leaves out those for whom nobody waits any more.
func Gather(waiting <-chan *Incoming, first *Incoming, most int) []*Incoming {
	batch, _ := collect(waiting, []*Incoming{first}, most)
	return live(batch)
}

// collect adds what waits to a batch, and says whether there is no room for more.
func collect(waiting <-chan *Incoming, batch []*Incoming, most int) (_ []*Incoming, full bool) {
	size := 0
	for _, p := range batch {
		size += p.entry.Bytes()
	}
	for len(batch) < most && size < MaxBatchBytes {
		select {
		case p := <-waiting:
			batch = append(batch, p)
			size += p.entry.Bytes()
		default:
			return batch, false
		}
	}
	return batch, true
}

// live leaves out those for whom nobody waits any more.
func live(batch []*Incoming) []*Incoming {
	return slices.DeleteFunc(batch, func(p *Incoming) bool { return p.gone.Load() })
}

// Entries are those of a batch.
func Entries(batch []*Incoming) []*Entry {
	entries := make([]*Entry, len(batch))
	for i, p := range batch {
		entries[i] = p.entry
	}
	return entries
}
