package words

import (
	"bytes"
	"slices"
)

// outcome of a walk through JSON.
type outcome int

const (
	walked  outcome = iota
	tooDeep         // nested deeper than anybody may
	notJSON
)

// walk goes through JSON without recursion and without keeping any of it. It is
// strict about the order of signs, and lenient about what strings and numbers hold:
// what it takes for JSON is looked at by the same eyes when it is searched.
type walk struct {
	body  []byte
	at    int
	in    []level
	visit func(*leaf)
}

// json walks through one value after the other, as in a body of several lines.
func (w *walk) json() outcome {
	wantValue := true
	for w.space() {
		c := w.body[w.at]
		switch {
		case wantValue && (c == '{' || c == '['):
			w.at++
			if len(w.in) == maxDepth {
				return tooDeep
			}
			w.in = append(w.in, level{array: c == '['})
			if w.skip(c + 2) { // } and ] stand two signs behind { and [
				w.in = w.in[:len(w.in)-1]
				wantValue = len(w.in) == 0
			} else if c == '{' && !w.key() {
				return notJSON
			}
		case wantValue:
			if !w.value() {
				return notJSON
			}
			wantValue = len(w.in) == 0
		case c == ',':
			w.at++
			top := &w.in[len(w.in)-1]
			top.index++
			if !top.array && !w.key() {
				return notJSON
			}
			wantValue = true
		case c == '}' || c == ']':
			if w.in[len(w.in)-1].array != (c == ']') {
				return notJSON
			}
			w.at++
			w.in = w.in[:len(w.in)-1]
			wantValue = len(w.in) == 0
		default:
			return notJSON
		}
	}
	if len(w.in) > 0 || len(bytes.TrimSpace(w.body)) == 0 {
		return notJSON
	}
	return walked
}

// space goes to the next sign, and reports whether there is one.
func (w *walk) space() bool {
	for w.at < len(w.body) {
		switch w.body[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return true
		}
	}
	return false
}

// skip goes past a sign if it is the next.
func (w *walk) skip(sign byte) bool {
	if w.space() && w.body[w.at] == sign {
		w.at++
		return true
	}
	return false
}

// key reads the key of a member, and its colon.
func (w *walk) key() bool {
	if !w.space() || w.body[w.at] != '"' {
		return false
	}
	raw, plain, ok := w.quoted()
	top := &w.in[len(w.in)-1]
	top.key, top.plain = raw, plain
	return ok && w.skip(':')
}

// quoted reads a string and gives what stands between its quotes.
func (w *walk) quoted() (raw []byte, plain, ok bool) {
	w.at++
	begin, plain := w.at, true
	for w.at < len(w.body) {
		switch w.body[w.at] {
		case '\\':
			plain = false
			w.at += 2
		case '"':
			w.at++
			return w.body[begin : w.at-1], plain, true
		default:
			w.at++
		}
	}
	return nil, false, false
}

// value reads a value that holds no others.
func (w *walk) value() bool {
	v := leaf{in: w.in}
	if w.body[w.at] == '"' {
		raw, plain, ok := w.quoted()
		if !ok {
			return false
		}
		if v.text = string(raw); !plain {
			v.text = unquote(raw)
		}
		w.visit(&v)
		return true
	}
	begin := w.at
	for w.at < len(w.body) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(w.body[w.at])) {
		w.at++
	}
	v.text = string(w.body[begin:w.at])
	v.literal = slices.Contains([]string{"true", "false", "null"}, v.text)
	if !v.literal && !number(v.text) {
		return false
	}
	w.visit(&v)
	return true
}

// number reports whether a text may stand for a number.
func number(s string) bool {
	digit := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c == '-' && i == 0, i > 0 && (c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'):
		default:
			return false
		}
	}
	return digit
}
