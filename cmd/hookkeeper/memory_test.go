package main

import "testing"

func TestConnectionsFitIntoTheMemory(t *testing.T) {
	for limit, want := range map[int64]int{1: 256, 32 << 20: 512, 64 << 20: 1024, 256 << 20: 4096, 16 << 30: 4096} {
		if got := connectionsOf(limit); got != want {
			t.Errorf("with %d bytes there are %d connections, want %d", limit, got, want)
		}
	}
}
