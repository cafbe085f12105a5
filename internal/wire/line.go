package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
)

// line is one connection through the proxy, in PostgreSQL's protocol 3.
type line struct {
	proxy          *Proxy
	client, server net.Conn
	// cutting: a COMMIT was passed on whose answer must not arrive.
	cutting atomic.Bool
	// commits: the prepared statements that are one, by name; used by orders alone.
	commits map[string]bool
}

// Codes in the place of a protocol version, by which a client asks for something
// else than a session.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// longestOrder bounds the text that is searched for COMMIT; longer messages
// carry data and are passed on unread.
const longestOrder = 4 << 10

// orders passes on what the client says.
func (l *line) orders() {
	in, out := bufio.NewReaderSize(l.client, 64<<10), bufio.NewWriterSize(l.server, 64<<10)
	if !l.greeting(in, out) {
		return
	}
	for {
		head, err := in.Peek(5)
		if err != nil {
			return
		}
		length := int64(binary.BigEndian.Uint32(head[1:])) + 1
		if isOrder(head[0]) && length <= longestOrder {
			message, err := in.Peek(int(length))
			if err != nil {
				return
			}
			if l.runsCommit(message) && l.cut(out) {
				return
			}
		}
		if _, err := io.CopyN(out, in, length); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// cut makes the armed cut at a COMMIT that stands next in the stream. It reports
// whether the connection is to end without it.
func (l *line) cut(out *bufio.Writer) bool {
	switch armed := l.proxy.armed.Load(); Cut(armed) {
	case Before:
		if l.proxy.armed.CompareAndSwap(armed, 0) {
			_ = out.Flush() // as far as it goes: what follows is the end
			l.proxy.did(Before)
			return true
		}
	case After:
		if l.proxy.armed.CompareAndSwap(armed, 0) {
			l.cutting.Store(true)
		}
	}
	return false
}

// greeting passes on the first message, which has no type. Requests for
// encryption are refused here.
func (l *line) greeting(in *bufio.Reader, out *bufio.Writer) bool {
	for {
		head, err := in.Peek(8)
		if err != nil {
			return false
		}
		length, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if code == codeSSL || code == codeGSS {
			if _, err := in.Discard(8); err != nil {
				return false
			}
			if _, err := l.client.Write([]byte{'N'}); err != nil {
				return false
			}
			continue
		}
		if _, err := io.CopyN(out, in, int64(length)); err != nil || out.Flush() != nil {
			return false
		}
		return code != codeCancel
	}
}

// answers passes on what the server says. Of a COMMIT that is to be cut it waits
// for the answer and keeps it.
func (l *line) answers() {
	in := bufio.NewReaderSize(l.server, 64<<10)
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		waiting, err := in.Peek(in.Buffered())
		if err != nil {
			return
		}
		switch {
		case !l.cutting.Load():
			if _, err := l.client.Write(waiting); err != nil {
				return
			}
		case bytes.Contains(waiting, []byte("C\x00\x00\x00\x0bCOMMIT\x00")):
			l.proxy.did(After)
			return
		case bytes.HasSuffix(waiting, []byte("Z\x00\x00\x00\x05I")):
			return // COMMIT of what had failed before is a rollback
		}
		if _, err := in.Discard(len(waiting)); err != nil {
			return
		}
	}
}

// isOrder reports whether a message may run SQL: a simple query, a statement that
// is prepared, or one that is bound to be executed.
func isOrder(kind byte) bool { return kind == 'Q' || kind == 'P' || kind == 'B' }

// runsCommit reports whether a message makes the server commit. Preparing a COMMIT
// is none yet: it may be for its description only.
func (l *line) runsCommit(message []byte) bool {
	kind, text := message[0], message[5:]
	switch kind {
	case 'P':
		name, sql, _ := bytes.Cut(text, []byte{0})
		if l.commits == nil {
			l.commits = map[string]bool{}
		}
		l.commits[string(name)] = isCommit(sql)
		return false
	case 'B': // the portal's name, then the statement's
		_, text, _ = bytes.Cut(text, []byte{0})
		name, _, _ := bytes.Cut(text, []byte{0})
		return l.commits[string(name)]
	}
	return isCommit(text)
}

// isCommit reports whether SQL, up to a zero byte, ends with COMMIT.
func isCommit(text []byte) bool {
	sql, _, _ := bytes.Cut(text, []byte{0})
	last := strings.TrimRight(string(sql), "; \t\r\n")
	if i := strings.LastIndexByte(last, ';'); i >= 0 {
		last = last[i+1:]
	}
	switch strings.ToLower(strings.TrimSpace(last)) {
	case "commit", "commit work", "commit transaction", "end":
		return true
	}
	return false
}
