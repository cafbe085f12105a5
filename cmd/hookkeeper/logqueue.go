package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Bounds of what waits to be written to the log. A reader that is away for a
// moment misses nothing; one that is away for good costs this much memory.
const (
	maxLogBytes = 1 << 20
	maxLogWait  = 500 * time.Millisecond // at the end of the process
)

// logQueue stands between the program and a log that may block: a pipe that
// nobody reads, a terminal that is stopped, a slow disk. Write never waits. Lines
// that find the queue full are dropped and counted, and the count is written as
// soon as there is room. What the queue holds at a crash is lost.
type logQueue struct {
	w     io.Writer
	more  chan struct{} // holds at most one signal
	ended chan struct{}

	mu      sync.Mutex
	lines   [][]byte // guarded by mu
	bytes   int      // guarded by mu: of lines
	dropped int      // guarded by mu: since the last line that says so
	closed  bool     // guarded by mu
}

func newLogQueue(w io.Writer) *logQueue {
	q := &logQueue{w: w, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.write()
	return q
}

// Write keeps a copy of the line and reports success: a log that cannot be
// written is nothing that a caller could mend.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if q.closed || q.bytes+len(line) > maxLogBytes {
		q.dropped++
	} else {
		q.lines = append(q.lines, append([]byte(nil), line...))
		q.bytes += len(line)
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	return len(line), nil
}

// write is the only one that may block.
func (q *logQueue) write() {
	defer close(q.ended)
	for range q.more {
		for lines := q.take(); len(lines) > 0; lines = q.take() {
			for _, line := range lines {
				_, _ = q.w.Write(line) // there is no other place to complain
				q.written(len(line))
			}
		}
		q.mu.Lock()
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return
		}
	}
}

// take hands out what waits, and behind it how much was dropped meanwhile.
func (q *logQueue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines := q.lines
	q.lines = nil
	if q.dropped > 0 {
		note := fmt.Appendf(nil, "hookkeeper: %d lines of the log were dropped: nobody read them in time\n", q.dropped)
		q.dropped = 0
		q.bytes += len(note)
		lines = append(lines, note)
	}
	return lines
}

func (q *logQueue) written(n int) {
	q.mu.Lock()
	q.bytes -= n
	q.mu.Unlock()
}

// close waits until everything is written, but only for a moment: nobody may
// be there to read it.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	limit := time.NewTimer(maxLogWait)
	defer limit.Stop()
	select {
	case <-q.ended:
	case <-limit.C:
	}
}
