// Package show makes what strangers have sent fit to be looked at: it makes
// visible what would steer a page or a terminal, masks what is nobody's
// business, lays JSON out without changing a number, lists what differs between
// two bodies, writes a delivery as a shell command, and measures out charts.
//
// It promises to end and never to panic on any bytes, and that its texts hold no
// control characters but the line feed and the tab. It refuses to write HTML:
// that is the templates' business, which escape what comes from here.
package show

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxInlineBytes is the largest body that is laid out on a page.
const MaxInlineBytes = 64 << 10

// Visible writes every sign that steers instead of being seen as its number
// between brackets: controls, those that turn the direction of text, and bytes
// that are no text. Line feed and tab stay.
func Visible(page []byte) []byte {
	if utf8.Valid(page) && !bytes.ContainsFunc(page, steers) {
		return page
	}
	out := make([]byte, 0, len(page)+64)
	for len(page) > 0 {
		r, n := utf8.DecodeRune(page)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, "⟨%02X⟩", page[0])
		case steers(r):
			out = fmt.Appendf(out, "⟨U+%04X⟩", r)
		default:
			out = append(out, page[:n]...)
		}
		page = page[n:]
	}
	return out
}

func steers(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return r < 0x20 || r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// Short cuts a text to n signs, with an ellipsis where something is left out.
func Short(n int, s string) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count == n {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// Kind is how a body is shown.
type Kind string

// The kinds of a body's form.
const (
	KindJSON  Kind = "json"
	KindText  Kind = "text"
	KindHex   Kind = "hex"
	KindEmpty Kind = "empty"
)

// Body lays a body out: JSON with one value a line, its keys in their order and
// its numbers as they were written; other text as it is; anything else in hex.
// It reads no more than MaxInlineBytes; whole says whether that was everything.
func Body(body []byte) (text string, kind Kind, whole bool) {
	whole = len(body) <= MaxInlineBytes
	switch {
	case len(body) == 0:
		return "", KindEmpty, true
	case whole && shallow(body):
		var b bytes.Buffer
		if json.Indent(&b, body, "", "  ") == nil {
			return string(Visible(b.Bytes())), KindJSON, true
		}
	}
	part := body[:min(len(body), MaxInlineBytes)]
	if utf8.Valid(body) {
		return string(Visible(bytes.ToValidUTF8(part, nil))), KindText, whole
	}
	part = part[:min(len(part), MaxInlineBytes/4)]
	return hex.Dump(part), KindHex, len(part) == len(body)
}

// maxDepth is deeper than any sender nests; encoding/json bears ten times that.
const maxDepth = 1000

// shallow reports JSON of at most maxDepth levels, without recursion.
func shallow(body []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// Curl is a shell command that delivers exactly these bytes again. The headers
// are those that were kept; every text in it is quoted for a shell.
func Curl(path string, header map[string][]string, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "printf %%s '%s' | base64 -d | curl -sS -X POST \"$URL\"%s", base64Of(body), quote(path))
	for _, name := range sortedNames(header) {
		switch strings.ToLower(name) {
		case "content-length", "host", "connection", "transfer-encoding", "accept-encoding", "expect":
			continue
		}
		for _, value := range header[name] {
			fmt.Fprintf(&b, " \\\n  -H %s", quote(name+": "+string(Visible([]byte(value)))))
		}
	}
	b.WriteString(" \\\n  --data-binary @-")
	return b.String()
}

func quote(s string) string {
	s = strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
