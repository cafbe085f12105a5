package ingest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Again takes a delivery that was refused and has been kept, as an operator asks
// for it: it verifies with the present secrets as of d.ReceivedAt and records what
// passes like any other delivery. What does not pass is the source's
// *hook.UnverifiedError, and nothing is written. ErrNotFound for a source that is
// no longer configured, ErrRefused for what its sender never signs. A repeat is a
// duplicate.
func (d *Door) Again(ctx context.Context, delivery hook.Delivery) (hook.Receipt, error) {
	g, ok := d.sources[delivery.Source]
	if !ok {
		return hook.Receipt{}, fmt.Errorf("source %.64q is not configured: %w", delivery.Source, hook.ErrNotFound)
	}
	if delivery.Header == nil {
		delivery.Header = http.Header{}
	}
	if err := g.source.Verify(delivery.Header, delivery.Body, delivery.ReceivedAt); err != nil {
		return hook.Receipt{}, err
	}
	id := d.identify(&visit{gate: g, d: delivery})
	if id.Trust == hook.TrustHint {
		return hook.Receipt{}, fmt.Errorf("source %s never signs deliveries of type %.80q: %w", delivery.Source, id.Type, hook.ErrRefused)
	}
	handlers := d.cfg.Handlers(delivery.Source, id.Type, id.Trust)
	return d.cfg.Recorder.Record(ctx, delivery, id, handlers)
}
