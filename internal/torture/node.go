package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// node is one hookkeeper under test: a child process that comes and goes over
// the database of the run.
type node struct {
	number           int // from 1; 0 if it is the only one
	binary           string
	args             []string
	env              []string
	log              string // path
	public, operator string // addresses
	token            string
	client           *http.Client

	child *child
	total history.Metrics // of the children that have ended
}

// child is one life of a node.
type child struct {
	cmd     *exec.Cmd
	ended   chan struct{}
	err     error // after ended
	scraped history.Metrics
}

const (
	startWithin = 20 * time.Second
	endWithin   = 15 * time.Second
	askWithin   = 500 * time.Millisecond // for one question to the operator listener
)

func newNodes(o *Options, p *place) ([]*node, error) {
	addresses, err := freeAddresses(2 * o.Nodes)
	if err != nil {
		return nil, err
	}
	config := inDir(o.Dir, "hookkeeper.yaml")
	if err := os.WriteFile(config, []byte(configText(o)), 0o600); err != nil {
		return nil, err
	}
	var all []*node
	for i := range o.Nodes {
		n := &node{
			binary: o.Binary, args: o.Child, log: inDir(o.Dir, "server.log"),
			public: addresses[2*i], operator: addresses[2*i+1],
			token:  fmt.Sprintf("%x", digest([]byte("operator"), fmt.Sprint(o.Seed))),
			client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		}
		if o.Nodes > 1 {
			n.number, n.log = i+1, inDir(o.Dir, fmt.Sprintf("server-%d.log", i+1))
		}
		n.environment(o, p.urls[i], config)
		all = append(all, n)
	}
	return all, nil
}

func (n *node) environment(o *Options, database, config string) {
	n.env = append(baseEnv(),
		"HOOKKEEPER_DATABASE="+database,
		"HOOKKEEPER_LISTEN="+n.public,
		"HOOKKEEPER_OPERATOR_LISTEN="+n.operator,
		"HOOKKEEPER_OPERATOR_TOKEN="+n.token,
		"HOOKKEEPER_CONFIG="+config,
		secretEnv(sourceStripe)+"="+secretOf(sourceStripe, o.Seed),
		secretEnv(sourcePartner)+"="+secretOf(sourcePartner, o.Seed),
	)
	n.env = append(n.env, o.Env...)
	n.env = append(n.env, o.hooks()...)
}

func secretEnv(source string) string { return "TORTURE_SECRET_" + strings.ToUpper(source) }

// baseEnv is what a child gets of our own environment: no HOOKKEEPER_, no
// sender's secret and no test hook of the caller may change the run.
func baseEnv() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR", "GORACE", "GOMAXPROCS", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func configText(o *Options) string {
	return fmt.Sprintf(`sources:
  %s:
    sender: stripe
    secrets: ["env:%s"]
  %s:
    sender: standard-webhooks
    secrets: ["env:%s"]
work:
  lease: %s
  limit: %s
  slots: %d
  attempts: %d
  backoff:
    base: 20ms
    max: 200ms
  waiting: %s
`, sourceStripe, secretEnv(sourceStripe), sourcePartner, secretEnv(sourcePartner),
		o.Lease, o.Limit, o.Slots, o.Attempts, o.Waiting)
}

// freeAddresses finds free ports below those that the kernel gives to clients:
// our own senders must not take a port while the node is away.
func freeAddresses(count int) ([]string, error) {
	const lowest, highest = 20000, 32000
	var found []string
	at := lowest + rand.IntN(highest-lowest) // runs beside each other must not choose alike
	for range 1000 {
		at++
		if at >= highest {
			at = lowest
		}
		address := fmt.Sprintf("127.0.0.1:%d", at)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		if found = append(found, address); len(found) == count {
			return found, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d on loopback", count, lowest, highest)
}

// start begins a new life of the node. It does not wait for it to listen.
func (n *node) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.Command(n.binary, n.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, log, log
	isolate(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	n.child = c
	return nil
}

// ready waits until the node answers that it can record.
func (n *node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		if status, _ := n.ask(ctx, "http://"+n.public+"/readyz"); status == http.StatusOK {
			return nil
		}
		if err := n.alive(); err != nil {
			return err
		}
		if wait(ctx, 3*time.Millisecond) != nil {
			return fmt.Errorf("the node was not ready within %s; its last lines:\n%s", startWithin, n.lastLines())
		}
	}
}

// alive says why the node has ended by itself, which it never may.
func (n *node) alive() error {
	if n.child == nil {
		return nil
	}
	select {
	case <-n.child.ended:
		return fmt.Errorf("the node ended by itself: %v; its last lines:\n%s", n.child.err, n.lastLines())
	default:
		return nil
	}
}

func (n *node) lastLines() string {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// kill ends the present life with its process group, if there is one.
func (n *node) kill() {
	if n.child == nil {
		return
	}
	// ESRCH only says that it has ended already.
	_ = signalGroup(n.child.cmd, syscall.SIGKILL)
	<-n.child.ended
	n.buried()
}

// stop asks the node to drain and waits for its end.
func (n *node) stop(ctx context.Context) error {
	if err := signalGroup(n.child.cmd, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ask the node to end: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	select {
	case <-n.child.ended:
		err := n.child.err
		n.buried()
		if err != nil {
			return fmt.Errorf("the node ended badly after SIGTERM: %w; its last lines:\n%s", err, n.lastLines())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the node did not end within %s of SIGTERM", endWithin)
	}
}

// buried adds what the ended child told to the totals.
func (n *node) buried() {
	n.total = sum(n.total, n.child.scraped)
	n.child = nil
}

func (n *node) metrics() history.Metrics {
	if n.child != nil {
		return sum(n.total, n.child.scraped)
	}
	return n.total
}

func sum(a, b history.Metrics) history.Metrics {
	a.StaleFinishes += b.StaleFinishes
	a.LeasesTakenOver += b.LeasesTakenOver
	a.LedgerImbalance = max(a.LedgerImbalance, b.LedgerImbalance)
	a.RefusedConnections += b.RefusedConnections
	return a
}

// ask puts one question to the node; status 0 means that it did not answer.
func (n *node) ask(ctx context.Context, url string) (status int, text []byte) {
	return n.askFor(ctx, url, askWithin)
}

// askFor is ask with more patience.
func (n *node) askFor(ctx context.Context, url string, within time.Duration) (status int, text []byte) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	resp, err := n.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, text
}

// command runs the binary for an export, without mutant or failpoint, into a
// file.
func (n *node) command(ctx context.Context, path, database string, args ...string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	cmd := exec.CommandContext(ctx, n.binary, append(slices.Clone(args), "--database", database)...)
	var complaint strings.Builder
	cmd.Stdout, cmd.Stderr = out, &complaint
	for _, v := range n.env {
		if !hooked(v) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return nil
}
