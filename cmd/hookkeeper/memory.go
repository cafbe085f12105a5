package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What a server may use of its memory limit.
const (
	// besideHeap is what the collector does not count: SQLite's page caches, its
	// index of the log, the program itself.
	besideHeap = 24 << 20

	// perConnection is what a connection may cost beside its body: buffers, a
	// header of the largest size, a stack.
	perConnection = 64 << 10

	minConnections, maxConnections = 256, 4096

	// roomyHeap is what the heap may grow to before it is collected, if that is not
	// too many times what lives: see percentOf.
	roomyHeap = 48 << 20

	// usualPercent is the collector's own rule: the heap may grow to twice what lives.
	usualPercent = 100
	mostPercent  = 400
)

// boundHeap tells the collector when to work. Before the kernel kills us it works
// harder: by itself it lets the heap grow to twice what lives, which a small limit
// has no room for. And as long as there is room it rests: deliveries live for
// milliseconds, so that little lives and twice that is soon full again. Who has set
// GOMEMLIMIT or GOGC has decided otherwise.
func boundHeap(limit int64) {
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
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	percent := usualPercent
	return func() {
		metrics.Read(samples)
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

// connectionsOf is how many connections a listener may have open. A delivery
// takes milliseconds, so more than the most are a flood anyway.
func connectionsOf(limit int64) int {
	return int(min(max(limit/perConnection, minConnections), maxConnections))
}
