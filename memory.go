package hookkeeper

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	collector "runtime/metrics"
	"sync"

	"github.com/hookkeeper/hookkeeper/internal/ingest"
)

// MemoryLimit returns how many bytes this process may use: the smallest of
// GOMEMLIMIT, the limit of its control group, and the machine's memory. The
// default of Config.MaxBytesInFlight is an eighth of it.
func MemoryLimit() int64 { return ingest.MemoryLimit() }

const (
	// besideHeap is what the collector does not count: SQLite's page caches and
	// the bodies that are handed to it, its index of the log, the program itself.
	// A flood of bodies of 1 MiB takes 20 MiB of it.
	besideHeap = 32 << 20

	// roomyHeap is what the heap may grow to before it is collected, if that is not
	// too many times what lives: see percentOf.
	roomyHeap = 48 << 20

	// usualPercent is the collector's own rule: the heap may grow to twice what lives.
	usualPercent = 100
	mostPercent  = 400
)

// BoundHeap tells Go's collector when to work in a process that may use limit bytes,
// as MemoryLimit has them, and whose main work is a Keeper. The command line does so;
// a program with a heap of its own decides for itself. Before the kernel ends the
// process the collector works harder: left alone it lets the heap grow to twice what
// lives, which a small limit has no room for. And as long as there is room it rests:
// deliveries live for milliseconds, so that little lives and twice that is soon full
// again. GOMEMLIMIT and GOGC, where they are set, stand. Only the first call counts.
func BoundHeap(limit int64) { boundHeap.Do(func() { bindHeap(limit) }) }

var boundHeap sync.Once

func bindHeap(limit int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(heapOf(limit))
	}
	if os.Getenv("GOGC") == "" {
		afterCollection(heapRule(leastHeap(limit)))
	}
}

// leastHeap leaves most of a small limit to what lives.
func leastHeap(limit int64) uint64 { return uint64(min(roomyHeap, limit/4)) }

// heapRule sets, for the cycle that begins, how much may be added to what lives.
func heapRule(least uint64) func() {
	samples := []collector.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	percent := usualPercent
	return func() {
		collector.Read(samples)
		live := samples[0].Value.Uint64()
		p := percentOf(live, live+samples[1].Value.Uint64()+samples[2].Value.Uint64(), least)
		// Setting it stops the world for some microseconds: not for every small change.
		if p < percent || p > percent*5/4 {
			percent = p
			debug.SetGCPercent(p)
		}
	}
}

// percentOf lets a heap of so many live bytes grow to least, and always by the usual
// percentage. The collector takes it of what it scans: the stacks and the variables
// of the program too. Never more than the most: a heap may begin to live between two
// cycles.
func percentOf(live, scanned, least uint64) int {
	room := least - min(live, least)
	return int(min(max(room*100/max(scanned, 1), usualPercent), mostPercent))
}

// afterCollection calls f now and after each collection, for as long as the process
// lives: an object that nothing refers to is cleaned up once a cycle.
func afterCollection(f func()) {
	f()
	type cycle struct{ _ *int } // with a pointer: without one it would share its block
	runtime.AddCleanup(&cycle{}, afterCollection, f)
}

func heapOf(limit int64) int64 { return max(limit-max(besideHeap, limit/10), limit/2) }
