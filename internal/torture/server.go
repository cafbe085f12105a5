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
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// server is the hookkeeper under test: a child process that comes and goes over
// one database.
type server struct {
	binary           string
	env              []string
	database         string // path
	log              string // path
	public, operator string // addresses
	token            string
	client           *http.Client

	child *child
	total history.Metrics // of the children that have ended
}

// child is one life of the server.
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

func newServer(o Options) (*server, error) {
	s := &server{
		binary: o.Binary, database: inDir(o.Dir, "hookkeeper.db"), log: inDir(o.Dir, "server.log"),
		token:  fmt.Sprintf("%x", digest([]byte("operator"), fmt.Sprint(o.Seed))),
		client: &http.Client{Timeout: askWithin, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	var err error
	if s.public, s.operator, err = twoAddresses(); err != nil {
		return nil, err
	}
	config := inDir(o.Dir, "hookkeeper.yaml")
	if err := os.WriteFile(config, []byte(configText(o)), 0o600); err != nil {
		return nil, err
	}
	s.env = append(s.env, baseEnv()...)
	s.env = append(s.env,
		"HOOKKEEPER_DATABASE=sqlite:"+s.database,
		"HOOKKEEPER_LISTEN="+s.public,
		"HOOKKEEPER_OPERATOR_LISTEN="+s.operator,
		"HOOKKEEPER_OPERATOR_TOKEN="+s.token,
		"HOOKKEEPER_CONFIG="+config,
		secretEnv(sourceStripe)+"="+secretOf(sourceStripe, o.Seed),
		secretEnv(sourcePartner)+"="+secretOf(sourcePartner, o.Seed),
	)
	s.env = append(s.env, o.Env...)
	if o.Mutant != "" {
		s.env = append(s.env, "HK_MUTANT="+o.Mutant)
	}
	if o.Failpoint != "" {
		s.env = append(s.env, "HK_FAILPOINT="+o.Failpoint)
	}
	return s, nil
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

func configText(o Options) string {
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

// twoAddresses finds two free ports below those that the kernel gives to
// clients: our own senders must not take a port while the server is away.
func twoAddresses() (string, string, error) {
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
		if found = append(found, address); len(found) == 2 {
			return found[0], found[1], nil
		}
	}
	return "", "", fmt.Errorf("no two free ports between %d and %d on loopback", lowest, highest)
}

// start begins a new life of the server. It does not wait for it to listen.
func (s *server) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.Command(s.binary, "serve")
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, log, log
	isolate(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	s.child = c
	return nil
}

// ready waits until the server answers that it can record.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		if status, _ := s.ask(ctx, "http://"+s.public+"/readyz"); status == http.StatusOK {
			return nil
		}
		if err := s.alive(); err != nil {
			return err
		}
		if wait(ctx, 3*time.Millisecond) != nil {
			return fmt.Errorf("the server was not ready within %s; its last lines:\n%s", startWithin, s.lastLines())
		}
	}
}

// alive says why the server has ended by itself, which it never may.
func (s *server) alive() error {
	select {
	case <-s.child.ended:
		return fmt.Errorf("the server ended by itself: %v; its last lines:\n%s", s.child.err, s.lastLines())
	default:
		return nil
	}
}

func (s *server) lastLines() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// kill ends the present life with its process group, if there is one.
func (s *server) kill() {
	if s.child == nil {
		return
	}
	// ESRCH only says that it has ended already.
	_ = signalGroup(s.child.cmd, syscall.SIGKILL)
	<-s.child.ended
	s.buried()
}

// stop asks the server to drain and waits for its end.
func (s *server) stop(ctx context.Context) error {
	if err := signalGroup(s.child.cmd, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ask the server to end: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	select {
	case <-s.child.ended:
		err := s.child.err
		s.buried()
		if err != nil {
			return fmt.Errorf("the server ended badly after SIGTERM: %w; its last lines:\n%s", err, s.lastLines())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the server did not end within %s of SIGTERM", endWithin)
	}
}

// buried adds what the ended child told to the totals.
func (s *server) buried() {
	s.total = sum(s.total, s.child.scraped)
	s.child = nil
}

func (s *server) metrics() history.Metrics {
	if s.child != nil {
		return sum(s.total, s.child.scraped)
	}
	return s.total
}

func sum(a, b history.Metrics) history.Metrics {
	a.StaleFinishes += b.StaleFinishes
	a.LeasesTakenOver += b.LeasesTakenOver
	a.LedgerImbalance = max(a.LedgerImbalance, b.LedgerImbalance)
	return a
}

// ask puts one question to the server; status 0 means that it did not answer.
func (s *server) ask(ctx context.Context, url string) (status int, text []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
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
func (s *server) command(ctx context.Context, path string, args ...string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	args = append(args, "--database", "sqlite:"+s.database)
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var complaint strings.Builder
	cmd.Stdout, cmd.Stderr = out, &complaint
	for _, v := range s.env {
		if !strings.HasPrefix(v, "HK_MUTANT=") && !strings.HasPrefix(v, "HK_FAILPOINT=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return nil
}
