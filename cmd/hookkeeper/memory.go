package main

import (
	"math"
	"runtime/debug"
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
)

// boundHeap makes the collector work harder before the kernel kills us: by
// itself it lets the heap grow to twice what lives, which a small limit has no
// room for. Who has set GOMEMLIMIT has decided otherwise.
func boundHeap(limit int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(heapOf(limit))
	}
}

func heapOf(limit int64) int64 { return max(limit-max(besideHeap, limit/10), limit/2) }

// connectionsOf is how many connections a listener may have open. A delivery
// takes milliseconds, so more than the most are a flood anyway.
func connectionsOf(limit int64) int {
	return int(min(max(limit/perConnection, minConnections), maxConnections))
}
