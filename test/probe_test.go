//go:build hktest

package test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probe is one text on a connection of its own, and what may come back. Together
// they are framing that parsers disagree about, limits, and senders that never
// end.
type probe struct {
	name  string
	text  string
	drip  string        // sent behind it for ever
	codes []int         // that are right; 0 is a connection closed without an answer
	close bool          // the connection must end
	row   bool          // it, or the request behind it, is recorded
	by    time.Duration // latest end; zero: a second
}

// framed is a probe whose framing is accepted, so that the signature decides:
// signed it is recorded, unsigned it is refused.
type framed struct {
	name  string
	body  string // as the handler must see it
	text  func(header ...string) string
	close bool
}

// post is the base request, Host included, with a body under whatever framing
// the headers say.
func post(wire string, more ...string) func(header ...string) string {
	return func(header ...string) string {
		return request("/hooks/narrow", wire, slices.Concat([]string{"Host: h"}, header, more)...)
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // into memory
	_ = z.Close()
	return b.String()
}

func framedProbes() []framed {
	length := func(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) }
	gz := zipped(`{"a":1}`)
	lf := func(f func(...string) string) func(...string) string {
		return func(header ...string) string { return strings.ReplaceAll(f(header...), "\r\n", "\n") }
	}
	return []framed{
		{name: "content length", body: "p01", text: post("p01", "Content-Length: 3")},
		{name: "content length and chunked", body: "p02",
			text: post(chunked("p02"), "Content-Length: 3", "Transfer-Encoding: chunked"), close: true},
		{name: "content length twice, equal", body: "p08", text: post("p08", "Content-Length: 3", "Content-Length: 3")},
		{name: "header lines ended by bare LF", body: "p15", text: lf(post("p15", "Content-Length: 3"))},
		{name: "obs-fold", body: "p16", text: post("p16", "X-Folded: a", " b", "Content-Length: 3")},
		{name: "HTTP/1.0 without Host", body: "p22", close: true, text: func(header ...string) string {
			text := request("/hooks/narrow", "p22", append(header, "Content-Length: 3")...)
			return strings.Replace(text, "HTTP/1.1", "HTTP/1.0", 1)
		}},
		{name: "absolute URI with another host", body: "p23", text: func(header ...string) string {
			return strings.Replace(post("p23", "Content-Length: 3")(header...), "/hooks/", "http://elsewhere.example/hooks/", 1)
		}},
		{name: "gzip", body: gz, text: post(gz, length(gz), "Content-Encoding: gzip")},
		{name: "expect 100", body: "p32", text: post("p32", "Content-Length: 3", "Expect: 100-continue")},
		{name: "empty chunks", body: "", close: true, text: post("0\r\n\r\n", "Transfer-Encoding: chunked")},
	}
}

// signature is the header that makes a body good.
func signature(body string) string {
	return legacyHeader + ": " + byLegacy("narrow", legacySecret, []byte(body)).header.Get(legacyHeader)
}

// refusedProbes are those that no signature saves: each is well signed.
func refusedProbes() []probe {
	bad := func(name, wire string, more ...string) probe {
		return probe{name: name, text: post(wire, more...)(signature("abc")), codes: []int{400}, close: true}
	}
	te := func(name, value string) probe {
		p := bad(name, chunked("abc"), "Transfer-Encoding: "+value)
		p.codes = []int{501}
		return p
	}
	twice := te("transfer encoding twice", "chunked")
	twice.text = post(chunked("abc"), "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")(signature("abc"))
	extended := bad("chunk extension of 20 KB", "3;x="+strings.Repeat("y", 20_000)+"\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
	extended.codes = []int{400, 413, 0}
	return []probe{
		te("xchunked", "xchunked"), te("chunked, identity", "chunked, identity"), twice,
		bad("space before the colon", chunked("abc"), "Transfer-Encoding : chunked"),
		bad("content length twice, different", "abc", "Content-Length: 3", "Content-Length: 4"),
		bad("content length +3", "abc", "Content-Length: +3"),
		bad("content length -1", "abc", "Content-Length: -1"),
		bad("content length 3, 3", "abc", "Content-Length: 3, 3"),
		bad("chunk line ended by bare LF", "3\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
		bad("chunk of a size that is none", "zz\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
		extended,
		bad("NUL in a header", "abc", "X: a\x00b", "Content-Length: 3"),
		bad("bare CR in a header", "abc", "X: a\rb", "Content-Length: 3"),
		{name: "no Host", text: request("/hooks/narrow", "abc", signature("abc"), "Content-Length: 3"), codes: []int{400}, close: true},
		bad("two Host", "abc", "Host: other", "Content-Length: 3"),
		{name: "HTTP/0.9", text: "POST /hooks/narrow\r\n\r\nabc", codes: []int{400}, close: true},
		bad("expect banana", "abc", "Expect: banana", "Content-Length: 3").answered(417),
		bad("header of 2 MB", "abc", "X: "+strings.Repeat("x", 2<<20), "Content-Length: 3").answered(431),
		bad("5,000 headers", "abc", strings.Repeat("X-H: a\r\n", 5000)+"Content-Length: 3").answered(431),
		bad("over the limit, declared", strings.Repeat("x", 100_000), "Content-Length: 100000").answered(413),
		bad("over the limit, chunked", chunked(strings.Repeat("x", 100_000)), "Transfer-Encoding: chunked").answered(413),
		bad("100 GB declared", "abc", "Content-Length: 99999999999").answered(413),
		{name: "HTTP/2 preface", text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", codes: []int{400}, close: true},
	}
}

func (p probe) answered(codes ...int) probe {
	p.codes = codes
	return p
}

// otherProbes end in a way of their own.
func otherProbes() []probe {
	path := func(path string) probe {
		text := strings.Replace(post("abc", "Content-Length: 3")(signature("abc")), "/hooks/narrow", path, 1)
		return probe{name: "path " + path, text: text, codes: []int{404, 400}}
	}
	smuggled := post("p03", "Content-Length: 3")(signature("p03"))
	big := strings.Repeat("x", 20<<10)
	return []probe{
		{name: "a request behind content length and chunked", close: true, codes: []int{401},
			text: post("0\r\n\r\n"+smuggled, "Content-Length: 4", "Transfer-Encoding: chunked")(signature("abc"))},
		{name: "a request behind a short content length", codes: []int{401}, row: true,
			text: post("ab"+smuggled, "Content-Length: 2")()},
		path("/hooks/..%2f..%2fetc"), path("/hooks/../hooks/narrow"), path("/hooks/a%0d%0aX:"), path("/hooks/a%1b%5b31m"),
		{name: "GET", text: "GET /hooks/narrow HTTP/1.1\r\nHost: h\r\n\r\n", codes: []int{405}},
		{name: "header of 20 KB", text: post("p28", "X: "+big, "Content-Length: 3")(), codes: []int{401, 431}},
		{name: "ten bytes declared, three sent", text: post("abc", "Content-Length: 10")(signature("abc")),
			codes: []int{408, 0}, close: true, by: 6 * time.Second},
		{name: "a chunk that never ends", text: post("10\r\nabc", "Transfer-Encoding: chunked")(signature("abc")),
			codes: []int{408, 0}, close: true, by: 6 * time.Second},
		{name: "a body byte by byte", text: post("", "Content-Length: 1000")(signature("abc")), drip: "x",
			codes: []int{408, 0}, close: true, by: 12 * time.Second},
		{name: "TLS hello", text: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", codes: []int{400, 0}, close: true, by: 6 * time.Second},
		{name: "header that never ends", text: "POST /hooks/narrow HTTP/1.1\r\nHost: h\r\nX: ", drip: "x",
			codes: []int{400, 408, 0}, close: true, by: 6 * time.Second},
		{name: "nothing at all", codes: []int{400, 408, 0}, close: true, by: 6 * time.Second},
	}
}

func TestRawProbesAreAnsweredAsWritten(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rows := map[string]string{} // sha256 of the body: probe
	t.Run("probes", func(t *testing.T) {
		for _, f := range framedProbes() {
			rows[sum([]byte(f.body))] = f.name
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				s.judgeProbe(t, probe{text: f.text(), codes: []int{401}, close: f.close})
				s.judgeProbe(t, probe{text: f.text(signature(f.body + "?")), codes: []int{401}, close: f.close})
				s.judgeProbe(t, probe{text: f.text(signature(f.body)), codes: []int{200}, close: f.close, row: true})
			})
		}
		for _, p := range slices.Concat(refusedProbes(), otherProbes()) {
			if p.row {
				rows[sum([]byte("p03"))] = p.name
			}
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				s.judgeProbe(t, p)
			})
		}
	})
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("a probe made the server complain: %s", line)
		}
	}
	for _, e := range s.events(t) {
		if e.Source != "narrow" || rows[e.SHA256] == "" {
			t.Errorf("a probe left the row %+v", e)
		}
		delete(rows, e.SHA256)
	}
	for _, name := range rows {
		t.Errorf("probe %q was to be recorded", name)
	}
	if a := s.send(stripe(stripeEvent("evt_alive", defaultSubject, ""))); a.code != 200 {
		t.Errorf("after the probes an honest delivery is answered %v", a)
	}
}

func (s *server) judgeProbe(t *testing.T, p probe) {
	t.Helper()
	by := max(p.by, time.Second)
	// Under load an answer may come a little later than it is due.
	e := s.speak(t, p.text, p.drip, by+2*time.Second)
	if !slices.Contains(p.codes, e.code()) || p.close && !e.closed || e.took > by+time.Second {
		t.Errorf("%v, want one of %v (0: none), closed %t, within %s", e, p.codes, p.close, by)
	}
	want := 1
	if p.row && e.code() != 200 {
		want = 2 // the refused one and the one behind it
	}
	if len(e.replies) > want {
		t.Errorf("%d answers, want at most %d: %v", len(e.replies), want, e)
	}
	for i, r := range e.replies {
		if r.code/100 == 3 || r.code/100 == 5 && r.code != 501 || r.code/100 == 2 && !p.row {
			t.Errorf("answer %d is %d: %s", i, r.code, r.body)
		}
	}
	if len(e.replies) > 0 && p.close && e.code() == 200 && !e.replies[0].close && !strings.Contains(p.text, "HTTP/1.0") {
		t.Errorf("the answer does not say Connection: close")
	}
	if len(e.replies) == 2 && (e.replies[1].code != 200 || !p.row) {
		t.Errorf("the request behind is answered %s", fmt.Sprint(e.replies[1]))
	}
}
