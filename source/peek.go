package source

import (
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	maxSlots = 64 // paths of one source that have a value
	maxWatch = 12 // levels on which paths are watched
)

// node is one step of the watched paths. The paths of a source are a tree of
// nodes, made once.
type node struct {
	slot  int         // where the value goes, -1 if it is only watched for doubles
	mask  uint64      // the slots at and below this node
	bit   int         // its place among the members of its parent
	size  int         // how many members it has
	kids  [16][]*node // by kidHash
	key   string
	elem  *node // what watches the elements of an array
	every bool  // any member that comes twice is ambiguous, named or not
}

// paths is the compiled form of what a source reads.
type paths struct{ root *node }

// newPaths compiles paths such as "data.object.id". The path at index i has slot
// i; those of watch have no value, they only must not come twice. A step "[]"
// stands for every element of an array, a last step "*" for every member.
func newPaths(read []string, watch ...string) paths {
	p := paths{root: &node{slot: -1}}
	for i, path := range read {
		p.add(path, i)
	}
	for _, path := range watch {
		p.add(path, -1)
	}
	return p
}

func (p paths) add(path string, slot int) {
	n := p.root
	for step := range strings.SplitSeq(path, ".") {
		if slot >= 0 {
			n.mask |= 1 << slot
		}
		switch step {
		case "*":
			n.every = true
			return
		case "[]":
			if n.elem == nil {
				n.elem = &node{slot: -1}
			}
			n = n.elem
		default:
			n = n.kid(step)
		}
	}
	if slot >= 0 {
		n.slot = slot
		n.mask |= 1 << slot
	}
}

// kid returns the member of that name, made if need be.
func (n *node) kid(key string) *node {
	if k := find(n, key); k != nil {
		return k
	}
	k := &node{slot: -1, bit: n.size, key: key}
	n.size++
	h := kidHash(key)
	n.kids[h] = append(n.kids[h], k)
	return k
}

// find returns the member of that name, or nil. A map would do the same at three
// times the cost, and this is asked for every key of an event.
func find[T string | []byte](n *node, key T) *node {
	for _, k := range n.kids[kidHash(key)] {
		if k.key == string(key) {
			return k
		}
	}
	return nil
}

func kidHash[T string | []byte](key T) int {
	if len(key) == 0 {
		return 0
	}
	return (len(key) + int(key[0])*3 + int(key[len(key)-1])*5) & 15
}

// value is where a watched value stands in the body. kind is its first byte, '0'
// for numbers, 0 if there is none.
type value struct {
	start, end int
	kind       byte
	escaped    bool
}

// frame is a watched container that the scanner is inside of.
type frame struct {
	n    *node
	seen uint64 // which of n's members have come
	all  map[string]bool
}

// peek is what one walk over a body found at the watched paths.
type peek struct {
	body      []byte
	vals      [maxSlots]value
	doubled   uint64 // slots on whose path a key came twice: their values count as missing
	ambiguous bool
	frames    [maxWatch + 1]frame
}

// read walks over body once. After an error the peek is empty.
func (p paths) read(body []byte, out *peek) error {
	out.body = body
	s := scanner{b: body, out: out}
	if err := s.run(p.root); err != nil {
		*out = peek{body: body}
		return err
	}
	return nil
}

// The four methods below are the scanner's.

func (p *peek) keep(n *node, v value) {
	if n.slot >= 0 {
		p.vals[n.slot] = v
	}
}

func (p *peek) enter(depth int, n *node) {
	if depth <= maxWatch {
		p.frames[depth] = frame{n: n}
	}
}

func (p *peek) element(depth int) *node {
	if depth > maxWatch || p.frames[depth].n == nil {
		return nil
	}
	return p.frames[depth].n.elem
}

func (p *peek) member(depth int, quoted []byte, escaped bool) *node {
	if depth > maxWatch || p.frames[depth].n == nil {
		return nil
	}
	f := &p.frames[depth]
	if f.n.every {
		p.memberOfEvery(f, quoted, escaped)
	}
	var k *node
	if escaped {
		k = find(f.n, unescape(quoted))
	} else {
		k = find(f.n, quoted[1:len(quoted)-1])
	}
	if k == nil {
		return nil
	}
	if f.seen&(1<<k.bit) != 0 {
		p.ambiguous = true
		p.doubled |= k.mask
	}
	f.seen |= 1 << k.bit
	return k
}

func (p *peek) memberOfEvery(f *frame, quoted []byte, escaped bool) {
	key := string(quoted[1 : len(quoted)-1])
	if escaped {
		key = unescape(quoted)
	}
	if f.all == nil {
		f.all = map[string]bool{}
	}
	if f.all[key] {
		p.ambiguous = true
	}
	f.all[key] = true
}

// unescape reads a quoted string that the scanner has found well formed. A lone
// surrogate becomes U+FFFD.
func unescape(quoted []byte) string { return gjson.ParseBytes(quoted).Str }

func (p *peek) get(slot int) value {
	if p.doubled&(1<<slot) != 0 {
		return value{}
	}
	return p.vals[slot]
}

// has reports whether the path exists, be its value null.
func (p *peek) has(slot int) bool { return p.get(slot).kind != 0 }

// str returns the string at the slot, empty if there is none.
func (p *peek) str(slot int) string {
	v := p.get(slot)
	switch {
	case v.kind != '"':
		return ""
	case v.escaped:
		return unescape(p.body[v.start:v.end])
	}
	return string(p.body[v.start+1 : v.end-1])
}

// is compares the string at the slot without copying it.
func (p *peek) is(slot int, want string) bool {
	v := p.get(slot)
	if v.kind != '"' || v.escaped {
		return v.escaped && p.str(slot) == want
	}
	return string(p.body[v.start+1:v.end-1]) == want
}

// id returns a string or, as it is spelt, a number.
func (p *peek) id(slot int) string {
	if v := p.get(slot); v.kind == '0' {
		return string(p.body[v.start:v.end])
	}
	return p.str(slot)
}

// first returns the first of the strings at the slots that is not empty.
func (p *peek) first(slots ...int) string {
	for _, slot := range slots {
		if s := p.str(slot); s != "" {
			return s
		}
	}
	return ""
}

// unix returns the time that a whole number of seconds stands for, if any.
func (p *peek) unix(slot int) time.Time {
	v := p.get(slot)
	if v.kind != '0' {
		return time.Time{}
	}
	sec, err := strconv.ParseInt(string(p.body[v.start:v.end]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return storable(time.Unix(sec, 0))
}

// verdict turns the result of read into the error that Identify returns.
func (p *peek) verdict(err error) error {
	if err != nil {
		return quarantine(hook.QuarantineUnreadable, err.Error())
	}
	if p.ambiguous {
		return quarantine(hook.QuarantineAmbiguous, "a key that is read comes twice")
	}
	return nil
}
