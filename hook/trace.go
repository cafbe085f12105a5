package hook

import (
	"context"
	"slices"
	"time"
)

// Tracing is told of the steps of deliveries and attempts, so that a program can
// hand them to a tracing library; package tracing does so for OpenTelemetry. All
// spans of an event belong to one trace, on every node and in every attempt: its id
// follows from the event's. Names and attributes hold no body, no secret and
// nothing personal. Implementations are safe for concurrent use and never block.
type Tracing interface {
	// Delivered is told of a delivery that was answered with success.
	Delivered(d TracedDelivery)
	// Begin begins a span about an event: inside the span that ctx holds, else
	// below the delivery. The span ends with end, called once, with its error or
	// nil. The context that comes back holds the span.
	Begin(ctx context.Context, event, name string, attributes ...Attribute) (inner context.Context, end func(error))
}

// Attribute is a value that a span carries, under its name.
type Attribute struct{ Name, Value string }

// TracedDelivery is a delivery with its times.
type TracedDelivery struct {
	Event     string // id
	Source    string
	Type      string
	Trust     Trust
	Duplicate bool
	Parent    string // the traceparent that came with it; may be empty, and anything

	Began, Read, Verified, Recorded time.Time // Read: the body was there; Recorded: the commit had returned
}

type traceKey struct{}

// traced is what a context knows of tracing.
type traced struct {
	tracing Tracing
	event   string
	parent  string
}

// WithTracing returns a context in which StartSpan begins spans about an event; the
// worker calls it. A nil Tracing gives ctx back.
func WithTracing(ctx context.Context, t Tracing, event string) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traced{tracing: t, event: event})
}

// WithTraceParent returns a context whose span has that traceparent; a Tracing
// calls it in Begin.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	known, _ := ctx.Value(traceKey{}).(traced)
	known.parent = parent
	return context.WithValue(ctx, traceKey{}, known)
}

// TraceParent gives the header traceparent for a request that is made on behalf of
// ctx; empty where nothing is traced.
func TraceParent(ctx context.Context) string {
	known, _ := ctx.Value(traceKey{}).(traced)
	return known.parent
}

// StartSpan begins a span in a handler, about its event: of a request that it
// makes, say. Where nothing is traced it does nothing. end is called once.
func StartSpan(ctx context.Context, name string, attributes ...Attribute) (inner context.Context, end func(error)) {
	known, _ := ctx.Value(traceKey{}).(traced)
	if known.tracing == nil {
		return ctx, endNothing
	}
	// A copy, so that the caller's list costs nothing where nothing is traced.
	return known.tracing.Begin(ctx, known.event, name, slices.Clone(attributes)...)
}

func endNothing(error) {}
