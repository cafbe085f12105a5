package source

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// maxDepth is the deepest nesting that is read. Real bodies stay below 20; a
// parser that recurses spends a megabyte of brackets as stack.
const maxDepth = 1000

// Why a body cannot be read. All of them quarantine as unreadable.
var (
	errNotObject = errors.New("the body is not a JSON object")
	errSyntax    = errors.New("the body is not well-formed JSON")
	errTooDeep   = errors.New("the body is nested deeper than 1000 levels")
)

// scanner walks once over a body without recursion and without allocating: it
// checks the grammar and the depth, and hands keys and values on the watched
// paths to a peek. Everything later rests on this walk, so nothing else parses
// a body that has not passed it.
type scanner struct {
	b       []byte
	i       int
	depth   int
	objects [maxDepth/64 + 1]uint64 // bit d: the container at depth d is an object, else an array
	out     *peek
}

// run reads the whole body. root is the node of the outermost object.
func (s *scanner) run(root *node) error {
	s.space()
	if s.at() != '{' {
		return errNotObject
	}
	target := root
	for {
		opened, err := s.value(target)
		if err == nil && opened && !s.empty() {
			if target, err = s.member(); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		more, err := s.close()
		if err != nil || !more {
			return err
		}
		if target, err = s.member(); err != nil {
			return err
		}
	}
}

// at is the byte at the cursor, or 0 at the end, which is no JSON byte.
func (s *scanner) at() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// space skips white space.
func (s *scanner) space() {
	if s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.blanks()
	}
}

// blanks is space where there is some. Senders indent with runs of spaces, which
// go eight at a time.
func (s *scanner) blanks() {
	b, i := s.b, s.i
	for i < len(b) && b[i] <= ' ' {
		if c := b[i]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
		i++
		for len(b)-i >= 8 {
			other := binary.LittleEndian.Uint64(b[i:]) ^ ones*' '
			i += bits.TrailingZeros64(other) / 8 // 8 if there is none
			if other != 0 {
				break
			}
		}
	}
	s.i = i
}

func (s *scanner) inObject() bool { return s.objects[s.depth/64]&(1<<(s.depth%64)) != 0 }

// value reads a scalar, or opens a container.
func (s *scanner) value(n *node) (opened bool, err error) {
	s.space()
	start, kind, escaped := s.i, s.at(), false
	switch kind {
	case '{', '[':
		s.i++
		return true, s.open(n, kind)
	case '"':
		escaped, err = s.text()
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	default:
		kind = '0'
		err = s.number()
	}
	if err == nil && n != nil {
		s.out.keep(n, value{kind: kind, escaped: escaped, start: start, end: s.i})
	}
	return false, err
}

func (s *scanner) open(n *node, kind byte) error {
	if s.depth++; s.depth > maxDepth {
		return errTooDeep
	}
	if kind == '{' {
		s.objects[s.depth/64] |= 1 << (s.depth % 64)
	} else {
		s.objects[s.depth/64] &^= 1 << (s.depth % 64)
	}
	s.out.enter(s.depth, n)
	if n != nil {
		s.out.keep(n, value{kind: kind, start: s.i - 1})
	}
	return nil
}

// empty reports whether the container just opened closes at once. close then
// finds its bracket.
func (s *scanner) empty() bool {
	s.space()
	c := s.at()
	return c == '}' && s.inObject() || c == ']' && !s.inObject()
}

// close ends containers after a value, until one has another member (true) or
// the body ends (false).
func (s *scanner) close() (more bool, err error) {
	for s.depth > 0 {
		s.space()
		closer := byte(']')
		if s.inObject() {
			closer = '}'
		}
		switch s.at() {
		case closer:
			s.i++
			s.depth--
		case ',':
			s.i++
			return true, nil
		default:
			return false, errSyntax
		}
	}
	if s.space(); s.i < len(s.b) {
		return false, errSyntax
	}
	return false, nil
}

// member reads up to the value of the next member and returns the node that
// watches it, if any.
func (s *scanner) member() (*node, error) {
	if !s.inObject() {
		return s.out.element(s.depth), nil
	}
	s.space()
	start := s.i
	if s.at() != '"' {
		return nil, errSyntax
	}
	escaped, err := s.text()
	if err != nil {
		return nil, err
	}
	end := s.i
	if s.space(); s.at() != ':' {
		return nil, errSyntax
	}
	s.i++
	return s.out.member(s.depth, s.b[start:end], escaped), nil
}

// text reads a string from its opening to behind its closing quote.
func (s *scanner) text() (escaped bool, err error) {
	b := s.b
	for i := s.i + 1; i < len(b); i++ {
		for len(b)-i >= 8 {
			first := special(binary.LittleEndian.Uint64(b[i:]))
			i += first
			if first < 8 {
				break
			}
		}
		if i == len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return escaped, nil
		case c < ' ':
			return false, errSyntax
		case c == '\\':
			escaped = true
			n := escapeLen(b[i+1:])
			if n == 0 {
				return false, errSyntax
			}
			i += n
		}
	}
	return false, errSyntax
}

const ones = 0x0101010101010101

// special is the place of the first of eight bytes that is a quote, a backslash
// or a control character, or 8. Subtracting borrows only upwards, so the lowest
// mark is always a true one.
func special(w uint64) int {
	quote, slash := w^ones*'"', w^ones*'\\'
	marks := (quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w
	return bits.TrailingZeros64(marks&(ones<<7)) / 8
}

// escapeLen is how many bytes behind a backslash belong to it, 0 for none.
func escapeLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) < 5 {
			return 0
		}
		for _, c := range b[1:5] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 5
	}
	return 0
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return errSyntax
	}
	s.i += len(word)
	return nil
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) number() error {
	if s.at() == '-' {
		s.i++
	}
	if s.at() == '0' {
		s.i++
	} else if !s.digits() {
		return errSyntax
	}
	if s.at() == '.' {
		s.i++
		if !s.digits() {
			return errSyntax
		}
	}
	if s.at()|0x20 != 'e' {
		return nil
	}
	s.i++
	if c := s.at(); c == '+' || c == '-' {
		s.i++
	}
	if !s.digits() {
		return errSyntax
	}
	return nil
}
