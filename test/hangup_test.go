//go:build hktest

package test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// leave sends text on a connection of its own and is gone, by RST or politely,
// without having heard anything.
func leave(address, text string, reset bool) error {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	if reset {
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
	}
	return c.Close()
}

// goroutines makes the server tell its goroutines, which ends it.
func goroutines(t *testing.T, s *server) (n int, text string) {
	t.Helper()
	s.killed = true
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	for line := range strings.Lines(s.log.String()) {
		if strings.HasPrefix(line, "goroutine ") {
			n++
		}
	}
	return n, s.log.String()
}

func TestClientsThatHangUp(t *testing.T) {
	t.Parallel()
	const clients = 2000
	fresh := start(t, options{level: "info"})
	fresh.reaches(t, fresh.recorded(t, stripe(stripeEvent("evt_first", "pi_first", ""))).Event, "done")
	fresh.client.CloseIdleConnections()
	s := start(t, options{level: "info"})
	s.reaches(t, s.recorded(t, stripe(stripeEvent("evt_first", "pi_first", ""))).Event, "done")
	before := descriptors(t, s)

	half := map[string]bool{}
	places := make(chan struct{}, 200) // so many at a time
	var crowd sync.WaitGroup
	for i := range clients {
		key := fmt.Sprintf("evt_gone_%d", i)
		d := stripe(stripeEvent(key, "pi_"+key, ""))
		text := request("/hooks/stripe", string(d.body), "Host: h", "Stripe-Signature: "+d.header.Get("Stripe-Signature"),
			fmt.Sprintf("Content-Length: %d", len(d.body)))
		if i%4 >= 2 {
			half[key] = true
			text = text[:len(text)-len(d.body)/2]
		}
		places <- struct{}{}
		crowd.Go(func() {
			defer func() { <-places }()
			if err := leave(s.public, text, i%2 == 1); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	crowd.Wait()
	s.recorded(t, stripe(stripeEvent("evt_last", "pi_last", "")))
	eventually(t, time.Minute, "everything is worked", func() bool { return s.everyState(t, "done", 2) })
	rows := map[string]int{}
	for _, e := range s.events(t) {
		rows[e.Key]++
	}
	whole := 0
	for key, n := range rows {
		if half[key] || n > 1 {
			t.Errorf("event %s has %d rows; only half of its body came: %t", key, n, half[key])
		}
		whole++
	}
	if whole < clients/4 {
		t.Errorf("inconclusive: of the %d deliveries that came whole only %d have a row", clients/2, whole)
	}
	s.client.CloseIdleConnections()
	now := 0
	eventually(t, 15*time.Second, "the descriptors are back", func() bool {
		now = descriptors(t, s)
		return now <= before+8
	})
	base, _ := goroutines(t, fresh)
	n, text := goroutines(t, s)
	t.Logf("%d clients hung up: %d rows; descriptors %d before, %d after; goroutines %d, of a fresh server %d",
		clients, whole, before, now, n, base)
	if base == 0 || n > base+10 {
		t.Errorf("%d goroutines are left, a fresh server has %d:\n%.3000s", n, base, text)
	}
}
