package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

// shape is a form in which Stripe delivers, rightly signed.
type shape struct {
	name    string
	compose func(id string, created int64) []byte
}

func shapes() []shape {
	of := func(version string) func(string, int64) []byte {
		return func(id string, created int64) []byte {
			return event(id, created, version, "invoice.paid", fmt.Sprintf(`{"id":"in_%s","object":"invoice","metadata":{}}`, id[4:]))
		}
	}
	return []shape{
		{"API 2025-02-24", of("2025-02-24.acacia")},
		{"API 2026-03-25", of("2026-03-25.dahlia")},
		{"API 2026-10-28", of("2026-10-28.endive")},
		{"thin event", thin},
	}
}

// thin is an event that names its object and does not contain it.
func thin(id string, _ int64) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"v2.core.event","type":"v1.invoice.paid","livemode":false,"created":"2026-11-01T00:00:00.000Z",`+
		`"related_object":{"id":"in_%s","type":"invoice","url":"/v1/invoices/in_%s"}`, id, id[4:], id[4:])
}

// shapes delivers one event of each shape once and says how it was answered.
func (m *match) shapes(ctx context.Context, c contender) (codes []int, err error) {
	e, err := m.enter(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.leave()) }()
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	for i, s := range shapes() {
		load, err := prepare(bench.Mix{Series: fmt.Sprintf("s%d", i), Deliveries: 1, Compose: s.compose})
		if err != nil {
			return nil, err
		}
		r, _ := bench.Insist(ctx, e.addr(), 1, load, againAfter, 1)
		codes = append(codes, slices.Collect(maps.Keys(r.Statuses()))...)
	}
	return codes, ctx.Err()
}
