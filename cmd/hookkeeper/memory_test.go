package main

import "testing"

func TestSmallMemoryLeavesRoomBesideTheHeap(t *testing.T) {
	for _, c := range []struct {
		limit, heap int64
		connections int
	}{
		{1, 0, 256},
		{32 << 20, 16 << 20, 512},
		{64 << 20, 40 << 20, 1024},
		{256 << 20, 256<<20 - 256<<20/10, 4096},
		{16 << 30, 16<<30 - 16<<30/10, 4096},
	} {
		if got := heapOf(c.limit); got != c.heap {
			t.Errorf("of %d bytes the heap gets %d, want %d", c.limit, got, c.heap)
		}
		if got := connectionsOf(c.limit); got != c.connections {
			t.Errorf("with %d bytes there are %d connections, want %d", c.limit, got, c.connections)
		}
	}
}
