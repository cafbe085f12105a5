package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// forwardConfig is one entry of forward.
type forwardConfig struct {
	To      string
	Events  []string
	Sign    string
	Secret  secret
	Trust   []string
	Allow   []string
	Timeout time.Duration

	origin string // where it was declared, for messages
}

// forward reads one entry of forward.
func (r *reader) forward(name string, at, value ast.Node) {
	where := "forward." + name
	f := &forwardConfig{origin: fmt.Sprintf("%s:%d", r.file, at.GetToken().Position.Line)}
	r.c.Forward[name] = f
	r.mapping(value, where, keys{
		"to":      r.text(where+".to", &f.To),
		"events":  r.texts(where+".events", &f.Events),
		"sign":    r.text(where+".sign", &f.Sign),
		"secret":  func(n ast.Node) { f.Secret, _ = r.secret(n, where+".secret") },
		"trust":   r.texts(where+".trust", &f.Trust),
		"allow":   r.texts(where+".allow", &f.Allow),
		"timeout": r.positive(where+".timeout", &f.Timeout),
	})
}

func (f *forwardConfig) destination(name string) forward.Destination {
	d := forward.Destination{
		Name: name, To: f.To, Events: f.Events, Sign: f.Sign, Secret: f.Secret.value, Allow: f.Allow, Timeout: f.Timeout,
	}
	for _, t := range f.Trust {
		d.Trust = append(d.Trust, hook.Trust(t))
	}
	return d
}

// forwards makes the routes of the configured destinations.
func (c *config) forwards(p *problems) []hook.Route {
	var all []hook.Route
	for _, name := range slices.Sorted(maps.Keys(c.Forward)) {
		f := c.Forward[name]
		add := func(err error) {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				p.add("%s (%s)", line, f.origin)
			}
		}
		if name == logHandlerName {
			add(fmt.Errorf("destination %q: the built-in handler has this name, give it another", name))
			continue
		}
		if err := f.destination(name).Validate(); err != nil {
			add(err)
			continue
		}
		signers, err := c.signers(name, f)
		if err != nil {
			add(err)
			continue
		}
		routes, err := forward.Routes(f.destination(name), func(s string) hook.Signer { return signers[s] })
		if err != nil {
			add(err)
			continue
		}
		c.adviseForward(name, f)
		all = append(all, routes...)
	}
	return all
}

// signers makes a signer for every source that a destination gets events of.
func (c *config) signers(name string, f *forwardConfig) (map[string]hook.Signer, error) {
	var all []error
	say := func(format string, args ...any) {
		all = append(all, fmt.Errorf("destination %q: "+format, append([]any{name}, args...)...))
	}
	made := map[string]hook.Signer{}
	for _, pattern := range f.Events {
		sources, _, _ := strings.Cut(pattern, ":")
		any := false
		for _, s := range slices.Sorted(maps.Keys(c.Sources)) {
			if !hook.Match(sources, s) {
				continue
			}
			any = true
			if made[s] != nil || f.Sign == forward.SignStandardWebhooks {
				continue
			}
			signer, err := c.signer(name, f, s)
			if err != nil {
				say("%w", err)
				continue
			}
			made[s] = signer
		}
		if !any {
			say("events: pattern %q fits no configured source", pattern)
		}
	}
	switch {
	case f.Timeout >= c.Work.Limit:
		say("timeout: %s is not shorter than work.limit, %s, which bounds every attempt", f.Timeout, c.Work.Limit)
	case f.Sign == forward.SignOriginal && f.Secret.set:
		say("secret: has no use with sign: original")
	}
	return made, errors.Join(all...)
}

// signer signs as the sender of a source does, with the destination's secret.
func (c *config) signer(name string, f *forwardConfig, sourceName string) (hook.Signer, error) {
	conf := c.Sources[sourceName]
	if f.Sign == forward.SignOriginal {
		return namedSigner{names: senderHeaders(conf)}, nil
	}
	if conf.Sender == "toss" {
		return nil, fmt.Errorf("sign: Toss does not sign its payment events, so nothing could be verified; use sign: %s",
			forward.SignStandardWebhooks)
	}
	if !f.Secret.set {
		return nil, fmt.Errorf("secret: none given, and events of source %q are signed anew with it", sourceName)
	}
	signer, warnings, err := signerWith(conf, sourceName, f.Secret.value)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		_, text, _ := strings.Cut(w, "secrets[0]: ")
		c.warn("destination %q: secret: %s", name, text)
	}
	return signer, nil
}

// signerWith makes a signer of a source with another secret.
func signerWith(conf *sourceConfig, name, with string) (hook.Signer, []string, error) {
	s, err := conf.source(name, with)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := s.(hook.Signer)
	probe := http.Header{}
	v, _ := s.(hook.Validator)
	switch {
	case !ok:
		return nil, nil, fmt.Errorf("sign: source %q cannot be signed for; use sign: %s", name, forward.SignStandardWebhooks)
	case v != nil && v.Validate() != nil:
		text := strings.ReplaceAll(v.Validate().Error(), "secrets[0]", "secret")
		return nil, nil, fmt.Errorf("secret: %s", strings.ReplaceAll(text, "\n", "; "))
	case conf.Sender != "hmac" && signer.Sign(probe, []byte("{}"), time.Now()) != nil && conf.Sender != "toss":
		return nil, nil, fmt.Errorf("secret: cannot sign for source %q; use a secret of its sender's form, or sign: %s",
			name, forward.SignStandardWebhooks)
	}
	var warnings []string
	if v != nil {
		for _, w := range v.Warnings() {
			if strings.Contains(w, "secrets[0]: ") {
				warnings = append(warnings, w)
			}
		}
	}
	return namedSigner{signer, senderHeaders(conf)}, warnings, nil
}

// adviseForward warns of what works and should not stay.
func (c *config) adviseForward(name string, f *forwardConfig) {
	u, err := url.Parse(f.To)
	if err == nil && u.Scheme == "http" && len(f.Allow) == 0 {
		c.warn("destination %q: to: http carries events unencrypted, use https", name)
	}
}

// namedSigner is a signer that knows which headers of a delivery are its
// sender's; see forward.Namer.
type namedSigner struct {
	hook.Signer
	names []string
}

// Headers names the headers that go along with a forwarded event.
func (s namedSigner) Headers() []string { return s.names }

// senderHeaders lists the headers of a sender's deliveries that its verifiers
// read, * standing for the rest of a name.
func senderHeaders(conf *sourceConfig) []string {
	switch conf.Sender {
	case "stripe":
		return []string{"Stripe-Signature"}
	case "github":
		return []string{"X-GitHub-*", "X-Hub-Signature", "X-Hub-Signature-256"}
	case "toss":
		return []string{"Tosspayments-Webhook-*"}
	case "standard-webhooks", "portone":
		return []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Svix-Id", "Svix-Timestamp", "Svix-Signature"}
	}
	if conf.HMAC == nil {
		return nil
	}
	return hmacHeaders(conf.HMAC)
}

// hmacHeaders are the headers that a declared scheme names.
func hmacHeaders(spec *source.HMACSpec) []string {
	names := []string{spec.Header}
	if spec.TimestampHeader != "" {
		names = append(names, spec.TimestampHeader)
	}
	for _, place := range [...]string{spec.Key, spec.Type, spec.Subject} {
		if name, ok := strings.CutPrefix(place, "header:"); ok {
			names = append(names, name)
		}
	}
	for rest := spec.Signed; ; {
		_, after, ok := strings.Cut(rest, "{header:")
		if !ok {
			return names
		}
		name, more, _ := strings.Cut(after, "}")
		names, rest = append(names, name), more
	}
}

func (f *forwardConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{{Key: "to", Value: maskQuery(f.To)}, {Key: "events", Value: f.Events}}
	add := func(set bool, key string, value any) {
		if set {
			out = append(out, yaml.MapItem{Key: key, Value: value})
		}
	}
	sign := f.Sign
	if sign == "" {
		sign = forward.SignSender
	}
	timeout := f.Timeout
	if timeout == 0 {
		timeout = forward.DefaultTimeout
	}
	add(true, "sign", sign)
	add(f.Secret.set, "secret", mask)
	add(len(f.Trust) > 0, "trust", f.Trust)
	add(len(f.Allow) > 0, "allow", f.Allow)
	add(true, "timeout", timeout.String())
	return out
}

// maskQuery hides the values of a URL's query, one of which may be a token, and
// a user that will be refused.
func maskQuery(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return mask
	}
	if u.RawQuery != "" {
		u.RawQuery = mask
	}
	return u.Redacted()
}
