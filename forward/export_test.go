package forward

import (
	"net"
	"net/netip"
	"time"
)

// SetResolver makes the dialer ask another resolver.
func (f *Forwarder) SetResolver(r *net.Resolver) { f.dialer.Resolver = r }

// HasProxy reports whether requests could go another way than to the destination.
func (f *Forwarder) HasProxy() bool { return f.transport.Proxy != nil }

// Check is what the guard says of an address.
func Check(allow []string, a netip.Addr) error {
	g, err := newGuard(allow)
	if err != nil {
		return err
	}
	return g.check(a)
}

// RetryAfter reads the header of that name.
func RetryAfter(text string, now time.Time) (time.Duration, bool) { return retryAfter(text, now) }
