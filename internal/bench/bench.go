// Package bench measures a running hookkeeper from outside: prepared signed
// deliveries over raw keep-alive connections, closed loop (each connection waits
// for its answer) or open loop (a fixed rate, latency counted from the moment a
// delivery was due, so that a slow server cannot hide behind a slow sender).
//
// It promises that its own work while the clock runs is a write and a short
// read: bodies are composed and signed before. It judges nothing.
package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

// BodyBytes is the size of the prepared Stripe events, that of a usual invoice.
const BodyBytes = 3600

// Requests prepares n signed deliveries to /hooks/stripe; every one whose number
// modulo 100 is below duplicates repeats an earlier event. series keeps the ids
// of several calls apart.
func Requests(secret, series string, n, duplicates int, now time.Time) ([][]byte, error) {
	s := source.Stripe("stripe", secret)
	all := make([][]byte, n)
	for i := range n {
		id := i
		if i%100 < duplicates && i >= 100 {
			id = i - 100 + duplicates // an original of the hundred before
		}
		body := fmt.Appendf(nil, `{"id":"evt_%s%08d","object":"event","type":"invoice.paid","livemode":false,"created":%d,`+
			`"data":{"object":{"id":"in_%s%08d","object":"invoice","subscription":"sub_%s%08d"}},"pad":"`,
			series, id, now.Unix(), series, id, series, id)
		body = append(body, bytes.Repeat([]byte("x"), max(BodyBytes-len(body)-2, 0))...)
		body = append(body, `"}`...)
		h := http.Header{}
		if err := s.Sign(h, body, now); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		head := fmt.Appendf(nil, "POST /hooks/stripe HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\nStripe-Signature: %s\r\n\r\n", len(body), h.Get("Stripe-Signature"))
		all[i] = append(head, body...)
	}
	return all, nil
}

// Result is what one run measured.
type Result struct {
	Answered int           // with 200
	Refused  int           // with anything else
	Elapsed  time.Duration // from the first delivery to the last answer

	latencies []time.Duration // sorted
}

// Rate is the number of deliveries answered 200 in a second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Quantile is the latency that the share q of the answers stays below.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(int(q*float64(len(r.latencies))), len(r.latencies)-1)]
}

// Closed sends all requests over conns connections, each as fast as it is
// answered.
func Closed(ctx context.Context, addr string, conns int, requests [][]byte) (*Result, error) {
	var next atomic.Int64
	return run(ctx, addr, conns, len(requests), func() (int, time.Time) {
		return int(next.Add(1)) - 1, time.Time{}
	}, requests)
}

// Open sends the requests at a fixed rate per second over conns connections;
// latency counts from when each was due.
func Open(ctx context.Context, addr string, conns int, rate float64, requests [][]byte) (*Result, error) {
	var next atomic.Int64
	start := time.Now().Add(50 * time.Millisecond)
	return run(ctx, addr, conns, len(requests), func() (int, time.Time) {
		i := int(next.Add(1)) - 1
		return i, start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
	}, requests)
}

func run(ctx context.Context, addr string, conns, n int, take func() (int, time.Time), requests [][]byte) (*Result, error) {
	latencies := make([]time.Duration, n)
	codes := make([]int, n)
	errs := make([]error, conns)
	var all sync.WaitGroup
	start := time.Now()
	for c := range conns {
		all.Go(func() {
			errs[c] = connection(ctx, addr, func(send func([]byte) (int, error)) error {
				for {
					i, due := take()
					if i >= n || ctx.Err() != nil {
						return ctx.Err()
					}
					began := wait(ctx, due)
					code, err := send(requests[i])
					if err != nil {
						return err
					}
					codes[i], latencies[i] = code, time.Since(began)
				}
			})
		})
	}
	all.Wait()
	r := &Result{Elapsed: time.Since(start)}
	for i, code := range codes {
		if code == http.StatusOK {
			r.Answered++
			r.latencies = append(r.latencies, latencies[i])
		} else {
			r.Refused++
		}
	}
	slices.Sort(r.latencies)
	for _, err := range errs {
		if err != nil {
			return r, err // one tells what happened; the others are its like
		}
	}
	return r, nil
}

// wait returns when a delivery is due, and the time from which it counts.
func wait(ctx context.Context, due time.Time) time.Time {
	if due.IsZero() {
		return time.Now()
	}
	if d := time.Until(due); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return due
}

// connection hands f a function that sends one request and reads its answer.
func connection(ctx context.Context, addr string, f func(func([]byte) (int, error)) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 4<<10)
	return f(func(request []byte) (int, error) {
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return 0, err
		}
		if _, err := conn.Write(request); err != nil {
			return 0, fmt.Errorf("send: %w", err)
		}
		return answer(r)
	})
}

// answer reads one HTTP answer and returns its status.
func answer(r *bufio.Reader) (int, error) {
	code, length := 0, 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case code == 0:
			if len(line) < 12 {
				return 0, fmt.Errorf("read the answer: %.40q is no status line", line)
			}
			if code, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, fmt.Errorf("read the answer: %.40q is no status line", line)
			}
		case len(line) == 0:
			_, err := io.CopyN(io.Discard, r, int64(length))
			return code, err
		case len(line) > 16 && bytes.EqualFold(line[:16], []byte("content-length: ")):
			if length, err = strconv.Atoi(string(line[16:])); err != nil {
				return 0, fmt.Errorf("read the answer: bad length: %w", err)
			}
		}
	}
}
