package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// valve is a log that takes nothing until it is opened.
type valve struct {
	open chan struct{}
	text bytes.Buffer // read only after the queue is closed
}

func (v *valve) Write(b []byte) (int, error) {
	<-v.open
	return v.text.Write(b)
}

func TestBlockedLogNeverBlocksItsWriter(t *testing.T) {
	v := &valve{open: make(chan struct{})}
	q := newLogQueue(v)
	line := strings.Repeat("x", 1023) + "\n"
	const lines = 3 << 10 // three times what the queue holds
	for range lines {
		if n, err := io.WriteString(q, line); n != len(line) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	close(v.open)
	q.close()
	text := v.text.String()
	written := strings.Count(text, line)
	if written != maxLogBytes/len(line) {
		t.Errorf("%d lines are written, want the %d that fit", written, maxLogBytes/len(line))
	}
	dropped := 0 // told in one line, or in two if the writer looked while lines were still coming
	for line := range strings.Lines(text) {
		var n int
		if _, err := fmt.Sscanf(line, "hookkeeper: %d lines of the log were dropped", &n); err == nil {
			dropped += n
		}
	}
	if dropped != lines-written {
		t.Errorf("%d lines are said to be dropped, want %d", dropped, lines-written)
	}
}

func TestLogIsWholeAndInOrderWhereItIsRead(t *testing.T) {
	v := &valve{open: make(chan struct{})}
	close(v.open)
	q := newLogQueue(v)
	var want strings.Builder
	reused := make([]byte, 0, 64) // as a logger does
	for i := range 5000 {
		reused = fmt.Appendf(reused[:0], "line %d\n", i)
		want.Write(reused)
		_, _ = q.Write(reused)
	}
	q.close()
	if got := v.text.String(); got != want.String() {
		t.Errorf("%d bytes are written, not the %d that were logged", len(got), want.Len())
	}
}

func TestBlockedLogDoesNotHoldTheExit(t *testing.T) {
	v := &valve{open: make(chan struct{})}
	defer close(v.open)
	q := newLogQueue(v)
	_, _ = io.WriteString(q, "nobody reads this\n")
	began := time.Now()
	q.close()
	if took := time.Since(began); took < maxLogWait || took > maxLogWait+2*time.Second {
		t.Errorf("the exit waited %s, want %s", took, maxLogWait)
	}
}
