//go:build hktest

package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is senders that deliver on and on, each event until it is acknowledged,
// and do not care which process answers them.
type crowd struct {
	kept
	to       string // address
	done     chan struct{}
	senders  sync.WaitGroup
	inFlight atomic.Int64
	turn     sync.Mutex
	refused  int   // guarded by turn: connections that nobody took
	silent   int   // guarded by turn: sent, and no answer
	shed     int   // guarded by turn: 503
	cause    error // guarded by turn: why one of silent had no answer
}

func newCrowd(senders int, to string, every time.Duration) *crowd {
	c := &crowd{to: to, done: make(chan struct{})}
	c.acknowledged = map[string]string{}
	for w := range senders {
		c.senders.Go(func() { c.deliver(w, every) })
	}
	return c
}

func (c *crowd) deliver(w int, every time.Duration) {
	s := &server{public: c.to, client: newClient()}
	defer s.client.CloseIdleConnections()
	pace := time.NewTicker(every + time.Duration(w)*time.Millisecond/4) // not all at one instant
	defer pace.Stop()
	for i := 0; ; i++ {
		key := fmt.Sprintf("evt_crowd_%d_%d", w, i)
		hk := ""
		if i%50 == 0 {
			hk = `{"slow_ms":50}`
		}
		body := stripeEvent(key, fmt.Sprintf("pi_%d_%d", w, i%5), hk)
		for acknowledged := false; !acknowledged; {
			select {
			case <-c.done:
				return
			case <-pace.C:
			}
			acknowledged = c.once(s, key, body)
		}
		if i%4 == 0 {
			c.once(s, key, body) // senders repeat themselves
		}
	}
}

// once delivers, and notes what a sender sees.
func (c *crowd) once(s *server, key string, body []byte) bool {
	c.inFlight.Add(1)
	a := s.send(stripe(body))
	c.inFlight.Add(-1)
	c.turn.Lock()
	defer c.turn.Unlock()
	var dial *net.OpError
	switch {
	case errors.As(a.err, &dial) && dial.Op == "dial":
		c.refused++
		return false
	case a.err != nil:
		c.silent++
		c.cause = a.err
		return false
	case a.code == http.StatusServiceUnavailable:
		c.shed++
	}
	return c.note(key, a)
}

// since gives what was counted, and counts anew.
func (c *crowd) since() (refused, silent, shed int) {
	c.turn.Lock()
	defer c.turn.Unlock()
	refused, silent, shed = c.refused, c.silent, c.shed
	c.refused, c.silent, c.shed = 0, 0, 0
	return refused, silent, shed
}

// flows waits for so many more acknowledged events.
func (c *crowd) flows(t *testing.T, more int) {
	t.Helper()
	before, _ := c.counts()
	eventually(t, 10*time.Second, "deliveries flow", func() bool {
		now, _ := c.counts()
		return now >= before+more
	})
}

// judgeEffects wants each acknowledged event to be there and
// done, with one effect, and nothing to have two.
func (c *crowd) judgeEffects(t *testing.T, s *server) {
	t.Helper()
	eventually(t, 60*time.Second, "everything is worked", func() bool {
		s.mustLive(t)
		_, text := s.get("http://" + s.operator + "/metrics")
		open := false
		for line := range strings.Lines(string(text)) {
			open = open || strings.HasPrefix(line, "hookkeeper_jobs{") && !strings.HasSuffix(strings.TrimSpace(line), " 0")
		}
		return len(text) > 0 && !open
	})
	effects := map[string]int{}
	for _, e := range s.effects(t) {
		effects[e.Key]++
	}
	twice, lost := 0, 0
	for _, n := range effects {
		if n > 1 {
			twice++
		}
	}
	for key := range c.acknowledged {
		if effects[key] == 0 {
			lost++
		}
	}
	if twice > 0 || lost > 0 {
		t.Errorf("of %d acknowledged events %d have no effect, %d have more than one", len(c.acknowledged), lost, twice)
	}
	rows := map[string]bool{}
	for _, l := range s.history(t) {
		if l.Kind != "event" {
			continue
		}
		rows[l.Key] = true
		if l.State != "done" || l.SHA256 != l.Recomputed {
			t.Errorf("event %s is %s, its bytes %s, recomputed %s", l.Key, l.State, l.SHA256, l.Recomputed)
		}
	}
	for key := range c.acknowledged {
		if !rows[key] {
			t.Errorf("acknowledged event %s has no row", key)
		}
	}
	if len(c.strange) > 0 {
		t.Errorf("%d answers are neither 200 nor 503 with Retry-After, such as %s", len(c.strange), c.strange[0])
	}
}

// socket is a listening socket that outlives every process that serves it.
func socket(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}

// terminate asks a server to stop and does not wait.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// judgeStop waits for the end of a server that was asked to stop, and wants it
// to have answered everything that it had begun.
func (s *server) judgeStop(t *testing.T, asked time.Time) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Fatalf("10 s after SIGTERM the server still runs\n%s", s.log.tail())
	}
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("the database is free %s after SIGTERM, want 3 s", took)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("after SIGTERM the exit code is %d\n%s", code, s.log.tail())
	}
	var last struct {
		Msg               string
		Handled, Answered int
	}
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"msg":"stopped"`) {
			_ = json.Unmarshal([]byte(line), &last) // nothing read is seen below
		}
	}
	if last.Handled == 0 || last.Handled != last.Answered {
		t.Errorf("the log says %d handled and %d answered\n%s", last.Handled, last.Answered, s.log.tail())
	}
	s.log.judge(t)
}

func TestThirtyRestartsUnderLoad(t *testing.T) {
	const restarts = 30
	public, to := socket(t)
	operator, _ := socket(t)
	o := options{database: filepath.Join(t.TempDir(), "hk.db"), sockets: []*os.File{public, operator}, level: "info"}
	s := start(t, o)
	c := newCrowd(16, to, 20*time.Millisecond)
	c.flows(t, 100)
	var hit, refusals, silent, shed, worst int
	var gaps []time.Duration
	for i := range restarts {
		c.since()
		next := launch(t, o) // it waits for the database
		hit += int(c.inFlight.Load())
		asked := time.Now()
		s.terminate(t)
		s.judgeStop(t, asked)
		next.awaitListening(t)
		gaps = append(gaps, time.Since(asked))
		c.flows(t, 50)
		refused, unanswered, turnedAway := c.since()
		if refused > 0 || unanswered > 3 {
			t.Errorf("restart %d: %d connections refused, %d deliveries unanswered, want 0 and at most 3: %v", i, refused, unanswered, c.cause)
		}
		refusals, silent, shed, worst = refusals+refused, silent+unanswered, shed+turnedAway, max(worst, unanswered)
		s = next
	}
	close(c.done)
	c.senders.Wait()
	acknowledged, _ := c.counts()
	slices.Sort(gaps)
	t.Logf("%d restarts, %d deliveries in flight at the signals: %d acknowledged, %d refused, %d unanswered (at most %d "+
		"a restart), %d answered 503; SIGTERM to the next process serving: median %s, worst %s",
		restarts, hit, acknowledged, refusals, silent, worst, shed,
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
	if hit == 0 {
		t.Error("inconclusive: no delivery was in flight at any SIGTERM")
	}
	s.awaitReady(t)
	s.balances(t)
	c.judgeEffects(t, s)
	s.stop(t)
}

// The same without sockets that outlive the process: then connections are
// refused for a moment, but nothing more.
func TestRestartsWithoutHandingOver(t *testing.T) {
	t.Parallel()
	s := start(t, options{level: "info"})
	o := options{database: s.path, listen: [2]string{s.public, s.operator}, level: "info"}
	c := newCrowd(8, s.public, 20*time.Millisecond)
	c.flows(t, 50)
	for i := range 4 {
		c.since()
		asked := time.Now()
		s.terminate(t)
		s.judgeStop(t, asked)
		s = launch(t, o)
		s.awaitReady(t)
		c.flows(t, 50)
		refused, unanswered, shed := c.since()
		t.Logf("restart %d: %d refused, %d unanswered, %d answered 503", i, refused, unanswered, shed)
	}
	close(c.done)
	c.senders.Wait()
	c.judgeEffects(t, s)
	s.stop(t)
}

func TestSecondSIGTERMEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := launch(t, options{})
	s.awaitReady(t)
	id := s.recorded(t, stripe(stripeEvent("evt_stuck", defaultSubject, `{"hang":true}`))).Event
	s.reaches(t, id, "running")
	s.terminate(t)
	eventually(t, 5*time.Second, "the first SIGTERM is heard", func() bool {
		return strings.Contains(s.log.String(), `"msg":"stopping"`)
	})
	began := time.Now()
	s.terminate(t)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("10 s after the second SIGTERM the server still runs")
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("the second SIGTERM takes %s, want at once", took)
	}
	again := start(t, options{database: s.path})
	again.duplicate(t, stripe(stripeEvent("evt_stuck", defaultSubject, `{"hang":true}`)))
}

// A stop that comes before the server is there is a stop, not an error: while
// it waits for the database, and at any moment of a start.
func TestSIGTERMDuringStart(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	waiting := launch(t, options{database: s.path})
	eventually(t, 5*time.Second, "the second process waits", func() bool { return opens(waiting, s.path+".lock") })
	began := time.Now()
	waiting.terminate(t)
	select {
	case <-waiting.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("10 s after SIGTERM the waiting process still runs")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("SIGTERM takes %s while waiting for the database, want under a second", took)
	}
	if code := waiting.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("stopped while waiting the exit code is %d, want 0\n%s", code, waiting.log)
	}
	s.recorded(t, stripe(stripeEvent("evt_beside", defaultSubject, "")))
	s.stop(t)

	ends := map[string]int{}
	for i := range 12 {
		young := launch(t, options{database: s.path})
		moment := time.NewTimer(time.Duration(i) * 4 * time.Millisecond)
		<-moment.C
		young.terminate(t)
		select {
		case <-young.ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("10 s after SIGTERM at its start the server still runs\n%s", young.log)
		}
		// Before the program listens to signals the kernel ends it.
		if state := young.cmd.ProcessState; state.ExitCode() != 0 && !killedBy(state, syscall.SIGTERM) {
			t.Errorf("SIGTERM at a start: %v\n%s", state, young.log)
		}
		ends[young.cmd.ProcessState.String()]++
		young.log.judge(t)
	}
	t.Logf("SIGTERM 0 to 44 ms after a start: %v", ends)
	again := start(t, options{database: s.path})
	again.duplicate(t, stripe(stripeEvent("evt_beside", defaultSubject, "")))
}

func killedBy(state *os.ProcessState, sig syscall.Signal) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}

// opens tells whether the process has the file open.
func opens(s *server, path string) bool {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", s.cmd.Process.Pid, fd.Name())); err == nil && to == path {
			return true
		}
	}
	return false
}
