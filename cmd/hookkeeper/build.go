package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// logHandlerName is the built-in handler, and the name that is stored with its
// jobs.
const logHandlerName = "log"

// build makes the configured sources, sorted by name. What is wrong with one is
// added to the problems, and its warnings to the configuration's.
func (c *config) build(p *problems) []hook.Source {
	var all []hook.Source
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		conf := c.Sources[name]
		conf.live(name, c, p)
		checkURL(p, name, "api_base", conf.APIBase)
		checkURL(p, name, "public_url", conf.PublicURL)
		s, err := conf.source(name)
		if err != nil {
			p.add("%v (%s)", err, conf.origin)
			continue
		}
		all = append(all, s)
		v, ok := s.(hook.Validator)
		if !ok {
			continue
		}
		if err := v.Validate(); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				p.add("%s (%s)", line, conf.origin)
			}
		}
		c.warnings = append(c.warnings, v.Warnings()...)
	}
	c.checkRetention(all, p)
	return all
}

// source makes the hook.Source of an entry, with other secrets if any are given.
func (s *sourceConfig) source(name string, secrets ...string) (hook.Source, error) {
	if secrets == nil {
		for _, one := range s.Secrets {
			secrets = append(secrets, one.value)
		}
	}
	return source.New(source.Config{
		Name: name, Sender: s.Sender, Secrets: secrets, Tolerance: s.Tolerance, Live: s.Live,
		MaxBodyBytes: s.Limit, RatePerSecond: s.Rate, HMAC: s.HMAC,
	})
}

// live finds out which mode a source works: what the file says, else what the
// API key's prefix says, else both, with a warning.
func (s *sourceConfig) live(name string, c *config, p *problems) {
	if s.Sender != "stripe" && s.Sender != "toss" {
		return
	}
	mode, known := keyMode(s.APIKey.value)
	switch {
	case s.APIKey.value != "" && isPlaceholder(s.APIKey.value) && s.Sender == "stripe":
		p.add("source %q: %s is empty or a placeholder", name, s.APIKey.from)
	case s.Live != nil && known && *s.Live != (mode == hook.ModeLive):
		p.add("source %q: live is %t, but the API key (%s) is of the other mode", name, *s.Live, s.APIKey.from)
	case s.Sender == "toss": // its events name no mode
	case s.Live == nil && known:
		s.Live = new(mode == hook.ModeLive)
	case s.Live == nil:
		c.warn("source %q: neither live nor an API key is set, so test and live events are both worked", name)
	}
}

// keyMode reads the mode out of a Stripe or Toss API key.
func keyMode(key string) (mode string, known bool) {
	for _, prefix := range []string{"sk_live_", "rk_live_", "live_sk_", "live_gsk_"} {
		if strings.HasPrefix(key, prefix) {
			return hook.ModeLive, true
		}
	}
	for _, prefix := range []string{"sk_test_", "rk_test_", "test_sk_", "test_gsk_"} {
		if strings.HasPrefix(key, prefix) {
			return hook.ModeTest, true
		}
	}
	return "", false
}

func checkURL(p *problems, name, key, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p.add("source %q: %s: want an http or https URL", name, key)
	}
}

// routes binds the configured handlers.
func (c *config) routes(log *slog.Logger) []hook.Route {
	patterns, ok := c.Handlers[logHandlerName]
	if !ok || len(patterns) == 0 {
		return nil
	}
	var sources, types []string
	for _, pattern := range patterns {
		s, t, _ := strings.Cut(pattern, ":")
		sources, types = append(sources, s), append(types, t)
	}
	// One route has one pattern of each; together they may take more than the
	// pairs say, so the handler looks again.
	return []hook.Route{{
		Name: logHandlerName, Batch: true, Source: strings.Join(sources, ","), Types: strings.Join(types, ","),
		Handler: logHandler{log: log, sources: sources, types: types}, Preview: &hook.Preview{},
	}}
}

// logHandler writes one line an event and nothing else.
type logHandler struct {
	log            *slog.Logger
	sources, types []string
}

// Handle logs the event if one of the pairs wants it. It has no effect.
func (h logHandler) Handle(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	for i := range h.sources {
		if hook.Match(h.sources[i], e.Source) && hook.Match(h.types[i], e.Type) {
			if err := hook.Outward(ctx, "write a line to the log"); err != nil {
				return nil, err
			}
			h.log.InfoContext(ctx, "event", "source", e.Source, "type", e.Type, "id", e.ID,
				"key", e.Key, "trust", string(e.Trust), "age", time.Since(e.RecordedAt).Round(time.Millisecond))
			break
		}
	}
	return nil, nil
}

// logLevel reads the name of a level.
func logLevel(name string) (slog.Level, error) {
	var level slog.Level
	if name != strings.ToLower(name) {
		return level, fmt.Errorf("level %q: want lower case", name)
	}
	err := level.UnmarshalText([]byte(name))
	return level, err
}
