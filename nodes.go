package hookkeeper

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// NodeRole is what one process of several that share a database does.
type NodeRole string

// The roles of a node; several of them, and any number of nodes with each.
const (
	RoleReceive NodeRole = "receive" // takes deliveries and serves the pages of departments
	RoleWork    NodeRole = "work"    // works jobs and duties, and sweeps
	RoleOperate NodeRole = "operate" // answers operators; every node serves its metrics
)

// AllRoles are the roles of a node that is configured with none.
func AllRoles() []NodeRole { return []NodeRole{RoleReceive, RoleWork, RoleOperate} }

func (c *Config) has(role NodeRole) bool { return slices.Contains(c.Roles, role) }

// beatEvery is how often a node says that it is there and reads the routes of the
// others, whose events it makes jobs for.
const beatEvery = 3 * time.Second

// neighbours keeps this node known to the others, and their routes known here.
type neighbours struct {
	keeper hook.NodeKeeper // nil: there are no others
	routes atomic.Pointer[[]hook.Route]
}

// beat is one round. What fails is tried again at the next: until then the
// routes that were read last hold, and the sweep adds what jobs were missed.
func (n *neighbours) beat(ctx context.Context, me hook.NodeInfo) error {
	if n.keeper == nil {
		return nil
	}
	if err := n.keeper.Beat(ctx, me); err != nil {
		return err
	}
	routes, err := n.keeper.Routes(ctx)
	if err != nil {
		return err
	}
	n.routes.Store(&routes)
	return nil
}

// others are the routes that only other nodes have.
func (n *neighbours) others() []hook.Route {
	if routes := n.routes.Load(); routes != nil {
		return *routes
	}
	return nil
}

// me is this node as the others see it.
func (k *Keeper) me() hook.NodeInfo {
	info := hook.NodeInfo{Name: k.cfg.Node, StartedAt: k.started}
	for _, role := range k.cfg.Roles {
		info.Roles = append(info.Roles, string(role))
	}
	if k.cfg.has(RoleWork) {
		for i := range k.cfg.Handlers {
			info.Handlers = append(info.Handlers, k.cfg.Handlers[i].Name)
		}
	}
	return info
}

// beats keeps on until ctx ends. A failure is logged once, until a round
// succeeds.
func (k *Keeper) beats(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	failing := false
	for {
		err := k.neighbours.beat(ctx, k.me())
		if err != nil && ctx.Err() == nil && !failing {
			k.cfg.Logger.Error("say that this node is there", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// A database that is cut off for a moment at the start must not end the node.
const (
	startTries = 10
	startPause = 500 * time.Millisecond
)

// persist tries again what may be repeated, for a few seconds.
func persist(ctx context.Context, do func() error) (err error) {
	for try := range startTries {
		if try > 0 {
			pause := time.NewTimer(startPause)
			select {
			case <-ctx.Done():
				pause.Stop()
				return err
			case <-pause.C:
			}
		}
		if err = do(); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
