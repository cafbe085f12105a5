package torture

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

const (
	lookEvery = 250 * time.Millisecond
	// answersDue is when a node that has lost its database must have noticed:
	// by then a delivery would have to be answered.
	answersDue = 5 * time.Second
	// backWithin is how long senders may wait for a first 200 once the database
	// is back. Later is not found out: the run ends.
	backWithin = 60 * time.Second
	// liveWithin is how long a node may take to say that it lives.
	liveWithin = 3 * time.Second
	// metricsWithin is how long metrics may take that stand in a database which
	// does not answer.
	metricsWithin = 5 * time.Second
)

// outage takes the database away, watches the nodes meanwhile and gives it back.
func (s *siege) outage(ctx context.Context, f *history.Fault) error {
	take, give := s.place.server.StopImmediate, s.place.server.Start
	if f.Kind == history.FaultDatabaseFreeze {
		take = s.place.server.Freeze
		give = func(context.Context) error { return s.place.server.Thaw() }
	}
	f.At, f.Away = time.Now(), &history.Away{}
	if err := take(); err != nil {
		return err
	}
	for time.Since(f.At) < s.opt.Outage {
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
		s.look(ctx, f)
		if err := s.alive(); err != nil {
			return err
		}
	}
	if err := give(ctx); err != nil {
		return err
	}
	f.Until = time.Now()
	// The gate is opened a little, or with nobody waiting nobody would be
	// acknowledged.
	s.opened = min(float64(s.opt.Events), s.opened+float64(s.opt.Senders))
	s.flood.gate.raise(int(s.opened))
	for {
		if first := time.Unix(0, s.flood.acked.Load()); first.After(f.Until) {
			f.Away.AckAfterMS = first.Sub(f.Until).Milliseconds()
			return nil
		}
		if time.Since(f.Until) > backWithin {
			return fmt.Errorf("%s after the database was back no delivery had been acknowledged", backWithin)
		}
		if err := wait(ctx, time.Millisecond); err != nil {
			return err
		}
		if err := s.alive(); err != nil {
			return err
		}
	}
}

// look notes what the nodes say and use while their database is away.
func (s *siege) look(ctx context.Context, f *history.Fault) {
	var mu sync.Mutex // guards f.Away
	var group sync.WaitGroup
	for _, n := range s.nodes {
		group.Go(func() {
			due := time.Since(f.At) > answersDue
			ready, _ := n.ask(ctx, "http://"+n.public+"/readyz")
			lives := n.lives(ctx)
			_, metrics := n.askFor(ctx, "http://"+n.operator+"/metrics", metricsWithin)
			pid := n.child.cmd.Process.Pid
			mu.Lock()
			defer mu.Unlock()
			away := f.Away
			away.Looks++
			if !lives {
				away.Dead++
			}
			if ready == 200 && due {
				away.FalseReady++
			}
			away.Goroutines = max(away.Goroutines, samples(metrics, "go_goroutines"))
			away.Descriptors = max(away.Descriptors, descriptors(pid))
			away.MemoryKiB = max(away.MemoryKiB, residentKiB(pid))
		})
	}
	group.Wait()
}

// lives asks again and again for as long as a node may take.
func (n *node) lives(ctx context.Context) bool {
	for begin := time.Now(); time.Since(begin) < liveWithin; {
		if status, _ := n.ask(ctx, "http://"+n.public+"/healthz"); status == 200 {
			return true
		}
		if wait(ctx, 10*time.Millisecond) != nil {
			return true // nobody waits for the answer
		}
	}
	return false
}

// descriptors counts what a process has open; 0 if this system does not tell.
func descriptors(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// residentKiB is what a process has in memory; 0 if this system does not tell.
func residentKiB(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !ok {
			continue
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		return n
	}
	return 0
}
