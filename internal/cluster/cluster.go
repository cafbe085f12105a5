// Package cluster is PostgreSQL under torture: a cluster of our own that may be
// stopped and frozen, and databases of our own on any server.
//
// It promises to touch nothing that it did not make: a cluster lives in a new
// folder and ends with the program that started it, a database has a new name
// and is dropped. It refuses to stop, freeze or clear a server that is not its
// own: for such a one there is only [Own].
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a PostgreSQL server of our own on loopback. Its methods are for one
// goroutine.
type Cluster struct {
	dir, bin string
	port     int
	as       *syscall.Credential // nil: as ourselves
	server   *exec.Cmd
	ended    chan struct{}
}

const (
	superuser   = "postgres"
	startWithin = 30 * time.Second
	endWithin   = 20 * time.Second
)

// ErrMissing says that the programs of PostgreSQL are not on this machine.
var ErrMissing = errors.New("no PostgreSQL programs: install the package postgresql, or name a server with its URL")

// Start makes a new cluster in a temporary folder and starts it. PostgreSQL
// refuses to run as root: for root it runs as the user postgres. Settings are
// lines of postgresql.conf that take the place of ours. ErrMissing if its programs
// are not found.
func Start(ctx context.Context, settings ...string) (*Cluster, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hookkeeper-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: bin, as: as}
	if err := c.create(ctx, settings); err != nil {
		return nil, errors.Join(fmt.Errorf("make a PostgreSQL cluster: %w", err), os.RemoveAll(dir))
	}
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// programs finds the newest initdb and postgres.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", ErrMissing
		}
		return filepath.Dir(path), nil
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // what is no number is oldest
	return n
}

// create runs initdb and writes the settings. The port stands in the file, so
// that a restart comes up where the clients look.
func (c *Cluster) create(ctx context.Context, settings []string) error {
	if c.as != nil {
		if err := os.Chown(c.dir, int(c.as.Uid), int(c.as.Gid)); err != nil {
			return err
		}
	}
	data := c.data()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), "-D", data, "-U", superuser, "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(text)))
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	c.port = port
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n"+
		"shared_buffers = 32MB\nmax_connections = 100\nlogging_collector = off\n"+
		// Deadlocks are to be seen before a client's own lock_timeout breaks them.
		"deadlock_timeout = 100ms\n%s\n", port, c.dir, strings.Join(settings, "\n")) // the last line of a name counts
	return errors.Join(err, f.Close())
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// freePort finds a port below those that the kernel gives to clients: while the
// server is away no client may sit on it.
func freePort() (int, error) {
	const lowest, ports = 15000, 4000
	first := os.Getpid() * 7 % ports
	for i := range ports {
		port := lowest + (first+i)%ports
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port between %d and %d on loopback", lowest, lowest+ports)
}

// Start starts a stopped cluster and waits until it takes connections, which
// after StopImmediate includes its recovery.
func (c *Cluster) Start(ctx context.Context) error {
	log, err := os.OpenFile(c.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own descriptor
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = endsWithUs(c.as)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(ended)
	}()
	c.server, c.ended = cmd, ended
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL(superuser))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ended:
			return fmt.Errorf("PostgreSQL ended at its start; its last lines:\n%s", c.lastLines())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL took no connection within %s: %v; its last lines:\n%s", startWithin, err, c.lastLines())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is the address of a database of the cluster, for its superuser.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", superuser, c.port, database)
}

// Log is the path of the server's log. It goes on over restarts.
func (c *Cluster) Log() string { return filepath.Join(c.dir, "server.log") }

// Deadlocks counts the deadlocks that the server has logged.
func (c *Cluster) Deadlocks() (int, error) {
	text, err := os.ReadFile(c.Log())
	return strings.Count(string(text), "deadlock detected"), err
}

func (c *Cluster) lastLines() string {
	text, err := os.ReadFile(c.Log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// StopImmediate ends the server as a crash does, like pg_ctl stop -m immediate:
// no checkpoint, no word to its clients but the end.
func (c *Cluster) StopImmediate() error { return c.end(syscall.SIGQUIT) }

func (c *Cluster) end(s syscall.Signal) error {
	if c.server == nil {
		return nil
	}
	if err := c.server.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-c.ended:
	case <-time.After(endWithin):
		return errors.Join(fmt.Errorf("PostgreSQL did not end within %s", endWithin), c.server.Process.Kill())
	}
	c.server = nil
	return nil
}

// Freeze stops the postmaster and all its backends in mid-step: connections
// stay open and nothing answers, also no new one.
func (c *Cluster) Freeze() error { return c.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (c *Cluster) Thaw() error { return c.signalAll(syscall.SIGCONT) }

// Processes are the ids of the running server's: the postmaster's, then those of
// what it has started.
func (c *Cluster) Processes() ([]int, error) {
	if c.server == nil {
		return nil, errors.New("PostgreSQL is not running")
	}
	pid := c.server.Process.Pid
	children, err := childrenOf(pid)
	return append([]int{pid}, children...), err
}

// signalAll begins with the postmaster, so that no backend is born meanwhile.
func (c *Cluster) signalAll(s syscall.Signal) error {
	if c.server == nil {
		return errors.New("PostgreSQL is not running")
	}
	if err := syscall.Kill(c.server.Process.Pid, s); err != nil {
		return fmt.Errorf("signal PostgreSQL: %w", err)
	}
	all, err := c.Processes()
	if err != nil {
		return err
	}
	for _, child := range all[1:] {
		// ESRCH: it has ended by itself.
		if err := syscall.Kill(child, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal a backend of PostgreSQL: %w", err)
		}
	}
	return nil
}

// Close ends the server and removes its folder.
func (c *Cluster) Close() error {
	var thawed error
	if c.server != nil {
		thawed = c.Thaw() // what is frozen cannot end
	}
	return errors.Join(thawed, c.end(syscall.SIGQUIT), os.RemoveAll(c.dir))
}
