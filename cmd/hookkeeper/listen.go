package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// listeners are the two doors.
type listeners struct{ public, operator net.Listener }

func (l *listeners) close() {
	for _, one := range []net.Listener{l.public, l.operator} {
		if one != nil {
			_ = one.Close() // nothing was served on it yet
		}
	}
}

// open takes over inherited sockets and opens the others. Every problem is
// added; what could be opened is returned beside them.
func openListeners(env lookup, public, operator string, p *problems) *listeners {
	l := &listeners{}
	inherited, err := inheritedListeners(env)
	if err != nil {
		p.add("%v", err)
	}
	for _, door := range []struct {
		name, address string
		into          *net.Listener
	}{{"public", public, &l.public}, {"operator", operator, &l.operator}} {
		if *door.into = inherited[door.name]; *door.into != nil {
			continue
		}
		opened, err := net.Listen("tcp", door.address)
		if err != nil {
			p.add("%s listener: %v", door.name, err)
			continue
		}
		*door.into = opened
	}
	return l
}

// inheritedListeners takes sockets that a service manager has opened for us:
// by LISTEN_FDNAMES, else the first is the public and the second the operators'.
// The variables are cleared, so that no child takes them for its own.
func inheritedListeners(env lookup) (map[string]net.Listener, error) {
	count, _ := env("LISTEN_FDS")
	pid, named := env("LISTEN_PID")
	names, _ := env("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if count == "" || named && pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 2 {
		return nil, fmt.Errorf("LISTEN_FDS %q: want 1 or 2 sockets, public and operator", count)
	}
	roles := []string{"public", "operator"}
	if names != "" {
		roles = strings.Split(names, ":")
		if strings.Contains(names, ",") {
			roles = strings.Split(names, ",")
		}
	}
	found := map[string]net.Listener{}
	for i := range n {
		if i >= len(roles) || roles[i] != "public" && roles[i] != "operator" || found[roles[i]] != nil {
			return found, fmt.Errorf("LISTEN_FDNAMES %q: want each of public and operator once", names)
		}
		file := os.NewFile(uintptr(3+i), roles[i])
		l, err := net.FileListener(file)
		_ = file.Close() // FileListener made a copy
		if err != nil {
			return found, fmt.Errorf("inherited socket %d: %v", 3+i, err)
		}
		found[roles[i]] = l
	}
	return found, nil
}

// limited is a listener with at most so many open connections. Further ones
// wait in the kernel's queue.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	leaving atomic.Bool
	early   atomic.Int64 // open connections that were accepted before leave
}

func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// leave makes connections accepted from now on no early ones.
func (l *limited) leave() { l.leaving.Store(true) }

// fresh is how many connections are open that were accepted after leave; one
// more while Accept waits for the next.
func (l *limited) fresh() int { return len(l.slots) - int(l.early.Load()) }

// Accept waits for a free slot first.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	left := int64(0)
	if !l.leaving.Load() {
		left = 1
	}
	l.early.Add(left)
	return &limitedConn{Conn: c, free: sync.OnceFunc(func() { l.early.Add(-left); <-l.slots })}, nil
}

// Close also wakes an Accept that waits for a slot.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	free func()
}

// CloseWrite ends our half only. After a refusal of a body that nobody has read
// net/http asks for it, so that the sender can hear the answer before a reset.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close gives the slot back, once.
func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
