package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
)

// forEver is how a configuration spells that something is not removed.
const forEver = "forever"

// retentionConfig is the section retention: what is kept how long.
type retentionConfig struct {
	hook.Retention
	origins map[string]string // where each source was named, for messages
}

// retention reads the section.
func (r *reader) retention(n ast.Node) {
	c := &r.c.Retention
	known := r.keep("retention.", &c.Keep)
	delete(known, "keys") // those of one source only
	known["sources"] = func(n ast.Node) {
		r.each(n, "retention.sources", func(name string, at, value ast.Node) {
			where := "retention.sources." + name
			var own hook.Keep
			r.mapping(value, where, r.keep(where+".", &own))
			if c.Sources == nil {
				c.Sources, c.origins = map[string]hook.Keep{}, map[string]string{}
			}
			c.Sources[name] = own
			c.origins[name] = fmt.Sprintf("%s:%d", r.file, at.GetToken().Position.Line)
		})
	}
	r.mapping(n, "retention", known)
}

func (r *reader) keep(where string, k *hook.Keep) keys {
	known := keys{}
	for key, into := range keepParts(k) {
		known[key] = func(n ast.Node) {
			if s, ok := r.scalar(n, where+key); ok && s == forEver {
				*into = -1
				return
			}
			r.duration(where+key, into)(n)
		}
	}
	return known
}

// keepParts are the classes under the names that the configuration has for them.
func keepParts(k *hook.Keep) map[string]*time.Duration {
	return map[string]*time.Duration{"bodies": &k.Bodies, "hints": &k.Hints, "rejections": &k.Rejections,
		"attempts": &k.Attempts, "keys": &k.Keys}
}

// checkRetention compares the rules with the sources that there are.
func (c *config) checkRetention(sources []hook.Source, p *problems) {
	for _, name := range slices.Sorted(maps.Keys(c.Retention.Sources)) {
		if c.Sources[name] == nil {
			p.add("%s: retention.sources.%s: there is no such source", c.Retention.origins[name], name)
		}
	}
	for _, s := range sources {
		if err := hookkeeper.CheckKeepKeys(s, c.Retention.Retention); err != nil {
			p.add("%s: %v", c.Retention.origins[s.Name()], err)
		}
	}
}

// printed is what holds, for all sources and for each that has rules of its own.
func (c *retentionConfig) printed() yaml.MapSlice {
	out := printedKeep(hook.Retention{Keep: c.Keep}.Of(""), false)
	sources := yaml.MapSlice{}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		sources = append(sources, yaml.MapItem{Key: name, Value: printedKeep(c.Of(name), true)})
	}
	if len(sources) > 0 {
		out = append(out, yaml.MapItem{Key: "sources", Value: sources})
	}
	return out
}

func printedKeep(k hook.Keep, withKeys bool) yaml.MapSlice {
	parts := keepParts(&k)
	if !withKeys {
		delete(parts, "keys")
	}
	out := yaml.MapSlice{}
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		text := forEver
		if *parts[key] > 0 {
			text = parts[key].String()
		}
		out = append(out, yaml.MapItem{Key: key, Value: text})
	}
	return out
}
