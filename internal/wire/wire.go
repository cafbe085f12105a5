// Package wire stands between a client and its PostgreSQL server and breaks the
// connection where it hurts most: after the client has sent COMMIT and before it
// reads the answer.
//
// It promises to pass on every other byte as it came, and to know of each cut
// whether the transaction had committed. It refuses encryption towards the
// client, or it could not read; it listens on loopback only.
package wire

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Cut is where a connection is broken.
type Cut int

// The two halves of an unknown outcome.
const (
	// Before the server has seen COMMIT: the transaction is rolled back.
	Before Cut = iota + 1
	// After the server has committed: only its answer is lost.
	After
)

// Proxy passes connections on to a server.
type Proxy struct {
	dial     func(context.Context) (net.Conn, error)
	listener net.Listener
	ended    sync.WaitGroup
	cancel   context.CancelFunc

	armed   atomic.Int32 // the Cut that the next COMMIT meets; 0: none
	made    chan Cut     // has each cut that was made
	mu      sync.Mutex   // guards open
	open    map[net.Conn]struct{}
	closing bool
}

// Listen begins to pass connections on to where dial leads.
func Listen(dial func(context.Context) (net.Conn, error)) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{dial: dial, listener: l, cancel: cancel, made: make(chan Cut, 16), open: map[net.Conn]struct{}{}}
	p.ended.Go(func() { p.accept(ctx) })
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Arm lets the next COMMIT of any connection meet the cut; 0 lays it down.
func (p *Proxy) Arm(c Cut) { p.armed.Store(int32(c)) }

// Made has every cut, after it was made.
func (p *Proxy) Made() <-chan Cut { return p.made }

// Close breaks all connections and returns when nothing of the proxy is left.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.cancel()
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.Break()
	p.ended.Wait()
	return err
}

// Break breaks all connections that are open now, without a word to either side.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close() // broken on purpose
	}
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client's trouble
		}
		p.ended.Go(func() { p.pass(ctx, client) })
	}
}

// keep notes a connection, so that Close can break it. It reports false if the
// proxy is closing.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.open[c] = struct{}{}
	}
	return !p.closing
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close() // a second time does nothing
}

// pass joins a client and the server until either ends or the connection is cut.
func (p *Proxy) pass(ctx context.Context, client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	server, err := p.dial(ctx)
	if err != nil {
		return // the client sees its connection end, as with a server that is away
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	l := &line{proxy: p, client: client, server: server}
	var back sync.WaitGroup
	back.Go(func() {
		l.answers()
		_ = client.Close()
		_ = server.Close()
	})
	l.orders()
	// Whoever ends first ends both: a half-open connection would hide the end.
	_ = client.Close()
	_ = server.Close()
	back.Wait()
}

// did notes a cut. Nobody need look.
func (p *Proxy) did(c Cut) {
	select {
	case p.made <- c:
	default:
	}
}
