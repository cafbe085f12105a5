//go:build hktest

package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// honest delivers at 100 a second until done is closed, and gives the times that
// the answers took, the shortest first.
func (s *server) honest(t *testing.T, name string, done <-chan struct{}) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration // guarded by mu
	var flight sync.WaitGroup
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-done:
			flight.Wait()
			slices.Sort(took)
			return took
		case <-pace.C:
		}
		flight.Go(func() {
			key := fmt.Sprintf("evt_%s_%d", name, i)
			a := s.send(stripe(stripeEvent(key, "pi_"+key, "")))
			if a.code != http.StatusOK {
				t.Errorf("an honest delivery is answered %v", a)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, a.took)
		})
	}
}

func after(d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { close(done) })
	return done
}

func p99(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*99/100]
}

// dribble opens a connection, says text, then a byte every second, and returns
// how long the server bore it.
func dribble(address, text, drip string) (time.Duration, error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	if _, err := io.WriteString(c, text); err != nil {
		return 0, err
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = c.SetReadDeadline(began.Add(20 * time.Second))
		_, _ = io.Copy(io.Discard, c) // ends when the server closes, however it does
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-closed:
			return time.Since(began), nil
		case <-tick.C:
			if drip != "" {
				_, _ = io.WriteString(c, drip) // the reader sees the end
			}
		}
	}
}

func TestSlowSendersHarmNobody(t *testing.T) {
	const dribblers = 2000
	s := start(t, options{level: "info"})
	alone := s.honest(t, "alone", after(4*time.Second))

	head := "POST /hooks/narrow HTTP/1.1\r\nHost: h\r\n"
	kinds := []struct {
		name, text, drip string
		timeout          time.Duration
	}{
		{"header byte by byte", head + "X: ", "x", 5 * time.Second},
		{"header that stops", head, "", 5 * time.Second},
		{"body byte by byte", head + "Content-Length: 1000\r\n\r\n", "x", 11 * time.Second},
		{"body that stops", head + "Content-Length: 1000\r\n\r\nabc", "", 5 * time.Second},
	}
	var mu sync.Mutex
	bore := map[string][]time.Duration{} // guarded by mu
	var crowd sync.WaitGroup
	// They come within a second and a half: 2,000 bytes at one instant of every
	// second would measure this process, not the server.
	pace := time.NewTicker(750 * time.Microsecond)
	defer pace.Stop()
	gone, come := make(chan struct{}), make(chan struct{})
	go func() { defer close(gone); <-come; crowd.Wait() }()
	go func() {
		defer close(come)
		for i := range dribblers {
			<-pace.C
			kind := kinds[i%len(kinds)]
			crowd.Go(func() {
				took, err := dribble(s.public, kind.text, kind.drip)
				if err != nil {
					t.Errorf("%s: %v", kind.name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				bore[kind.name] = append(bore[kind.name], took)
			})
		}
	}()
	beside := s.honest(t, "beside", gone)

	t.Logf("honest senders at 100/s: alone p99 %s of %d, beside %d dribblers p99 %s of %d, worst %s",
		p99(alone), len(alone), dribblers, p99(beside), len(beside), beside[len(beside)-1])
	if len(beside) < 300 {
		t.Errorf("inconclusive: only %d honest deliveries beside the dribblers", len(beside))
	}
	// On a machine that is busy with other things the run itself says what is slow.
	if got := p99(beside); got > 100*time.Millisecond && got > 5*p99(alone) {
		t.Errorf("beside the dribblers p99 is %s, want at most 100 ms, or five times the %s without them", got, p99(alone))
	}
	for _, kind := range kinds {
		all := bore[kind.name]
		slices.Sort(all)
		t.Logf("%s: closed after %s to %s", kind.name, all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
		if worst := all[len(all)-1]; worst > kind.timeout+time.Second+500*time.Millisecond {
			t.Errorf("%s: closed after %s, want %s + 1 s", kind.name, worst, kind.timeout)
		}
	}
	if got := s.events(t, "source", "narrow"); len(got) != 0 {
		t.Errorf("dribblers left %d rows", len(got))
	}
}
