package hook

import (
	"context"
	"time"
)

// NodeInfo is one process that works with a store.
type NodeInfo struct {
	Name      string    `json:"name"` // unique among those that run at the same time
	Roles     []string  `json:"roles"`
	Handlers  []string  `json:"handlers,omitempty"` // names of the routes that it works; not read back
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"` // by the store's clock
}

// NodeKeeper is an optional role of a store: the nodes that share it know of each
// other.
type NodeKeeper interface {
	// Beat says that the node is there, and keeps its routes. A node calls it at
	// its start and then every few seconds; a repeat only moves SeenAt.
	Beat(ctx context.Context, node NodeInfo) error
	// Nodes gives those that were seen within the last day, by name.
	Nodes(ctx context.Context) ([]NodeInfo, error)
	// Routes gives the routes of all nodes, without their handlers: a node that
	// only receives makes jobs for what the others work.
	Routes(ctx context.Context) ([]Route, error)
}
