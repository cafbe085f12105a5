// Package tracing hands the steps of deliveries and attempts to OpenTelemetry: it
// is a [hook.Tracing] whose spans go to a collector by OTLP over HTTP.
//
// It promises that all spans of an event have one trace, whose id is the first 16
// bytes of the SHA-256 of the event's id, so that any number of nodes and attempts
// agree on it with nothing stored; that what comes in as traceparent becomes a
// link, never a parent, for a sender must not steer our traces; and that nothing
// waits for the collector: what it does not take is dropped, and the log says so.
//
// It refuses an endpoint that is no http or https address and a share that is not
// between 0 and 1. Spans hold names of ours, sources, types and ids of events:
// no body, no key, no secret, nothing personal.
package tracing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config of a Tracer. Zero means the stated default.
type Config struct {
	// Endpoint is the collector's address, such as http://localhost:4318; spans go
	// to /v1/traces below it. Required.
	Endpoint string
	// Sample is the share of events that are traced, from 0 to 1; the same events
	// on every node. Required: 0 traces none.
	Sample  float64
	Service string       // service.name; default hookkeeper
	Node    string       // service.instance.id; may be empty
	Logger  *slog.Logger // default: logs nothing
}

// Validate says what is wrong with the configuration, joined, or nil.
func (c Config) Validate() error {
	var all []error
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		all = append(all, errors.New("tracing: endpoint: want an http or https address without a user, such as http://localhost:4318"))
	}
	if !(c.Sample >= 0 && c.Sample <= 1) {
		all = append(all, errors.New("tracing: sample: want a share from 0 to 1"))
	}
	return errors.Join(all...)
}

// Tracer sends spans to a collector. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

var _ hook.Tracing = (*Tracer)(nil)

// Open returns a Tracer, or everything that is wrong with the configuration. It
// reaches for nobody: a collector that is away costs its spans only. The variables
// of OTLP exporters, such as OTEL_EXPORTER_OTLP_HEADERS, hold as well.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Service == "" {
		c.Service = "hookkeeper"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.Endpoint, "/")+"/v1/traces"),
		otlptracehttp.WithTimeout(exportLimit), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("tracing: %v", err)
	}
	attributes := []attribute.KeyValue{attribute.String("service.name", c.Service)}
	if c.Node != "" {
		attributes = append(attributes, attribute.String("service.instance.id", c.Node))
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&quiet{Exporter: exporter, log: c.Logger}, sdk.WithBatchTimeout(batchEvery), sdk.WithMaxQueueSize(maxQueue)),
		sdk.WithSampler(sdk.TraceIDRatioBased(c.Sample)),
		sdk.WithResource(resource.NewSchemaless(attributes...)), sdk.WithIDGenerator(ids{}),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/hookkeeper/hookkeeper")}, nil
}

// Bounds of what waits for a collector.
const (
	exportLimit = 5 * time.Second
	batchEvery  = 2 * time.Second
	maxQueue    = 4096
	silence     = time.Minute // between two lines of the log about a collector that is away
)

// Close sends what waits, for as long as ctx allows, and ends.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Flush sends what waits, for as long as ctx allows.
func (t *Tracer) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Delivered implements hook.Tracing: the delivery, and in it reading, verifying and
// recording.
func (t *Tracer) Delivered(d hook.TracedDelivery) {
	ctx := context.WithValue(context.Background(), idsKey{}, wanted{trace: traceOf(d.Event), span: spanOf(d)})
	options := []trace.SpanStartOption{trace.WithTimestamp(d.Began), trace.WithSpanKind(trace.SpanKindServer), trace.WithNewRoot(),
		trace.WithAttributes(attribute.String("hookkeeper.event", d.Event), attribute.String("hookkeeper.source", d.Source),
			attribute.String("hookkeeper.type", d.Type), attribute.String("hookkeeper.trust", string(d.Trust)),
			attribute.Bool("hookkeeper.duplicate", d.Duplicate))}
	if parent, ok := parseParent(d.Parent); ok {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	ctx, span := t.tracer.Start(ctx, "delivery", options...)
	for _, step := range []struct {
		name       string
		began, end time.Time
	}{{"read", d.Began, d.Read}, {"verify", d.Read, d.Verified}, {"record", d.Verified, d.Recorded}} {
		_, inner := t.tracer.Start(ctx, step.name, trace.WithTimestamp(step.began))
		inner.End(trace.WithTimestamp(step.end))
	}
	span.End(trace.WithTimestamp(d.Recorded))
}

// Begin implements hook.Tracing.
func (t *Tracer) Begin(ctx context.Context, event, name string, attributes ...hook.Attribute) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: traceOf(event), SpanID: deliverySpan(event), Remote: true}))
	}
	carried := make([]attribute.KeyValue, 0, len(attributes)+1)
	carried = append(carried, attribute.String("hookkeeper.event", event))
	for _, a := range attributes {
		carried = append(carried, attribute.String("hookkeeper."+a.Name, a.Value))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithAttributes(carried...))
	return hook.WithTraceParent(ctx, parentOf(span.SpanContext())), func(err error) {
		if err != nil {
			// Only that it failed: an error's text may quote what came from outside,
			// and stands in the attempt.
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// traceOf is the trace of an event.
func traceOf(event string) (id trace.TraceID) {
	sum := sha256.Sum256([]byte(event))
	copy(id[:], sum[:])
	return id
}

// deliverySpan is the span of the delivery that recorded an event.
func deliverySpan(event string) (id trace.SpanID) {
	sum := sha256.Sum256([]byte(event))
	copy(id[:], sum[16:])
	return id
}

// spanOf is the span that the event's attempts stand below; a repeat has one of its
// own, which is drawn.
func spanOf(d hook.TracedDelivery) (id trace.SpanID) {
	if d.Duplicate {
		return id
	}
	return deliverySpan(d.Event)
}

// quiet tells of a collector that is away now and then, and of nothing else: no
// failure of it is ours.
type quiet struct {
	*otlptrace.Exporter
	log  *slog.Logger
	last atomic.Int64 // when it was told, in nanoseconds
}

// ExportSpans sends spans or drops them.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.Exporter.ExportSpans(ctx, spans)
	now, last := time.Now().UnixNano(), q.last.Load()
	if err != nil && now-last > int64(silence) && q.last.CompareAndSwap(last, now) {
		q.log.Warn("spans are dropped: the collector takes none; this is said once a minute", "spans", len(spans), "error", oneLine(err))
	}
	return nil
}

func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text[:min(len(text), 300)]
}
