package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

// cluster is a PostgreSQL server of our own, as its package makes it: fsync on,
// no setting tuned but the number of connections.
type cluster struct {
	url     string
	version string

	bin  string
	data string
	as   *syscall.Credential // nil: as we are
}

// startCluster makes a cluster in the folder dir and starts it in a CPU group of
// its own. Its processes end with stop.
func startCluster(ctx context.Context, dir string, groups *bench.Groups) (*cluster, error) {
	c := &cluster{data: filepath.Join(dir, "data")}
	var err error
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := c.disguise(dir); err != nil {
		return nil, err
	}
	if _, err := c.command(ctx, "initdb", "-D", c.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	options := fmt.Sprintf("-p %d -k %s -c listen_addresses=127.0.0.1 -c max_connections=200", port, dir)
	_, err = c.command(ctx, "pg_ctl", "-D", c.data, "-l", filepath.Join(dir, "log"), "-w", "-t", "30", "-o", options, "start")
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	if err := c.group(groups); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	version, err := c.command(ctx, "postgres", "--version")
	c.version = strings.TrimPrefix(strings.TrimSpace(version), "postgres (PostgreSQL) ")
	c.url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	return c, err
}

// binaries finds the newest PostgreSQL of this machine.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // as Debian puts them
	if err != nil || len(found) == 0 {
		return "", errors.New("no initdb found: install PostgreSQL (Debian: postgresql) and try again")
	}
	slices.SortFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0: an odd name, and the oldest
	return n
}

// disguise makes root the user postgres, for the server refuses to run as root.
func (c *cluster) disguise(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // to be walked through
		return err
	}
	return os.Chown(dir, uid, gid)
}

func (c *cluster) command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Setsid: true}
	// Into a file: pg_ctl leaves its server behind, which would keep a pipe open.
	log, err := os.CreateTemp("", "hookkeeper-compare-")
	if err != nil {
		return "", err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	text, _ := os.ReadFile(log.Name()) // only to be shown
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return string(text), nil
}

// group moves the server and what it has started into a group.
func (c *cluster) group(groups *bench.Groups) error {
	text, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		children = nil // not Linux, and no groups either
	}
	for _, p := range append(strings.Fields(string(children)), first) {
		n, err := strconv.Atoi(p)
		if err != nil {
			return err
		}
		if err := groups.Put("database", n); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the server at once; nothing in it is needed any more.
func (c *cluster) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := os.Stat(filepath.Join(c.data, "postmaster.pid")); err != nil {
		return nil // it never ran
	}
	_, err := c.command(ctx, "pg_ctl", "-D", c.data, "-w", "-m", "immediate", "stop")
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
