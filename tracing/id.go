package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

type idsKey struct{}

// wanted are the ids of a span that begins a trace; a zero one is drawn.
type wanted struct {
	trace trace.TraceID
	span  trace.SpanID
}

// ids gives the trace that a context asks for, and draws spans.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	w, _ := ctx.Value(idsKey{}).(wanted)
	if !w.trace.IsValid() {
		binary.BigEndian.PutUint64(w.trace[:], rand.Uint64()|1)
		binary.BigEndian.PutUint64(w.trace[8:], rand.Uint64()|1)
	}
	if !w.span.IsValid() {
		w.span = g.NewSpanID(ctx, w.trace)
	}
	return w.trace, w.span
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero
	return id
}

// parentOf writes a traceparent, version 00 of W3C Trace Context.
func parentOf(c trace.SpanContext) string {
	flags := "00"
	if c.IsSampled() {
		flags = "01"
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + flags
}

// parseParent reads a traceparent of any sender; what is none is no error.
func parseParent(s string) (c trace.SpanContext, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" || len(s) > 55 && s[55] != '-' || s[:2] == "00" && len(s) != 55 {
		return c, false
	}
	for i := range 55 {
		if b := s[i]; b != '-' && (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return c, false
		}
	}
	var config trace.SpanContextConfig
	if n, err := hex.Decode(config.TraceID[:], []byte(s[3:35])); err != nil || n != 16 {
		return c, false
	}
	if n, err := hex.Decode(config.SpanID[:], []byte(s[36:52])); err != nil || n != 8 {
		return c, false
	}
	config.Remote = true
	if flags, err := hex.DecodeString(s[53:55]); err == nil && flags[0]&1 == 1 {
		config.TraceFlags = trace.FlagsSampled
	}
	c = trace.NewSpanContext(config)
	return c, c.IsValid()
}
