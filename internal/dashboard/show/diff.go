package show

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
)

// MaxChanges is how many differences are listed.
const MaxChanges = 500

// Change is a place where two bodies differ. An empty Old or New means that the
// place is missing there.
type Change struct{ Path, Old, New string }

// Changes lists where two JSON bodies differ, by path. ok is false if one of them
// is no JSON or too large; more says that there are further ones.
func Changes(older, newer []byte) (list []Change, more, ok bool) {
	a, okA := leaves(older)
	b, okB := leaves(newer)
	if !okA || !okB {
		return nil, false, false
	}
	paths := map[string]bool{}
	for _, m := range []map[string]string{a, b} {
		for p := range maps.Keys(m) {
			paths[p] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		if a[p] == b[p] {
			continue
		}
		if len(list) == MaxChanges {
			return list, true, true
		}
		list = append(list, Change{p, Short(500, a[p]), Short(500, b[p])})
	}
	return list, false, true
}

// leaves gives every scalar of a JSON text by its path, as it was written.
func leaves(body []byte) (map[string]string, bool) {
	if len(body) > MaxInlineBytes || !shallow(body) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil, false
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, false
	}
	g := gathering{all: map[string]string{}, room: maxPaths}
	g.gather("", v)
	return g.all, g.room >= 0
}

// maxPaths bounds the paths of one body, all together: deep nesting makes each
// of them long.
const maxPaths = 4 << 20

type gathering struct {
	all  map[string]string
	room int
}

func (g *gathering) gather(path string, v any) {
	all := g.all
	if g.room -= len(path); g.room < 0 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			all[path] = "{}"
		}
		for name, inner := range v {
			next := name
			if path != "" {
				next = path + "." + name
			}
			g.gather(next, inner)
		}
	case []any:
		if len(v) == 0 {
			all[path] = "[]"
		}
		for i, inner := range v {
			g.gather(path+"["+strconv.Itoa(i)+"]", inner)
		}
	case json.Number:
		all[path] = v.String()
	default:
		text, err := json.Marshal(v)
		if err == nil {
			all[path] = string(text)
		}
	}
}
