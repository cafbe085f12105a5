//go:build hktest

package test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// readWhile copies r to the journal until stop is called.
func readWhile(t *testing.T, r *os.File, into io.Writer) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(into, r)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read the log: %v", err)
		}
	}()
	return func() {
		if err := r.SetReadDeadline(time.Now()); err != nil {
			t.Error(err)
		}
		<-done
		if err := r.SetReadDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
	}
}

var aDrop = regexp.MustCompile(`(\d+) lines of the log were dropped`)

// A log that nobody reads costs its own lines and nothing else.
func TestBlockedLogHarmsNobody(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := launch(t, options{stderr: w})
	w.Close() // the server has its own
	stop := readWhile(t, r, s.log)
	s.awaitReady(t)
	stop()

	const forgeries = 10_000 // a line or two each; the pipe holds 64 KiB
	var forgers sync.WaitGroup
	for range 8 {
		forgers.Go(func() {
			for range forgeries / 8 {
				d := byStripe("stripe", forgersSecret, stripeEvent("evt_forged", defaultSubject, ""), time.Now())
				if a := s.send(d); a.code != 400 || a.took > 2*time.Second {
					t.Errorf("a forgery with the log blocked: %v, want 400 at once", a)
					return
				}
			}
		})
	}
	forgers.Wait()
	var slowest time.Duration
	var last string
	for i := range 200 {
		key := fmt.Sprintf("evt_blocked_%d", i)
		a := s.recorded(t, stripe(stripeEvent(key, "pi_"+key, "")))
		slowest, last = max(slowest, a.took), a.Event
	}
	s.reaches(t, last, "done")
	t.Logf("log blocked: 200 deliveries answered, the slowest after %s", slowest.Round(time.Millisecond))
	if slowest > 2*time.Second {
		t.Errorf("with the log blocked an answer takes %s, want under 2 s", slowest)
	}

	// Read again, the log says what is missing, and goes on.
	stop = readWhile(t, r, s.log)
	eventually(t, 10*time.Second, "the log says how many lines it has dropped", func() bool {
		return aDrop.MatchString(s.log.String())
	})
	dropped, _ := strconv.Atoi(aDrop.FindStringSubmatch(s.log.String())[1]) // digits
	t.Logf("%d lines were dropped", dropped)
	if dropped == 0 || dropped >= 3*forgeries {
		t.Errorf("%d lines were dropped of about %d", dropped, 2*forgeries)
	}
	before := len(s.log.String())
	s.send(byStripe("stripe", forgersSecret, stripeEvent("evt_after", defaultSubject, ""), time.Now()))
	eventually(t, 5*time.Second, "new lines come", func() bool { return len(s.log.String()) > before })
	s.log.judge(t)
	stop()

	// Blocked again it does not hold up the end.
	for range 3000 {
		s.send(byStripe("stripe", forgersSecret, stripeEvent("evt_end", defaultSubject, ""), time.Now()))
	}
	if took := s.stop(t); took > 4*time.Second {
		t.Errorf("with the log blocked SIGTERM takes %s, want under 4 s", took)
	}
}
