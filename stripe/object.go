package stripe

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// objectOf gives the object that an event is about, and whether it was fetched:
// then it is the present state, in our own API version. Without an API key it is
// the event's own copy, if this build knows the event's version.
func (d *Desk) objectOf(ctx context.Context, ev *event, expand ...string) (o gjson.Result, fetched bool, err error) {
	if d.asks(ev.Mode) {
		id := ev.id()
		if id == "" {
			return o, false, fmt.Errorf("event %s names no object: %w", ev.Key, hook.ErrPermanent)
		}
		o, err = d.api.object(ctx, id, ev.account, expand...)
		if !errors.Is(err, errGone) {
			return o, err == nil, err
		}
		// Deleted at Stripe, or of an account that the key does not see: what the
		// event holds is all there is.
		if ev.thin {
			return o, false, fmt.Errorf("event %s holds no object, and %w: %w", ev.Key, err, hook.ErrPermanent)
		}
	}
	o, err = ev.copy()
	return o, false, err
}

// copy is the object as the event holds it.
func (ev *event) copy() (gjson.Result, error) {
	switch {
	case ev.thin:
		return gjson.Result{}, fmt.Errorf("event %s only names its object and no API key is set: %w", ev.Key, hook.ErrPermanent)
	case !knownVersion(ev.version):
		return gjson.Result{}, errUnknownVersion(ev.version)
	}
	return ev.object, nil
}
