package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

// reader walks the nodes of a configuration file. Every problem carries file
// and line; no value of a node is ever part of a message, it might be a secret.
type reader struct {
	file string
	env  lookup
	p    *problems
	c    *config
}

// keys are the known keys of a mapping and what to do with their values.
type keys map[string]func(ast.Node)

func (r *reader) bad(n ast.Node, format string, args ...any) {
	r.p.add("%s:%d: %s", r.file, n.GetToken().Position.Line, fmt.Sprintf(format, args...))
}

// each calls f for every entry of a mapping; where names it in messages.
func (r *reader) each(n ast.Node, where string, f func(key string, at, value ast.Node)) {
	m, ok := n.(ast.MapNode)
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if !ok {
		r.bad(n, "%s: want a mapping of keys to values", where)
		return
	}
	for it := m.MapRange(); it.Next(); {
		f(it.Key().GetToken().Value, it.Key(), it.Value())
	}
}

// mapping reads a mapping whose keys are all known.
func (r *reader) mapping(n ast.Node, where string, known keys) {
	r.each(n, where, func(key string, at, value ast.Node) {
		set, ok := known[key]
		if !ok {
			r.bad(at, "unknown key %q in %s, the nearest known one is %q",
				key, where, dev.Nearest(key, slices.Sorted(maps.Keys(known))))
			return
		}
		set(value)
	})
}

// list calls f for every element of a sequence.
func (r *reader) list(n ast.Node, where string, f func(ast.Node)) {
	s, ok := n.(ast.ArrayNode)
	if !ok {
		r.bad(n, "%s: want a list in square brackets", where)
		return
	}
	for it := s.ArrayRange(); it.Next(); {
		f(it.Value())
	}
}

// scalar gives the text of a single value.
func (r *reader) scalar(n ast.Node, where string) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	r.bad(n, "%s: want a single value", where)
	return "", false
}

func (r *reader) text(where string, into *string) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := r.scalar(n, where); ok {
			*into = s
		}
	}
}

func (r *reader) texts(where string, into *[]string) func(ast.Node) {
	return func(n ast.Node) {
		r.list(n, where, func(item ast.Node) {
			if s, ok := r.scalar(item, where); ok {
				*into = append(*into, s)
			}
		})
	}
}

func (r *reader) number(where string, least int, into *int) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.scalar(n, where)
		v, err := strconv.Atoi(s)
		if ok && (err != nil || v < least) {
			r.bad(n, "%s: want a whole number of at least %d", where, least)
			return
		}
		*into = v
	}
}

func (r *reader) truth(where string, into **bool) func(ast.Node) {
	return func(n ast.Node) {
		v, ok := n.(*ast.BoolNode)
		if !ok {
			r.bad(n, "%s: want true or false", where)
			return
		}
		*into = &v.Value
	}
}

func (r *reader) rate(where string, into *float64) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.scalar(n, where)
		v, err := strconv.ParseFloat(s, 64)
		if ok && (err != nil || v < 0 || math.IsNaN(v) || math.IsInf(v, 0)) {
			r.bad(n, "%s: want a number per second, 0 for no bound", where)
			return
		}
		*into = v
	}
}

func (r *reader) duration(where string, into *time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := r.scalar(n, where); ok {
			d, err := parseDuration(s)
			if err != nil || d < 0 {
				r.bad(n, "%s: want seconds or a duration such as 90s, 5m, 72h or 30d", where)
			}
			*into = d
		}
	}
}

// positive is duration where zero would mean that nothing ever works.
func (r *reader) positive(where string, into *time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		before := len(*r.p)
		r.duration(where, into)(n)
		if len(*r.p) == before && *into == 0 {
			r.bad(n, "%s: must be longer than zero", where)
		}
	}
}

// parseDuration reads seconds, days or what Go calls a duration.
func parseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func (r *reader) size(where string, into *int64) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := r.scalar(n, where); ok {
			v, err := parseSize(s)
			if err != nil || v < 1 {
				r.bad(n, "%s: want bytes, or a size such as 256KiB or 2MiB", where)
			}
			*into = v
		}
	}
}

func parseSize(s string) (int64, error) {
	for unit, shift := range map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30} {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20)
			return int64(n) << shift, err
		}
	}
	return strconv.ParseInt(s, 10, 64)
}

// secret reads env:NAME or file:PATH; a literal works and draws a warning.
func (r *reader) secret(n ast.Node, where string) (secret, bool) {
	s, ok := r.scalar(n, where)
	if !ok {
		return secret{}, false
	}
	if name, ok := strings.CutPrefix(s, "env:"); ok {
		before := len(*r.p)
		found := envSecret(r.env, name, r.p)
		if !found.set && len(*r.p) == before {
			r.bad(n, "%s: the environment variable %s is not set", where, name)
		}
		return found, found.set
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		value, err := secretFile(path)
		if err != nil {
			r.bad(n, "%s: %v", where, err)
		}
		return secret{value: value, from: s, set: true}, err == nil
	}
	r.c.warn("%s:%d: %s is written out; keep secrets out of files with env:NAME or file:PATH",
		r.file, n.GetToken().Position.Line, where)
	return secret{value: s, from: where, set: true}, true
}
