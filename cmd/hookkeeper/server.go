package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper"
)

// Limits of both listeners. A sender waits 3 s at the shortest for an answer,
// so a header that takes 5 s to arrive is none of theirs.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 75 * time.Second // longer than the usual proxy's 60 s
	maxHeaderBytes    = 16 << 10

	// stopGrace is what requests and handlers have at a stop, both at the same
	// time, so that the next process finds the database free within 3 s.
	stopGrace = 2 * time.Second

	// farewell is how long a stop goes on answering, and ends each connection
	// with its answer. A connection that is closed while its sender believes it
	// to be open costs a delivery its answer; one that is used within this time
	// is none of those.
	farewell = 500 * time.Millisecond
)

// server is a keeper behind its two listeners.
type server struct {
	keeper *hookkeeper.Keeper
	doors  *listeners
	log    *slog.Logger

	connections int // that each listener may have open

	begun, answered atomic.Int64
	leaving         atomic.Bool // answers end their connection
}

// serve runs until ctx ends, then takes no new jobs, says farewell to senders,
// takes no new deliveries, and leaves those in flight two seconds in all.
// started is called once both doors are open.
func (s *server) serve(ctx context.Context, started func(context.Context)) error {
	public := s.httpServer(s.count(s.keeper))
	operator := s.httpServer(s.keeper.Operator())
	senders, operators := limit(s.doors.public, s.connections), limit(s.doors.operator, s.connections)
	failed := make(chan error, 3)
	go func() { failed <- served(public.Serve(senders)) }()
	go func() { failed <- served(operator.Serve(operators)) }()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	worked := make(chan error, 1)
	go func() { worked <- s.keeper.Run(work) }()

	startedCtx, stopStarted := context.WithCancel(ctx)
	defer stopStarted()
	startedDone := make(chan struct{})
	go func() { defer close(startedDone); started(startedCtx) }()

	var err error
	running := true
	select {
	case <-ctx.Done():
		s.log.Info("stopping", "grace", stopGrace.String())
	case err = <-failed:
	case err = <-worked:
		running = false
		if err == nil {
			err = errors.New("the workers ended by themselves")
		}
	}
	cut := time.Now().Add(stopGrace)
	stopStarted()
	<-startedDone
	stopWork()
	if err == nil {
		s.sayFarewell(senders)
	}
	s.keeper.Drain()
	s.shut(cut, public, operator)
	if running {
		// A stop in the first moments cuts Run while it writes its routes; the
		// next start writes them.
		if ended := <-worked; !errors.Is(ended, context.Canceled) {
			err = errors.Join(err, ended)
		}
	}
	s.log.Info("stopped", "handled", s.begun.Load(), "answered", s.answered.Load())
	return err
}

// served drops the error by which an http.Server says that it was shut.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// sayFarewell ends connections with their next answer, until none is open that
// was before, but only for a moment. Senders that come meanwhile are answered,
// each on a connection for that one delivery; only when these are gone as well
// may Shutdown be called, for it drops what it finds on a fresh connection.
func (s *server) sayFarewell(senders *limited) {
	senders.leave()
	s.leaving.Store(true)
	await(farewell, func() bool { return senders.early.Load() == 0 })
	_ = senders.Close() // whoever comes now is the next process's
	await(farewell/2, func() bool { return senders.fresh() == 0 })
}

// await looks again and again, but no longer than most.
func await(most time.Duration, ok func() bool) {
	end := time.NewTimer(most)
	defer end.Stop()
	look := time.NewTicker(farewell / 50)
	defer look.Stop()
	for !ok() {
		select {
		case <-end.C:
			return
		case <-look.C:
		}
	}
}

// shut gives requests in flight until cut, both doors at once.
func (s *server) shut(cut time.Time, servers ...*http.Server) {
	ctx, cancel := context.WithDeadline(context.Background(), cut)
	defer cancel()
	done := make(chan struct{})
	for _, one := range servers {
		go func() {
			defer func() { done <- struct{}{} }()
			if one.Shutdown(ctx) != nil {
				_ = one.Close() // cuts what is left; there is nobody to tell
			}
		}()
	}
	for range servers {
		<-done
	}
}

func (s *server) httpServer(h http.Handler) *http.Server {
	var plain http.Protocols
	plain.SetHTTP1(true) // h2c stays off
	return &http.Server{
		Handler: bounded(h), Protocols: &plain, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(&serverLog{log: s.log}, "", 0),
	}
}

// bounded ends bodies that nobody reads: around an answer given without reading
// net/http waits for up to 256 KiB of them, for ever if nothing comes. Whoever
// does read one sets deadlines of its own.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// A connection that cannot have a deadline is none of our listeners'.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readHeaderTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// count notes every request begun and answered, for the last line of the log:
// after a clean stop the two are equal. While leaving it ends connections.
func (s *server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.begun.Add(1)
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
		s.answered.Add(1)
	})
}

// addressOf gives the address under which this machine reaches a listener.
func addressOf(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
