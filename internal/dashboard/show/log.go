package show

import (
	"context"
	"fmt"
	"log/slog"
)

// maskedLog hides personal data in all texts of records.
type maskedLog struct {
	next slog.Handler
	mask *Masker
}

// MaskLog returns a handler of a log that hides card numbers, e-mail addresses and
// phone numbers in messages and values, errors and the like included, and hands on
// to next. The error of a handler may quote the body that it was given. Masking
// twice changes nothing.
func MaskLog(next slog.Handler) slog.Handler {
	if _, ok := next.(*maskedLog); ok {
		return next
	}
	return &maskedLog{next, NewMasker()}
}

// Enabled implements slog.Handler.
func (h *maskedLog) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *maskedLog) Handle(ctx context.Context, r slog.Record) error {
	masked := slog.NewRecord(r.Time, r.Level, h.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		masked.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, masked)
}

// WithAttrs implements slog.Handler.
func (h *maskedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	masked := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		masked[i] = h.attr(a)
	}
	return &maskedLog{h.next.WithAttrs(masked), h.mask}
}

// WithGroup implements slog.Handler.
func (h *maskedLog) WithGroup(name string) slog.Handler {
	return &maskedLog{h.next.WithGroup(name), h.mask}
}

func (h *maskedLog) text(s string) string {
	s, _ = h.mask.Mask(s)
	return s
}

// attr leaves alone what holds nothing personal, so that it keeps its form.
func (h *maskedLog) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(h.text(v.String()))
	case slog.KindGroup:
		inner := make([]slog.Attr, 0, len(v.Group()))
		for _, one := range v.Group() {
			inner = append(inner, h.attr(one))
		}
		a.Value = slog.GroupValue(inner...)
	case slog.KindAny:
		text := fmt.Sprint(v.Any())
		if masked, n := h.mask.Mask(text); n > 0 {
			a.Value = slog.StringValue(masked)
		}
	}
	return a
}
