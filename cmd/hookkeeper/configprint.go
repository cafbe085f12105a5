package main

import (
	"io"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// mask stands for every secret, whatever its length.
const mask = "********"

// printConfig writes the effective configuration as YAML that could be read
// back, but for its secrets. It never meets a secret's value.
func printConfig(w io.Writer, c *config) error {
	doc := yaml.MapSlice{
		{Key: "database", Value: maskURL(c.Database)},
		{Key: "listen", Value: c.Listen},
		{Key: "operator_listen", Value: c.OperatorListen},
	}
	if c.OperatorToken.set {
		doc = append(doc, yaml.MapItem{Key: "operator_token", Value: mask})
	}
	doc = append(doc,
		yaml.MapItem{Key: "operators", Value: c.Operators.printed()},
		yaml.MapItem{Key: "log_format", Value: c.LogFormat},
		yaml.MapItem{Key: "log_level", Value: c.LogLevel})
	sources := yaml.MapSlice{}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		sources = append(sources, yaml.MapItem{Key: name, Value: c.Sources[name].printed()})
	}
	handlers := yaml.MapSlice{}
	for _, name := range slices.Sorted(maps.Keys(c.Handlers)) {
		handlers = append(handlers, yaml.MapItem{Key: name, Value: yaml.MapSlice{
			{Key: "events", Value: c.Handlers[name]},
		}})
	}
	forwards := yaml.MapSlice{}
	for _, name := range slices.Sorted(maps.Keys(c.Forward)) {
		forwards = append(forwards, yaml.MapItem{Key: name, Value: c.Forward[name].printed()})
	}
	doc = append(doc, yaml.MapItem{Key: "sources", Value: sources},
		yaml.MapItem{Key: "handlers", Value: handlers},
		yaml.MapItem{Key: "forward", Value: forwards},
		yaml.MapItem{Key: "checkout", Value: c.Checkout.printed()},
		yaml.MapItem{Key: "billing", Value: c.Billing.printed()},
		yaml.MapItem{Key: "alarms", Value: c.Alarms.printed()},
		yaml.MapItem{Key: "encryption", Value: c.Encryption.printed()},
		yaml.MapItem{Key: "search", Value: c.Search.printed()},
		yaml.MapItem{Key: "tracing", Value: c.Tracing.printed()},
		yaml.MapItem{Key: "work", Value: c.Work.printed()},
		yaml.MapItem{Key: "retention", Value: c.Retention.printed()})
	text, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func (s *sourceConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{{Key: "sender", Value: s.Sender}}
	add := func(set bool, key string, value any) {
		if set {
			out = append(out, yaml.MapItem{Key: key, Value: value})
		}
	}
	masked := make([]string, len(s.Secrets))
	for i := range masked {
		masked[i] = mask
	}
	add(true, "secrets", masked)
	if s.Tolerance != nil {
		add(true, "tolerance", s.Tolerance.String())
	}
	if s.Live != nil {
		add(true, "live", *s.Live)
	}
	add(s.Limit > 0, "limit", s.Limit)
	add(s.Rate > 0, "rate", s.Rate)
	add(s.APIKey.set, "api_key", mask)
	add(s.APIBase != "", "api_base", maskURL(s.APIBase))
	add(s.PublicURL != "", "public_url", maskURL(s.PublicURL))
	add(s.HMAC != nil, "hmac", s.HMAC)
	return out
}

func (w workConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{
		{Key: "lease", Value: w.Lease.String()},
		{Key: "limit", Value: w.Limit.String()},
		{Key: "attempts", Value: w.Attempts},
		{Key: "backoff", Value: yaml.MapSlice{
			{Key: "base", Value: w.BackoffBase.String()}, {Key: "max", Value: w.BackoffMax.String()},
		}},
		{Key: "waiting", Value: w.Waiting.String()},
	}
	if w.Slots > 0 { // else the worker's own: 8, or 64 where effects share a commit
		out = append(out, yaml.MapItem{Key: "slots", Value: w.Slots})
	}
	return out
}
