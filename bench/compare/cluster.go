package main

import (
	"context"
	"errors"
	"net"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/jackc/pgx/v5"
)

// startCluster starts a PostgreSQL server of our own in a CPU group of its own, as
// its package makes it: fsync on, no setting tuned but the number of connections.
func startCluster(ctx context.Context, groups *bench.Groups) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, "shared_buffers = 128MB", "deadlock_timeout = 1s", "max_connections = 200")
	if err != nil {
		return nil, err
	}
	all, err := c.Processes()
	if err != nil {
		all = nil // not Linux, and no groups either
	}
	for _, pid := range all {
		if err := groups.Put("database", pid); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// versionOf asks the server.
func versionOf(ctx context.Context, c *cluster.Cluster) (version string, err error) {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return "", err
	}
	err = conn.QueryRow(ctx, `SHOW server_version`).Scan(&version)
	return version, errors.Join(err, conn.Close(ctx))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
