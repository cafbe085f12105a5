package main

const (
	// perConnection is what a connection may cost beside its body: buffers, a
	// header of the largest size, a stack.
	perConnection = 64 << 10

	minConnections, maxConnections = 256, 4096
)

// connectionsOf is how many connections a listener may have open. A delivery
// takes milliseconds, so more than the most are a flood anyway.
func connectionsOf(limit int64) int {
	return int(min(max(limit/perConnection, minConnections), maxConnections))
}
