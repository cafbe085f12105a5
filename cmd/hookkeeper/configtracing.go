package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/tracing"
)

const (
	envTracing     = "OTEL_EXPORTER_OTLP_ENDPOINT"
	standardSample = 0.1
	tracingGrace   = time.Second // for the collector, at the end
)

// tracingConfig says where spans go; without an endpoint nothing is traced.
type tracingConfig struct {
	Endpoint string
	Sample   *float64 // nil: the standard share
}

func (t *tracingConfig) share() float64 {
	if t.Sample == nil {
		return standardSample
	}
	return *t.Sample
}

func (t *tracingConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{}
	if t.Endpoint != "" {
		out = append(out, yaml.MapItem{Key: "endpoint", Value: maskURL(t.Endpoint)})
	}
	return append(out, yaml.MapItem{Key: "sample", Value: t.share()})
}

// check says what is wrong before anything is opened.
func (t *tracingConfig) check(p *problems) {
	if t.Endpoint == "" {
		return
	}
	if err := (tracing.Config{Endpoint: t.Endpoint, Sample: t.share()}).Validate(); err != nil {
		p.add("%v", err)
	}
}

// tracing reads the entry of that name.
func (r *reader) tracing(n ast.Node) {
	t := &r.c.Tracing
	r.mapping(n, "tracing", keys{"endpoint": r.text("tracing.endpoint", &t.Endpoint), "sample": func(n ast.Node) {
		s, ok := r.scalar(n, "tracing.sample")
		share, err := strconv.ParseFloat(s, 64)
		if ok && (err != nil || !(share >= 0 && share <= 1)) {
			r.bad(n, "tracing.sample: want a share from 0 to 1")
			return
		}
		t.Sample = &share
	}})
}

// trace opens what spans go through, if anything, and what closes it.
func (t *tracingConfig) trace(ctx context.Context, node string, log *slog.Logger) (hook.Tracing, func(), error) {
	if t.Endpoint == "" {
		return nil, func() {}, nil
	}
	tracer, err := tracing.Open(ctx, tracing.Config{Endpoint: t.Endpoint, Sample: t.share(), Node: node, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	return tracer, func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracingGrace)
		defer cancel()
		_ = tracer.Close(ctx) // the last spans are lost, which is told now and then already
	}, nil
}
