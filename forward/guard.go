package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// guard decides which addresses may be dialled. It looks at the address that a
// connection is about to be made to, not at a name: a name may resolve to
// something else between a look and the dial.
type guard struct {
	loopback, private bool
	nets              []netip.Prefix
	special           []network
}

// newGuard reads the entries of Allow.
func newGuard(allow []string) (guard, error) {
	g := guard{special: special()}
	var all []error
	for _, entry := range allow {
		switch entry {
		case "loopback":
			g.loopback = true
			continue
		case "private":
			g.private = true
			continue
		}
		p, err := parseNetwork(entry)
		if err != nil {
			all = append(all, fmt.Errorf("%.60q: %w", entry, err))
			continue
		}
		g.nets = append(g.nets, p)
	}
	return g, errors.Join(all...)
}

func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return p, errors.New("want loopback, private, an address or a CIDR such as 10.1.0.0/16")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	least := 8
	if p.Addr().Is6() {
		least = 7 // fc00::/7 is the widest network that anybody owns
	}
	switch {
	case p.Addr().Is4In6():
		return p, errors.New("write IPv4 networks plainly, without the prefix ::ffff")
	case p.Bits() < least:
		return p, errors.New("is so wide that it would allow nearly everything: name the networks")
	}
	return p.Masked(), nil
}

// network is a range that is not the public internet.
type network struct {
	prefix netip.Prefix
	what   string
}

// The names by which Allow lets a kind of network pass.
const (
	kindLoopback = "loopback"
	kindPrivate  = "private"
)

// special lists the ranges of the IANA registries of special-purpose addresses
// by hand: net/netip knows loopback and private ones, but neither the shared
// range of carriers nor those that carry an IPv4 address inside. For IPv6
// everything outside 2000::/3 is refused besides.
func special() (list []network) {
	for _, one := range [...][2]string{
		{"127.0.0.0/8", kindLoopback}, {"::1/128", kindLoopback},
		{"10.0.0.0/8", kindPrivate}, {"172.16.0.0/12", kindPrivate}, {"192.168.0.0/16", kindPrivate},
		{"fc00::/7", kindPrivate},
		{"0.0.0.0/8", "unspecified"}, {"::/128", "unspecified"},
		{"169.254.0.0/16", "link-local"}, {"fe80::/10", "link-local"}, {"fec0::/10", "site-local"},
		{"100.64.0.0/10", "shared by carriers"},
		{"192.0.0.0/24", "reserved for protocols"}, {"192.88.99.0/24", "a 6to4 relay"},
		{"192.0.2.0/24", "documentation"}, {"198.51.100.0/24", "documentation"}, {"203.0.113.0/24", "documentation"},
		{"2001:db8::/32", "documentation"}, {"3fff::/20", "documentation"},
		{"198.18.0.0/15", "for benchmarks"},
		{"224.0.0.0/4", "multicast"}, {"ff00::/8", "multicast"},
		{"240.0.0.0/4", "reserved"},
		{"64:ff9b::/96", "IPv4 inside IPv6"}, {"64:ff9b:1::/48", "IPv4 inside IPv6"}, {"2002::/16", "IPv4 inside IPv6"},
		{"::ffff:0:0:0/96", "IPv4 inside IPv6"}, {"::/96", "IPv4 inside IPv6"},
		{"2001::/23", "reserved for protocols"}, // Teredo among them
	} {
		list = append(list, network{netip.MustParsePrefix(one[0]), one[1]})
	}
	return list
}

// metadata reports the addresses at which clouds tell a machine its credentials.
// Only an entry for exactly such an address allows it.
func metadata(a netip.Addr) bool {
	switch a.String() {
	case "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"fd00:ec2::254", "fd20:ce::254":
		return true
	}
	return false
}

// check returns nil for an address that may be dialled, and otherwise says what
// it is.
func (g guard) check(a netip.Addr) error {
	a = a.Unmap().WithZone("") // a prefix contains no address with a zone
	if metadata(a) {
		return g.exactly(a)
	}
	for _, p := range g.nets {
		if p.Contains(a) {
			return g.inside(a)
		}
	}
	for _, n := range g.special {
		switch {
		case !n.prefix.Contains(a):
		case n.what == kindLoopback && g.loopback, n.what == kindPrivate && g.private:
			return nil
		default:
			return refusal(a, n.what)
		}
	}
	if a.Is6() && !netip.MustParsePrefix("2000::/3").Contains(a) {
		return refusal(a, "not a public address")
	}
	return nil
}

func (g guard) exactly(a netip.Addr) error {
	for _, p := range g.nets {
		if p.IsSingleIP() && p.Addr() == a {
			return nil
		}
	}
	return fmt.Errorf("%s is where a cloud keeps credentials, only an entry of allow for exactly this address allows it", a)
}

// inside looks at the IPv4 address that an allowed translated one carries.
func (g guard) inside(a netip.Addr) error {
	if a.Is4() {
		return nil
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return g.check(netip.AddrFrom4([4]byte(b[12:])))
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return g.check(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return nil
}

func refusal(a netip.Addr, what string) error {
	entry := "its CIDR"
	if what == kindLoopback || what == kindPrivate {
		entry = what
	}
	return fmt.Errorf("%s (%s) must not be dialled unless allow names %s", a, what, entry)
}

// checkHost refuses a host that can never pass. Names pass: what they resolve to
// is seen when it is dialled.
func (g guard) checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return g.check(a)
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return errors.New("the host must be a name of letters, digits, - and . (others in their xn-- form) or an IP address")
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); strings.Trim(last, "0123456789") == "" || ok && strings.Trim(hex, "0123456789abcdef") == "" {
		// 0x7f000001, 2130706433, 127.1 and the like: some resolvers read them as addresses.
		return errors.New("the host is a number: write an IP address in its usual form")
	}
	if last == "localhost" && g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) != nil && g.check(netip.IPv6Loopback()) != nil {
		return errors.New("localhost must not be dialled unless allow names loopback")
	}
	return nil
}

// control is the hook of net.Dialer: address is what will be dialled.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("not an IP address: %v", err)
	}
	return g.check(a.Addr())
}
