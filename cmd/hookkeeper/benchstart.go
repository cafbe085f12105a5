package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// benchNode is one measured server, a process of its own: the generator must not
// take from the limit that it is compared with.
type benchNode struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	addr    string
	dead    bool
}

// benchNodes share one database.
type benchNodes []*benchNode

// start begins as many servers as there are nodes. What it returns must be killed
// also after an error.
func (b *benching) start(ctx context.Context, m measurement, kind string, database *benchDatabase) (benchNodes, error) {
	var nodes benchNodes
	for i := range b.cmd.Nodes {
		args := []string{"bench", "--child", benchStore, "--node", fmt.Sprintf("bench-%d", i+1), "--handlers", strconv.Itoa(m.handlers)}
		if kind == benchLimit {
			args[2] = benchLimit
		}
		if m.single {
			args = append(args, "--single")
		}
		if !m.work {
			args = append(args, "--idle")
		}
		n, err := startBenchNode(ctx, database.url, args)
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func startBenchNode(ctx context.Context, database string, args []string) (*benchNode, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &benchNode{process: exec.CommandContext(ctx, self, args...)}
	n.process.Env = append(os.Environ(), "HOOKKEEPER_DATABASE="+database) // not an argument: it may hold a password
	n.process.Stderr = os.Stderr
	// A session of its own: a kernel that shares the CPU out by session then gives
	// the server as much as the generator, or as a process of the database.
	n.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if n.stdin, err = n.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := n.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.stdout = bufio.NewReader(out)
	if err := n.process.Start(); err != nil {
		return nil, err
	}
	addr, err := n.stdout.ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the measured server did not start"), n.process.Wait())
	}
	n.addr = strings.TrimSpace(addr)
	return n, nil
}

func (nodes benchNodes) addresses() []string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.addr
	}
	return all
}

// drain waits until no job is left; any node sees those of all.
func (nodes benchNodes) drain() error {
	if _, err := io.WriteString(nodes[0].stdin, "drain\n"); err != nil {
		return err
	}
	line, err := nodes[0].stdout.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the measured server said nothing: %w", err)
	}
	if line != "drained\n" {
		return fmt.Errorf("the measured server could not work to the end: %s", strings.TrimSpace(line))
	}
	return nil
}

// peakMiB is the largest that one of the servers has been.
func (nodes benchNodes) peakMiB() float64 {
	var peak int64
	for _, n := range nodes {
		peak = max(peak, peakKiB(fmt.Sprintf("/proc/%d/status", n.process.Process.Pid)))
	}
	return float64(peak) / 1024
}

func (nodes benchNodes) kill() {
	for _, n := range nodes {
		if !n.dead {
			n.dead = true
			_ = n.process.Process.Kill() // it may have ended by itself
			_ = n.process.Wait()         // by a kill
		}
	}
}

// peakKiB reads the largest resident size of a process. Not getrusage: what that
// reports begins with the size of the process that started it.
func peakKiB(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n
		}
	}
	return 0
}
