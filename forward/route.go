package forward

import (
	"context"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Routes returns the routes of a destination, whose one handler forwards an
// event and has no effect of its own. It fails as New does, so that what cannot
// work is known at the start.
func Routes(d Destination, signer func(source string) hook.Signer) ([]hook.Route, error) {
	f, err := New(d, signer)
	if err != nil {
		return nil, err
	}
	return []hook.Route{f.route(&d)}, nil
}

func (f *Forwarder) route(d *Destination) hook.Route {
	var sources, types []string
	for _, pattern := range d.Events {
		source, kind, _ := strings.Cut(pattern, ":")
		sources, types = append(sources, source), append(types, kind)
	}
	return hook.Route{
		Name: d.Name, Source: strings.Join(sources, ","), Types: strings.Join(types, ","),
		Events: d.Events, Trust: d.trust(),
		Preview: &hook.Preview{}, // it writes nothing, and says where it would send
		Handler: hook.HandlerFunc(func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
			_, err := f.Forward(ctx, e)
			return nil, err
		}),
	}
}
