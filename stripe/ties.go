package stripe

import (
	"encoding/json"
	"slices"

	"github.com/tidwall/gjson"
)

// Stripe's events carry whole seconds. The states of one second are kept beside
// the row, each with what its event says had been before, and the set of them
// decides which is the newest: the same set, in whatever order it came, gives
// the same answer.

// tie is one state of the row's second.
type tie struct {
	Key      string          `json:"key"`
	First    bool            `json:"first,omitempty"` // of the event created: nothing was before
	Previous json.RawMessage `json:"previous,omitempty"`
	Object   json.RawMessage `json:"object"`
}

// maxTies bounds what is kept of one second; beyond it the row is unsure.
const maxTies = 6

// newest gives the index of the newest state, and whether that is certain. If it
// is not, the last recorded one is taken.
func (d *Desk) newest(ties []tie) (int, bool) {
	last := len(ties) - 1
	if len(ties) <= 1 {
		return last, true
	}
	states := make([]*subscription, len(ties))
	for i, t := range ties {
		s, err := d.readSubscription(gjson.ParseBytes(t.Object))
		if err != nil {
			return last, false // was readable when it was kept
		}
		states[i] = s
		if s.terminal() {
			return i, true
		}
	}
	if len(ties) > maxTies {
		return last, false
	}
	ends := chainEnds(ties)
	if len(ends) == 0 {
		return last, false
	}
	for _, end := range ends[1:] {
		if states[end].shown() != states[ends[0]].shown() {
			return last, false
		}
	}
	return ends[0], true
}

// chainEnds gives the states in which the ways end that lead through all of
// them, each step from a state to one whose event says that the former had been
// before it.
func chainEnds(ties []tie) []int {
	n := len(ties)
	follows := make([][]bool, n)
	for i := range ties {
		follows[i] = make([]bool, n)
		for j := range ties {
			follows[i][j] = i != j && mayFollow(&ties[i], &ties[j])
		}
	}
	var ends []int
	used := make([]bool, n)
	var walk func(at, depth int)
	walk = func(at, depth int) {
		if depth == n {
			if !slices.Contains(ends, at) {
				ends = append(ends, at)
			}
			return
		}
		used[at] = true
		for next := range n {
			if !used[next] && follows[at][next] {
				walk(next, depth+1)
			}
		}
		used[at] = false
	}
	for start := range n {
		walk(start, 1)
	}
	slices.Sort(ends)
	return ends
}

// mayFollow reports whether b may have come right after a: what b's event says
// had been is what a shows. An event that says nothing may stand anywhere.
func mayFollow(a, b *tie) bool {
	if b.First {
		return false
	}
	if len(b.Previous) == 0 {
		return true
	}
	return within(gjson.ParseBytes(b.Previous), gjson.ParseBytes(a.Object))
}

// within reports whether every value of part is the one that whole has there.
func within(part, whole gjson.Result) bool {
	switch {
	case part.IsObject():
		ok := true
		part.ForEach(func(key, value gjson.Result) bool {
			ok = within(value, member(whole, key.String()))
			return ok
		})
		return ok
	case part.IsArray():
		a, b := part.Array(), whole.Array()
		if !whole.IsArray() || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !within(a[i], b[i]) {
				return false
			}
		}
		return true
	case part.Type == gjson.Null:
		return whole.Type == gjson.Null // also where there is nothing
	}
	return part.Type == whole.Type && part.String() == whole.String()
}

// member is Get for a key that may hold dots.
func member(o gjson.Result, key string) (value gjson.Result) {
	if !o.IsObject() {
		return value
	}
	o.ForEach(func(k, v gjson.Result) bool {
		if k.String() == key {
			value = v
			return false
		}
		return true
	})
	return value
}
