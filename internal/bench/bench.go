// Package bench measures a running hookkeeper from outside: prepared signed
// deliveries over raw keep-alive connections, closed loop (each connection waits
// for its answer) or open loop (a fixed rate, latency counted from the moment a
// delivery was due, so that a slow server cannot hide behind a slow sender). It
// also makes the places in which is measured: a database of its own on a server,
// rows that are there before, a CPU group for each process.
//
// It promises that its own work while the clock runs is a copy, a write and a
// short read: bodies are composed and signed before. It refuses to touch a
// database that it did not make.
package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// answerWithin is the longest that an answer may take; a sender waits less.
const answerWithin = 30 * time.Second

// Closed sends the whole load over conns connections, each as fast as it is
// answered. The connections are shared out evenly among the servers at addrs.
// The first failure of a connection ends the run.
func Closed(ctx context.Context, addrs []string, conns int, load *Load) (*Result, error) {
	var next atomic.Int64
	return run(ctx, addrs, conns, load, func() (int, time.Time) {
		return int(next.Add(1)) - 1, time.Time{}
	})
}

// Open sends the load at a fixed rate a second over conns connections to the
// servers at addrs; latency counts from when each delivery was due, also if no
// connection was free then. The first failure of a connection ends the run.
func Open(ctx context.Context, addrs []string, conns int, rate float64, load *Load) (*Result, error) {
	var next atomic.Int64
	start := time.Now().Add(50 * time.Millisecond)
	return run(ctx, addrs, conns, load, func() (int, time.Time) {
		i := int(next.Add(1)) - 1
		return i, start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
	})
}

func run(ctx context.Context, addrs []string, conns int, load *Load, take func() (int, time.Time)) (*Result, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := newResult(load)
	var all sync.WaitGroup
	start := time.Now()
	for c := range conns {
		all.Go(func() {
			if err := r.connection(ctx, addrs[c%len(addrs)], take); err != nil {
				stop(err) // the others would only measure what is left
			}
		})
	}
	all.Wait()
	r.Elapsed = time.Since(start)
	r.count()
	return r, context.Cause(ctx)
}

// connection sends what it can take until nothing is left.
func (r *Result) connection(ctx context.Context, addr string, take func() (int, time.Time)) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		i, due := take()
		if i >= r.load.Len() || ctx.Err() != nil {
			return nil
		}
		began := wait(ctx, due)
		code, err := c.send(r.load, i)
		if err != nil {
			return err
		}
		r.codes[i], r.latencies[i] = uint16(code), time.Since(began)
	}
}

// wait returns when a delivery is due, and the time from which it counts.
func wait(ctx context.Context, due time.Time) time.Time {
	if due.IsZero() {
		return time.Now()
	}
	pause(ctx, time.Until(due))
	return due
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Insist sends the load as a sender does that waits for its 200: a delivery that
// is answered otherwise, or not at all, is sent again after the pause again, at
// most times times. It reports how often anything was sent; what was never
// answered 200 has another code in the result.
func Insist(ctx context.Context, addr string, conns int, load *Load, again time.Duration, times int) (*Result, int) {
	var next, sent atomic.Int64
	r := newResult(load)
	var all sync.WaitGroup
	start := time.Now()
	for range conns {
		all.Go(func() {
			var c *conn
			defer func() { c.close() }()
			for i := int(next.Add(1)) - 1; i < load.Len() && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				began := time.Now()
				for try := 0; try < times && r.codes[i] != http.StatusOK && ctx.Err() == nil; try++ {
					if try > 0 {
						pause(ctx, again)
					}
					sent.Add(1)
					c = c.again(ctx, addr, load, i, &r.codes[i])
				}
				r.latencies[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	r.Elapsed = time.Since(start)
	r.count()
	return r, int(sent.Load())
}

// again sends one delivery over the connection, a new one if there is none, and
// returns what can be used for the next: nil after a failure.
func (c *conn) again(ctx context.Context, addr string, load *Load, i int, code *uint16) *conn {
	if c == nil {
		var err error
		if c, err = dial(ctx, addr); err != nil {
			return nil
		}
	}
	got, err := c.send(load, i)
	*code = uint16(got)
	if err != nil || c.last {
		c.close()
		return nil
	}
	return c
}

// conn is one keep-alive connection.
type conn struct {
	net.Conn
	r    *bufio.Reader
	out  []byte // the delivery, head and tail together
	last bool   // the server said that it closes
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 4<<10)}, nil
}

func (c *conn) close() {
	if c != nil {
		_ = c.Close() // nothing is left to be said
	}
}

// send writes one delivery and reads its answer.
func (c *conn) send(load *Load, i int) (code int, err error) {
	if err := c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return 0, err
	}
	c.out = load.append(c.out[:0], i)
	if _, err := c.Write(c.out); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	return c.answer()
}

// answer reads one HTTP answer and returns its status.
func (c *conn) answer() (int, error) {
	code, length := 0, -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case code == 0:
			if len(line) < 12 {
				return 0, fmt.Errorf("read the answer: %.40q is no status line", line)
			}
			if code, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, fmt.Errorf("read the answer: %.40q is no status line", line)
			}
		case len(line) == 0:
			if length < 0 {
				return 0, errors.New("read the answer: it does not say how long it is")
			}
			_, err := io.CopyN(io.Discard, c.r, int64(length))
			return code, err
		case bytes.EqualFold(name, []byte("connection")):
			c.last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, fmt.Errorf("read the answer: bad length: %w", err)
			}
		}
	}
}
