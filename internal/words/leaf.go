package words

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of paths and of JSON.
const (
	maxPaths     = 32
	maxPathBytes = 200
	maxParts     = 32
	maxDepth     = 1000 // as the door's: deeper bodies are quarantined
)

// path is a named path in its parts.
type path []string

// parsePath reads a path: parts between dots, \. and \\ for these signs in a key.
func parsePath(s string) (path, error) {
	if s == "" || len(s) > maxPathBytes || !utf8.ValidString(s) {
		return nil, fmt.Errorf("path %.80q: want 1 to %d bytes such as data.object.customer", s, maxPathBytes)
	}
	var p path
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			part.WriteByte(s[i])
		case s[i] == '.':
			p = append(p, part.String())
			part.Reset()
		default:
			part.WriteByte(s[i])
		}
	}
	p = append(p, part.String())
	for _, one := range p {
		if one == "" {
			return nil, fmt.Errorf("path %.80q: has an empty part", s)
		}
	}
	if len(p) > maxParts {
		return nil, fmt.Errorf("path %.80q: more than %d parts", s, maxParts)
	}
	return p, nil
}

// leaf is a value that holds no others, with where it stands.
type leaf struct {
	text    string // of a string what it says; of a number, true, false and null what is written
	literal bool   // true, false or null
	in      []level
}

// level is one object or array that is open.
type level struct {
	array bool
	index int    // in an array: of the element that is being read
	key   []byte // in an object: as it is written
	plain bool   // the key holds no escape
}

// at reports whether the leaf stands at a path.
func (v *leaf) at(p path) bool {
	if len(p) != len(v.in) {
		return false
	}
	for i := range v.in {
		l := &v.in[i]
		switch {
		case l.array:
			if p[i] != "#" && p[i] != strconv.Itoa(l.index) {
				return false
			}
		case l.plain:
			if p[i] != string(l.key) {
				return false
			}
		case p[i] != unquote(l.key):
			return false
		}
	}
	return true
}

// leaves calls visit for each value of a body: of JSON, of a form, or for the body
// as one text. again is called if what looked like JSON turns out to be none: what
// was visited so far does not count.
func leaves(body []byte, visit func(*leaf), again func()) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if !utf8.Valid(body) {
		return
	}
	w := walk{body: body, visit: visit}
	switch w.json() {
	case walked:
		return
	case tooDeep:
		again()
		return
	}
	again()
	if form, ok := formOf(body); ok {
		for _, field := range form {
			in := []level{{key: []byte(field[0]), plain: true}}
			visit(&leaf{text: field[1], in: in})
		}
		return
	}
	visit(&leaf{text: string(body)})
}

// formOf reads an urlencoded form; other texts are none.
func formOf(body []byte) (fields [][2]string, ok bool) {
	if !bytes.ContainsRune(body, '=') || bytes.ContainsAny(body, " \t\r\n<>\"{}") {
		return nil, false
	}
	for pair := range strings.SplitSeq(string(body), "&") {
		key, value, _ := strings.Cut(pair, "=")
		k, errKey := url.QueryUnescape(key)
		v, errValue := url.QueryUnescape(value)
		if errKey != nil || errValue != nil || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, false
		}
		fields = append(fields, [2]string{k, v})
	}
	return fields, true
}

// unquote gives what a string of JSON says, without its quotes.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	quoted := append(append([]byte{'"'}, raw...), '"')
	if json.Unmarshal(quoted, &s) != nil {
		return string(raw)
	}
	return s
}
