//go:build hktest

package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// reply is one answer on a raw connection.
type reply struct {
	code   int
	header http.Header
	close  bool // the answer says that the connection ends
	body   []byte
}

// exchange is everything that came back on one connection.
type exchange struct {
	replies []reply // without 1xx
	closed  bool    // by the server
	took    time.Duration
}

func (e exchange) code() int {
	if len(e.replies) == 0 {
		return 0
	}
	return e.replies[0].code
}

func (e exchange) String() string {
	var codes []int
	for _, r := range e.replies {
		codes = append(codes, r.code)
	}
	return fmt.Sprintf("answers %v, closed %t, after %s", codes, e.closed, e.took.Round(time.Millisecond))
}

// speak sends text on a connection of its own, and drip behind it again and
// again for as long as the server listens. It hears for at most wait until the
// first answer, then for a moment, or until the end if the answer promises one.
func (s *server) speak(t *testing.T, text string, drip string, wait time.Duration) exchange {
	t.Helper()
	return speakTo(t, s.public, text, drip, wait)
}

func speakTo(t *testing.T, address, text, drip string, wait time.Duration) exchange {
	t.Helper()
	const open, promised = 300 * time.Millisecond, 7 * time.Second
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		if _, err := io.WriteString(c, text); err != nil {
			return // it does not want to hear more
		}
		tick := time.NewTicker(400 * time.Millisecond)
		defer tick.Stop()
		for drip != "" {
			<-tick.C
			if _, err := io.WriteString(c, drip); err != nil {
				return
			}
		}
	}()
	defer func() { c.Close(); <-hung }()
	var e exchange
	in := bufio.NewReader(c)
	_ = c.SetReadDeadline(began.Add(wait)) // a closed connection fails below
	for {
		r, err := hear(in, strings.HasPrefix(text, "HEAD "))
		if err != nil {
			e.closed = !errors.Is(err, os.ErrDeadlineExceeded)
			if len(e.replies) == 0 || e.closed && e.took == 0 {
				e.took = time.Since(began)
			}
			return e
		}
		if r.code/100 == 1 {
			continue
		}
		if e.replies = append(e.replies, r); len(e.replies) == 1 {
			e.took = time.Since(began)
		}
		until := open
		if r.close {
			until = promised
		}
		_ = c.SetReadDeadline(time.Now().Add(until))
	}
}

func hear(in *bufio.Reader, head bool) (reply, error) {
	asked := &http.Request{Method: http.MethodPost}
	if head {
		asked.Method = http.MethodHead
	}
	if _, err := in.Peek(1); err != nil {
		return reply{}, err
	}
	resp, err := http.ReadResponse(in, asked)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && resp.ContentLength >= 0 {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, resp.Close, body}, nil
}

// request is the text of a POST with the headers given, and as they stand.
func request(path, body string, header ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\n", path)
	for _, h := range header {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n" + body
}

func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

func TestWrongDoorsAreClosed(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	signed := func(body string) string {
		return legacyHeader + ": " + byLegacy("narrow", legacySecret, []byte(body)).header.Get(legacyHeader)
	}
	body := "abc"
	for _, path := range []string{
		"/", "/hooks", "/hooks/", "/hooks/nobody", "/hooks/narrow/", "/hooks/narrow/b", "/hooks/a/b", "//hooks/narrow",
		"/hooks//narrow", "/hooks/./narrow", "/hooks/%2e%2e/hooks/narrow", "/hooks/%2e", "/hooks/..", "/hooks/NARROW",
		"/hooks/narrow%20", "/hooks/narrow%00", "/hooks/narrow%2f", "/hooks/narrow;a=b", "/hooks/n%ff", "/Hooks/narrow",
		"/hooks/" + strings.Repeat("a", 3000), "/dashboard/", "/api/v1/events", "/metrics", "/debug/pprof/",
	} {
		e := s.speak(t, request(path, body, "Host: h", signed(body), "Content-Length: 3", "Connection: close"), "", 5*time.Second)
		if e.code() != http.StatusNotFound {
			t.Errorf("%.60s: %v, want 404", path, e)
			continue
		}
		wantRefusal(t, path, e.replies[0])
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post", "BREW"} {
		text := strings.Replace(request("/hooks/narrow", body, "Host: h", signed(body), "Content-Length: 3", "Connection: close"), "POST", method, 1)
		e := s.speak(t, text, "", 5*time.Second)
		if e.code() != http.StatusMethodNotAllowed || e.replies[0].header.Get("Allow") != "POST" {
			t.Errorf("%s: %v, want 405 and Allow: POST", method, e)
		}
	}
	if got := s.events(t); len(got) != 0 {
		t.Errorf("wrong doors left %+v", got)
	}
	for metric, want := range map[string]float64{`hookkeeper_deliveries_total{outcome="rejected",source="unknown"}`: 1} {
		if got := s.metric(t, metric); got < want {
			t.Errorf("%s is %v", metric, got)
		}
	}
}

func wantRefusal(t *testing.T, what string, r reply) {
	t.Helper()
	var a answer
	if err := json.Unmarshal(r.body, &a); err != nil || a.Status != "rejected" || a.Event != "" {
		t.Errorf("%.60s: the answer's body is %.200q (%v), want JSON with status rejected", what, r.body, err)
	}
	if bytes.Contains(r.body, []byte(unknownToThem)) {
		t.Errorf("%.60s: the answer repeats the body", what)
	}
}

// Who announces a body and never sends it may not hold a connection, not even
// where nobody wants to read it.
func TestUnreadBodiesHoldNoConnection(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	for _, c := range []struct{ name, address, line, framing string }{
		{"no such source", s.public, "POST /hooks/nobody", "Content-Length: 10"},
		{"no such source, chunked", s.public, "POST /hooks/nobody", "Transfer-Encoding: chunked"},
		{"other method", s.public, "PUT /hooks/stripe", "Content-Length: 10"},
		{"over the limit", s.public, "POST /hooks/narrow", "Content-Length: 65537"},
		{"health", s.public, "GET /healthz", "Content-Length: 10"},
		{"metrics", s.operator, "GET /metrics", "Content-Length: 10"},
		{"no token", s.operator, "POST /api/v1/events/x/replay", "Content-Length: 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := c.line + " HTTP/1.1\r\nHost: h\r\n" + c.framing + "\r\n\r\n"
			began := time.Now()
			e := speakTo(t, c.address, text, "", 7*time.Second)
			if took := time.Since(began); !e.closed || took > 7*time.Second {
				t.Errorf("%v, want closed within 6 s", e)
			}
		})
	}
}

func TestTooMuchIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	head := func(source string, header ...string) string {
		return request("/hooks/"+source, "", append([]string{"Host: h"}, header...)...)
	}
	cases := map[string]struct {
		text string
		code int
	}{
		"declared over 64 KiB":       {head("narrow", "Content-Length: 65537"), 413},
		"declared over 1 MiB":        {head("stripe", "Content-Length: 1048577"), 413},
		"declared over 25 MiB":       {head("github", "Content-Length: 26214401"), 413},
		"declared over, expects 100": {head("narrow", "Content-Length: 65537", "Expect: 100-continue"), 413},
		"declared over by far":       {head("stripe", "Content-Length: 9223372036854775807"), 413},
		"nobody, expects 100":        {head("nobody", "Content-Length: 10", "Expect: 100-continue"), 404},
		"32 KiB of header":           {head("narrow", "X-Pad: "+strings.Repeat("x", 32<<10), "Content-Length: 0"), 431},
	}
	t.Run("declared", func(t *testing.T) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := s.speak(t, c.text, "", 3*time.Second)
				if e.code() != c.code || !e.closed || e.took > time.Second {
					t.Errorf("%v, want %d at once and then the connection closed", e, c.code)
				}
				if e.code() == 413 || e.code() == 404 {
					wantRefusal(t, name, e.replies[0])
				}
			})
		}
	})
	// A limit is for what comes, not for what is said.
	long := strings.Repeat("x", 100_000)
	e := s.speak(t, request("/hooks/narrow", chunked(long), "Host: h", "Transfer-Encoding: chunked"), "", 5*time.Second)
	if e.code() != 413 || !e.closed || !e.replies[0].close {
		t.Errorf("chunked over the limit: %v, want 413 and Connection: close", e)
	}
	full := strings.Repeat("y", 64<<10) // exactly the limit
	a := s.send(byLegacy("narrow", legacySecret, []byte(full)))
	if a.code != http.StatusOK {
		t.Errorf("a body of exactly the limit is answered %v", a)
	}
	if got := s.events(t); len(got) != 1 {
		t.Errorf("%d rows, want the one of the full body", len(got))
	}
}

func TestAtMostEightSignaturesAreTried(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	body := stripeEvent("evt_many", defaultSubject, "")
	good := stripe(body)
	stamp, mine, _ := strings.Cut(good.header.Get("Stripe-Signature"), ",")
	wrong := ",v1=" + strings.Repeat("0", 64)
	for _, c := range []struct{ before, code int }{{200, 400}, {8, 400}} {
		d := delivery{"stripe", good.header.Clone(), body}
		d.header.Set("Stripe-Signature", stamp+strings.Repeat(wrong, c.before)+","+mine)
		if a := s.send(d); a.code != c.code || a.Status != "rejected" {
			t.Errorf("the good signature behind %d others is answered %v, want %d", c.before, a, c.code)
		}
	}
	for header, value := range map[string]string{
		"two times": stamp + ",t=1," + mine, "no time": mine, "empty": "", "10,000 × v1=": strings.Repeat("v1=,", 3000),
	} {
		d := delivery{"stripe", good.header.Clone(), body}
		d.header.Set("Stripe-Signature", value)
		if a := s.send(d); a.code != 400 || a.Status != "rejected" {
			t.Errorf("%s: answered %v, want 400 rejected", header, a)
		}
	}
	for _, at := range []time.Duration{-310 * time.Second, 310 * time.Second, 10 * 365 * 24 * time.Hour} {
		d := byStripe("stripe", stripeSecret, body, time.Now().Add(at))
		reason := "timestamp_too_old"
		if at > 0 {
			reason = "timestamp_in_future"
		}
		s.refused(t, d, 400, reason)
	}
	if got := s.events(t); len(got) != 0 {
		t.Errorf("refused deliveries left %+v", got)
	}
	good.header.Set("Stripe-Signature", stamp+strings.Repeat(wrong, 7)+","+mine)
	s.recorded(t, good)
}
