package forward_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/quick"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
)

func TestGuardKnowsWhatIsNotPublic(t *testing.T) {
	for _, test := range []struct {
		address string
		allow   string // by which entry it may be dialled; empty: public; -: only by itself
	}{
		{"93.184.215.14", ""}, {"9.255.255.255", ""}, {"11.0.0.0", ""}, {"172.15.255.255", ""}, {"172.32.0.0", ""},
		{"100.63.255.255", ""}, {"100.128.0.0", ""}, {"169.253.0.1", ""}, {"223.255.255.255", ""},
		{"2606:2800:21f::1", ""}, {"2a00:1450::1", ""}, {"::ffff:93.184.215.14", ""},
		{"127.0.0.1", "loopback"}, {"127.255.255.254", "loopback"}, {"::1", "loopback"},
		{"::ffff:127.0.0.1", "loopback"}, {"::1%lo", "loopback"},
		{"10.0.0.1", "private"}, {"172.16.0.1", "private"}, {"172.31.255.255", "private"}, {"192.168.1.1", "private"},
		{"fd12:3456::1", "private"}, {"fc00::1", "private"}, {"::ffff:10.0.0.1", "private"},
		{"169.254.169.254", "-"}, {"::ffff:169.254.169.254", "-"}, {"fd00:ec2::254", "-"}, {"fd20:ce::254", "-"},
		{"100.100.100.200", "-"}, {"168.63.129.16", "-"}, {"169.254.170.2", "-"}, {"192.0.0.192", "-"},
		{"0.0.0.0", "-"}, {"0.1.2.3", "-"}, {"::", "-"}, {"169.254.0.1", "-"}, {"fe80::1", "-"}, {"fe80::1%eth0", "-"},
		{"fec0::1", "-"}, {"100.64.0.1", "-"}, {"100.127.255.255", "-"}, {"192.0.0.1", "-"}, {"192.88.99.1", "-"},
		{"192.0.2.1", "-"}, {"198.51.100.1", "-"}, {"203.0.113.7", "-"}, {"2001:db8::1", "-"}, {"3fff::1", "-"},
		{"198.18.0.1", "-"}, {"198.19.255.255", "-"}, {"224.0.0.1", "-"}, {"239.255.255.255", "-"}, {"ff02::1", "-"},
		{"240.0.0.1", "-"}, {"255.255.255.255", "-"},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", "-"}, {"2001:10::1", "-"}, {"100::1", "-"}, {"5f00::1", "-"}, {"4000::1", "-"},
		// An address inside an address: the entry must name both.
		{"64:ff9b::7f00:1", "both"}, {"64:ff9b::a9fe:a9fe", "both"}, {"2002:7f00:1::1", "both"},
		{"::7f00:1", "-"}, {"::ffff:0:7f00:1", "-"}, {"64:ff9b:1::1", "-"},
	} {
		a := netip.MustParseAddr(test.address)
		plain := a.Unmap().WithZone("").String()
		for entry, want := range map[string]bool{
			"":         test.allow == "",
			"loopback": test.allow == "" || test.allow == "loopback",
			"private":  test.allow == "" || test.allow == "private",
			plain:      test.allow != "both",
		} {
			allow := []string{entry}
			if entry == "" {
				allow = nil
			}
			if err := forward.Check(allow, a); (err == nil) != want {
				t.Errorf("%s with allow %v: %v", test.address, allow, err)
			}
		}
	}
	for _, test := range []struct {
		address string
		allow   []string
		ok      bool
	}{
		{"64:ff9b::7f00:1", []string{"64:ff9b::/96"}, false},
		{"64:ff9b::7f00:1", []string{"64:ff9b::/96", "loopback"}, true},
		{"64:ff9b::5db8:d70e", []string{"64:ff9b::/96"}, true}, // 93.184.215.14 behind NAT64
		{"2002:a9fe:a9fe::1", []string{"2002::/16", "169.254.0.0/16"}, false},
		{"2002:a9fe:a9fe::1", []string{"2002::/16", "169.254.169.254"}, true},
		{"169.254.169.254", []string{"169.254.0.0/16"}, false},
		{"fd00:ec2::254", []string{"private"}, false}, {"fd00:ec2::254", []string{"fd00::/8"}, false},
		{"10.1.2.3", []string{"10.1.0.0/16"}, true}, {"10.2.2.3", []string{"10.1.0.0/16"}, false},
		{"10.1.2.3", []string{"10.1.99.99/16"}, true}, {"100.64.7.7", []string{"100.64.0.0/10"}, true},
	} {
		if err := forward.Check(test.allow, netip.MustParseAddr(test.address)); (err == nil) != test.ok {
			t.Errorf("%s with allow %v: %v", test.address, test.allow, err)
		}
	}
}

// hostile is every way of naming this machine, or another that must not be
// reached, that has worked somewhere.
var hostile = [...]string{
	"http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "http://0x7f000001/", "http://0x7f.1/",
	"http://2130706433/", "http://017700000001/", "http://0177.0.0.1/", "http://127.1/", "http://0/", "http://0.0.0.0/", "http://[::]/",
	"http://[::1]/", "http://[fe80::1%25lo]/", "http://[64:ff9b::7f00:1]/", "http://100.64.0.1/", "http://localhost/",
	"http://localhost./", "http://LOCALHOST/", "http://a.localhost/", "http://127.0.0.1./", "HTTP://127.0.0.1/", "hTTps://10.0.0.1/",
	"http://user@example.com/", "http://user:pass@example.com/", "http://127.0.0.1@example.com/", "file:///etc/passwd", "FILE:///etc/passwd",
	"gopher://example.com/", "unix:///run/x.sock", "//example.com/", "example.com/hooks", "http:example.com", "http://", "http:///x", "",
	"http://example.com:0/", "http://example.com:65536/", "http://example.com:/", "http://example.com/#f",
	"http://\uff11\uff12\uff17.0.0.1/", "http://example.com\u3002/", "http://exa mple.com/", "http://example.com\\@127.0.0.1/",
	"http://%31%32%37.0.0.1/", "http://[::1", "http://1.2.3.4.5/", "http://\x00/",
}

func TestHostileDestinationsAreRefusedAtTheStart(t *testing.T) {
	for _, to := range hostile {
		d := forward.Destination{Name: "app", To: to, Events: []string{"*:*"}, Sign: forward.SignStandardWebhooks, Secret: standardSecret}
		err := d.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), `destination "app": to: `) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", to, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass@") {
			t.Errorf("%q: the error repeats what may be a secret", to)
		}
	}
	for _, to := range []string{
		"https://app.example.com/internal/hooks", "http://example.com:8443", "https://93.184.215.14/", "https://[2606:2800:21f::1]:8443/x?token=y",
		"https://xn--bcher-kva.example/", "http://3com.example/", "HTTPS://EXAMPLE.COM/", "http://web:3000/x",
	} {
		d := forward.Destination{Name: "app", To: to, Events: []string{"*:*"}, Sign: forward.SignStandardWebhooks, Secret: standardSecret}
		if err := d.Validate(); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// nameServer answers A queries for any name with the next of its addresses,
// time to live 0, and the last one for ever.
func nameServer(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		asked := 0
		for buf := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			question := 12
			for buf[question] != 0 {
				question += int(buf[question]) + 1
			}
			question += 5
			if n < question {
				continue
			}
			reply := append([]byte{}, buf[:question]...)
			binary.BigEndian.PutUint16(reply[2:], 0x8180)
			binary.BigEndian.PutUint64(reply[4:], 1<<48) // one question, no answers
			if binary.BigEndian.Uint16(buf[question-4:]) == 1 {
				reply[7] = 1
				ip := netip.MustParseAddr(answers[min(asked, len(answers)-1)]).As4()
				reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
				asked++
			}
			_, _ = conn.WriteTo(reply, from) // whoever asked and went is not waited for
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// counter is a server on loopback that must not be reached.
func counter(t *testing.T) (*atomic.Int64, string) {
	t.Helper()
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &hits, u.Port()
}

func TestAnAddressIsJudgedWhenItIsDialled(t *testing.T) {
	hits, port := counter(t)
	to := "http://rebind.test:" + port + "/"

	// A name that is looked at and then dialled by name reaches loopback: the
	// check below would be worthless if this did not.
	resolver := nameServer(t, "93.184.215.14", "127.0.0.1")
	seen, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.test")
	if err != nil || len(seen) != 1 || forward.Check(nil, seen[0]) != nil {
		t.Fatalf("the name resolves to %v, %v; want a public address", seen, err)
	}
	naive := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}}
	resp, err := naive.Post(to, "text/plain", strings.NewReader("x"))
	if err != nil || hits.Load() != 1 {
		t.Fatalf("check, then dial by name: %d hits, %v; want loopback reached", hits.Load(), err)
	}
	resp.Body.Close()
	naive.CloseIdleConnections()

	for name, answers := range map[string][]string{
		"loopback": {"127.0.0.1"}, "metadata": {"169.254.169.254"}, "private": {"10.0.0.1"}, "unspecified": {"0.0.0.0"},
	} {
		f := newForwarder(t, forward.Destination{To: to})
		f.SetResolver(nameServer(t, answers...))
		begun := time.Now()
		_, err := f.Forward(t.Context(), anEvent())
		if err == nil || !strings.Contains(err.Error(), answers[0]) || hook.Permanent(err) || time.Since(begun) > 3*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(begun))
		}
	}
	if hits.Load() != 1 {
		t.Errorf("loopback was reached %d times behind the guard", hits.Load()-1)
	}
	f := newForwarder(t, forward.Destination{To: to, Allow: []string{"loopback"}})
	f.SetResolver(nameServer(t, "127.0.0.1"))
	if _, err := f.Forward(t.Context(), anEvent()); err != nil || hits.Load() != 2 {
		t.Errorf("allowed by name: %v, %d hits", err, hits.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	hits, port := counter(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:"+port+"/", status))
		f := newForwarder(t, forward.Destination{To: srv.URL, Allow: []string{"loopback"}})
		got, err := f.Forward(t.Context(), anEvent())
		if got != status || err == nil || hook.Permanent(err) || !strings.Contains(err.Error(), "not followed") {
			t.Errorf("%d: %d, %v", status, got, err)
		}
		srv.Close()
	}
	if hits.Load() != 0 {
		t.Errorf("%d redirects were followed", hits.Load())
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	bounded := func(text string) bool {
		d, ok := forward.RetryAfter(text, now)
		return d >= 0 && d <= 12*time.Hour && (ok || d == 0)
	}
	number := func(n int64, fraction uint8) bool {
		return bounded(fmt.Sprint(n)) && bounded(fmt.Sprintf("%d.%d", n, fraction))
	}
	date := func(away time.Duration) bool { return bounded(now.Add(away).Format(http.TimeFormat)) }
	for _, property := range []any{bounded, number, date} {
		if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
			t.Error(err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, " 120 ": 2 * time.Minute, "999999999": 12 * time.Hour, "99999999999999999999": 12 * time.Hour,
		"Sun, 01 Mar 2026 09:05:00 GMT": 5 * time.Minute, "Sun, 01 Mar 2099 09:05:00 GMT": 12 * time.Hour,
		"Sun, 01 Mar 2026 08:00:00 GMT": -1, "-1": -1, "1.5": -1, "soon": -1, "": -1, "1e3": -1,
	} {
		got, ok := forward.RetryAfter(text, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: got %s, %v", text, got, ok)
		}
	}
}
