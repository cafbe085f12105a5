package main

import (
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestServerLogIsRarelyAboutAccepting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		l := log.New(&serverLog{log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))}, "", 0)
		for range 1000 { // eleven seconds
			l.Print("http: Accept error: accept tcp 127.0.0.1:1: accept4: too many open files; retrying in 5ms")
			<-time.After(11 * time.Millisecond)
		}
		l.Print("http: TLS handshake error from 127.0.0.1:2: EOF")
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines, want two warnings and what else was said:\n%s", len(lines), b.String())
		}
		for i, want := range []string{"level=WARN", "untold=909", "level=DEBUG msg=\"http: TLS"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %s, want %s in it", i+1, lines[i], want)
			}
		}
		if !strings.Contains(lines[0], "too many open files") {
			t.Errorf("the cause is missing: %s", lines[0])
		}
	})
}
