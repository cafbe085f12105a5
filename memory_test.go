package hookkeeper

import (
	"runtime"
	"testing"
	"time"
)

func TestSmallMemoryLeavesRoomBesideTheHeap(t *testing.T) {
	for _, c := range []struct{ limit, heap int64 }{
		{1, 0},
		{32 << 20, 16 << 20},
		{64 << 20, 32 << 20},
		{128 << 20, 96 << 20},
		{512 << 20, 512<<20 - 512<<20/10},
		{16 << 30, 16<<30 - 16<<30/10},
	} {
		if got := heapOf(c.limit); got != c.heap {
			t.Errorf("of %d bytes the heap gets %d, want %d", c.limit, got, c.heap)
		}
	}
}

// While little lives the heap is filled to its least size before anything is
// collected, whatever else the collector scans; a heap that is full of what lives is
// collected as usual.
func TestTheCollectorRestsWhileThereIsRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name                 string
		live, scanned, least uint64
		percent              int
	}{
		{"an idle server", 4 * mib, 8 * mib, 48 * mib, 400},
		{"a busy one", 10 * mib, 12 * mib, 48 * mib, 316},
		{"many connections", 20 * mib, 28 * mib, 48 * mib, 100},
		{"more lives than the least", 60 * mib, 70 * mib, 48 * mib, 100},
		{"nothing is known yet", 0, 0, 48 * mib, 400},
	} {
		if got := percentOf(c.live, c.scanned, c.least); got != c.percent {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.percent)
		}
	}
	for limit, want := range map[int64]uint64{64 * mib: 16 * mib, 192 * mib: 48 * mib, 16 << 30: 48 * mib} {
		if got := leastHeap(limit); got != want {
			t.Errorf("with a limit of %d bytes the least heap is %d, want %d", limit, got, want)
		}
	}
}

// The rule is looked at anew after each collection, for as long as the process lives.
func TestEachCollectionIsFollowedByALook(t *testing.T) {
	calls := make(chan struct{}, 100)
	go afterCollection(func() {
		select {
		case calls <- struct{}{}:
		default: // the test is over
		}
	})
	<-calls // at once
	late := time.After(10 * time.Second)
	for range 5 {
		for looked := false; !looked; {
			runtime.GC() // the look before it may still be on its way to wait for the next
			select {
			case <-calls:
				looked = true
			case <-late:
				t.Fatal("collections were followed by nothing")
			default:
			}
		}
	}
}
