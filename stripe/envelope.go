package stripe

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// driftType is the type of the events by which we tell ourselves that a
// subscription has to be looked at again.
const driftType = "hookkeeper.subscription.drift"

// event is a recorded event as the handlers see it: snapshot, thin, or our own.
type event struct {
	*hook.Event
	kind     string // the type, without the v1. of thin events
	version  string // API version of the body; empty if it names none
	account  string // connected account, or empty
	fact     string // the same for a snapshot event and its thin twin
	thin     bool   // names an object and does not hold it
	drift    bool
	created  time.Time // whole seconds for snapshots
	object   gjson.Result
	previous gjson.Result // only what changed; may not exist
	related  string       // id of the object of a thin event
}

// readEvent reads the envelope. The source has walked the body before: it is
// JSON, and no key that is read comes twice.
func readEvent(e *hook.Event) (*event, error) {
	body := gjson.ParseBytes(e.Body)
	ev := &event{Event: e, kind: strings.TrimPrefix(e.Type, "v1."), created: e.OccurredAt, fact: e.Key}
	switch body.Get("object").String() {
	case "event":
		ev.version, ev.account = body.Get("api_version").String(), body.Get("account").String()
		ev.object, ev.previous = body.Get("data.object"), body.Get("data.previous_attributes")
		if !ev.object.IsObject() {
			return nil, fmt.Errorf("event %s has no data.object: %w", e.Key, hook.ErrPermanent)
		}
	case "v2.core.event":
		ev.thin, ev.account = true, body.Get("context").String()
		ev.related = body.Get("related_object.id").String()
		if twin := body.Get("snapshot_event").String(); twin != "" {
			ev.fact = twin
		}
	case "hookkeeper.drift":
		if e.Trust != hook.TrustInternal {
			return nil, fmt.Errorf("event %s claims to be ours and is not: %w", e.Key, hook.ErrPermanent)
		}
		ev.thin, ev.drift, ev.kind, ev.related = true, true, driftType, body.Get("subscription").String()
	default:
		return nil, fmt.Errorf("event %s is neither a snapshot nor a thin event: %w", e.Key, hook.ErrPermanent)
	}
	if ev.created.IsZero() {
		return nil, fmt.Errorf("event %s has no time: %w", e.Key, hook.ErrPermanent)
	}
	return ev, nil
}

// is reports whether the event's type begins so.
func (ev *event) is(prefix string) bool { return strings.HasPrefix(ev.kind, prefix) }

// id of the object that the event is about.
func (ev *event) id() string {
	if ev.thin {
		return ev.related
	}
	return ev.object.Get("id").String()
}

// ref reads a reference, which is an id or, expanded, an object with one.
func ref(r gjson.Result) string {
	if r.IsObject() {
		return r.Get("id").String()
	}
	return r.String() // null gives nothing
}

// seconds reads a time in Unix seconds; null and nothing give none.
func seconds(r gjson.Result) time.Time {
	if r.Type != gjson.Number {
		return time.Time{}
	}
	return time.Unix(r.Int(), 0).UTC()
}

// nullable is a time as a column takes it.
func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// orNull is a text as a column takes it that may be empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
