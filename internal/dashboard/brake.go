package dashboard

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Bounds on wrong tokens. Ten are more than a person mistypes; a hundred from
// everywhere together are somebody who guesses from many addresses.
const (
	maxWrong     = 10
	maxWrongAll  = 100
	wrongWindow  = time.Minute
	maxStrangers = 1024 // addresses remembered at once
)

// brake slows those down who guess tokens. Its memory is bounded: with all
// places taken a new address is counted in the total only, which then stops it.
type brake struct {
	now func() time.Time

	mu  sync.Mutex
	by  map[string]*strikes // guarded by mu
	all strikes             // guarded by mu
}

// strikes are the wrong tokens of a window that ends at until. The one that is
// too many lets the window begin anew: that is how long it stays shut.
type strikes struct {
	n     int
	until time.Time
}

func newBrake(now func() time.Time) *brake { return &brake{now: now, by: map[string]*strikes{}} }

// left is how long the window stays shut.
func (s *strikes) left(now time.Time, most int) time.Duration {
	if s == nil || s.n < most {
		return 0
	}
	return max(0, s.until.Sub(now))
}

func (s *strikes) add(now time.Time, most int) {
	if !now.Before(s.until) {
		*s = strikes{until: now.Add(wrongWindow)}
	}
	s.n++
	if s.n == most {
		s.until = now.Add(wrongWindow)
	}
}

// shut says how long no token of that address is looked at. While the total is
// exceeded that holds for every address with a wrong one of late; others still
// get in with the right token.
func (b *brake) shut(address string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, s := b.now(), b.by[address]
	if left := s.left(now, maxWrong); left > 0 {
		return left
	}
	if s != nil && now.Before(s.until) {
		return b.all.left(now, maxWrongAll)
	}
	return 0
}

// wrong counts a wrong token. It says how long to wait if the total was exceeded
// before it, and whether this one is the one too many.
func (b *brake) wrong(address string) (wait time.Duration, tooMany bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	wait = b.all.left(now, maxWrongAll)
	if wait == 0 {
		b.all.add(now, maxWrongAll)
	}
	s := b.by[address]
	if s == nil && b.room(now) {
		s = &strikes{}
		b.by[address] = s
	}
	if s != nil {
		s.add(now, maxWrong)
	}
	return wait, s != nil && s.n == maxWrong || wait == 0 && b.all.n == maxWrongAll
}

// room forgets addresses whose window is over if all places are taken.
func (b *brake) room(now time.Time) bool {
	if len(b.by) < maxStrangers {
		return true
	}
	for address, s := range b.by {
		if !now.Before(s.until) {
			delete(b.by, address)
		}
	}
	return len(b.by) < maxStrangers
}

// addressOf is whom a request comes from: an address, or the network of 2^64
// that one subscriber of IPv6 has.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
