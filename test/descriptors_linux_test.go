//go:build hktest

package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// rlimit is how the kernel writes a limit: what holds, and what it may be
// raised to.
type rlimit struct{ now, most uint64 }

// limitDescriptors changes how many descriptors a running process may have.
func limitDescriptors(t *testing.T, pid int, n uint64) {
	t.Helper()
	to := rlimit{n, n}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE,
		uintptr(unsafe.Pointer(&to)), 0, 0, 0)
	if errno != 0 {
		unable(t, "prlimit: %v", errno)
	}
}

// descriptors counts what a process has open.
func descriptors(t *testing.T, s *server) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// oneConnection is a client that never opens a second one, which nobody might accept:
// others do if they send again before the last one is back among the idle ones.
func oneConnection(t *testing.T) *http.Client {
	client := newClient()
	client.Transport.(*http.Transport).MaxConnsPerHost = 1
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestFewFileDescriptors(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	s.client = oneConnection(t)
	s.reaches(t, s.recorded(t, stripe(stripeEvent("evt_before", "pi_before", ""))).Event, "done")
	const most = 64
	limitDescriptors(t, s.cmd.Process.Pid, most)

	var crowd []net.Conn
	defer func() {
		for _, c := range crowd {
			c.Close()
		}
	}()
	for range 1000 {
		c, err := net.DialTimeout("tcp", s.public, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	highest := 0
	eventually(t, 5*time.Second, "the descriptors run out, or are saved", func() bool {
		n := descriptors(t, s)
		full := n == highest && n > most/2 // it takes no more
		highest = max(highest, n)
		return full
	})
	// The connection that is open is served, and what it brings is worked.
	began := time.Now()
	for i := 0; time.Since(began) < 3*time.Second; i++ {
		key := fmt.Sprintf("evt_during_%d", i)
		a := s.recorded(t, stripe(stripeEvent(key, "pi_"+key, "")))
		if a.code != http.StatusOK {
			break
		}
		if i%20 == 0 {
			s.reaches(t, a.Event, "done")
		}
	}
	code, text := s.get("http://" + s.operator + "/metrics")
	if code != http.StatusOK || !strings.Contains(string(text), "hookkeeper_jobs") && !strings.Contains(string(text), "last_event") {
		t.Errorf("without descriptors to spare /metrics answers %d: %.300s", code, text)
	}
	for _, c := range crowd {
		c.Close()
	}
	freed := time.Now()
	fresh := &server{public: s.public, client: newClient()}
	defer fresh.client.CloseIdleConnections()
	eventually(t, 10*time.Second, "a new connection is served", func() bool {
		return fresh.send(stripe(stripeEvent("evt_fresh", "pi_fresh", ""))).code == http.StatusOK
	})
	t.Logf("%d descriptors of %d used; %s after the crowd has left a new connection is served", highest, most,
		time.Since(freed).Round(time.Millisecond))
	troubles := 0
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "too many open files") || strings.Contains(line, `"level":"ERROR"`) {
			troubles++
		}
	}
	t.Logf("%d lines of trouble in the log, of which %d are errors", troubles, linesWith(s.log.String(), `"level":"ERROR"`))
	if troubles > 50 {
		t.Errorf("%d lines of the log complain, want a bounded number:\n%s", troubles, s.log.tail())
	}
	eventually(t, 10*time.Second, "everything is worked", func() bool { return s.everyState(t, "done", 3) })
}
