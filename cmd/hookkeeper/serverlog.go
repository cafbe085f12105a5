package main

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// acceptQuiet is how long the log is silent about connections that cannot be
// accepted, once it has said so. net/http tries again every 5 ms to 1 s and
// complains each time.
const acceptQuiet = 10 * time.Second

// serverLog takes what net/http's server has to say. What clients do wrong is for
// debugging. Connections that cannot be accepted are a shortage that somebody
// must end (most often of file descriptors), so that is a warning, but a rare one.
type serverLog struct {
	log *slog.Logger

	mu     sync.Mutex
	next   time.Time // no warning before
	silent int       // since the last one
}

func (l *serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	cause, accept := strings.CutPrefix(text, "http: Accept error: ")
	if !accept {
		l.log.Debug(text)
		return len(line), nil
	}
	if silent, due := l.due(time.Now()); due {
		l.log.Warn("connections cannot be accepted", "cause", cause, "untold", silent)
	}
	return len(line), nil
}

// due says whether a warning is due, and how many were held back before it.
func (l *serverLog) due(now time.Time) (silent int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.silent++
		return 0, false
	}
	silent, l.silent, l.next = l.silent, 0, now.Add(acceptQuiet)
	return silent, true
}
