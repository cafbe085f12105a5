// Package forward passes recorded events on to destinations: URLs of yours that
// get each event by HTTP POST, with its exact body, signed so that the receiver
// can verify it. [Routes] turns a destination into routes, so that forwards have
// the same jobs, retries and dead letters as every other handler.
//
// It promises delivery at least once, with the same id on every attempt and
// every replay; a dialled address that has passed the guard, however its name
// resolved; and that one attempt is one request: nothing is followed, repeated
// or sent through a proxy behind the worker's back.
//
// It refuses destinations that are not http or https, that carry a user, or that
// lead into networks which nobody has allowed by name. It knows no sender, no
// store and no page.
package forward

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// How a destination's copies are signed.
const (
	SignSender           = "sender"            // as the event's own sender does, anew, with the destination's secret
	SignOriginal         = "original"          // not at all: the headers that came with the event
	SignStandardWebhooks = "standard-webhooks" // webhook-id, webhook-timestamp, webhook-signature
)

// DefaultTimeout bounds one attempt. Standard Webhooks asks for 15 to 30 s.
const DefaultTimeout = 15 * time.Second

// Destination is a URL of yours that receives recorded events. Zero means the
// stated default.
type Destination struct {
	// Name is the handler's: 1 to 64 of a-z, 0-9, _ and -. It is stored with
	// every job and is part of the idempotency key.
	Name string
	// To is an http or https URL.
	To string
	// Events are the patterns source:type of the events that it gets; * matches
	// any run of characters, a comma means or.
	Events []string
	// Trust names kinds of evidence. Empty means signature, secret, token and
	// sender_api. A list of other kinds only, such as hint, is added to these;
	// a list with one of these in it is taken as it is.
	Trust []hook.Trust
	// Sign is SignSender (default), SignOriginal or SignStandardWebhooks.
	Sign string
	// Secret signs for SignStandardWebhooks: base64, with or without whsec_. For
	// SignSender the signers handed to Routes hold it.
	Secret string
	// Allow names the networks, beyond the public ones, that may be dialled:
	// loopback, private, an address or a CIDR.
	Allow []string
	// Timeout bounds one attempt; default DefaultTimeout.
	Timeout time.Duration
	// Now is the clock of signatures; default time.Now.
	Now func() time.Time
}

// Validate returns everything that is wrong with the destination, joined, or
// nil. It names settings, never a secret and nothing of a URL but its host.
func (d Destination) Validate() error {
	var all []error
	add := func(setting, format string, args ...any) {
		all = append(all, fmt.Errorf("destination %q: %s: %s", d.Name, setting, fmt.Sprintf(format, args...)))
	}
	if !validName(d.Name) {
		add("name", "must be 1 to 64 of a-z, 0-9, _ and -")
	}
	g, err := newGuard(d.Allow)
	if err != nil {
		add("allow", "%v", err)
	}
	if _, err := parseTo(d.To, g); err != nil {
		add("to", "%v", err)
	}
	if len(d.Events) == 0 {
		add("events", "none given, so nothing would be forwarded; want source:type, such as stripe:invoice.*")
	}
	for _, pattern := range d.Events {
		if source, kind, ok := strings.Cut(pattern, ":"); !ok || source == "" || kind == "" {
			add("events", "pattern %q: want source:type, such as stripe:invoice.*", pattern)
		}
	}
	for _, t := range d.Trust {
		if !slices.Contains(kinds[:], t) {
			add("trust", "%q: there are signature, secret, token, sender_api, internal and hint", t)
		}
	}
	if d.Timeout < 0 {
		add("timeout", "must not be negative")
	}
	switch d.Sign {
	case "", SignSender, SignOriginal:
	case SignStandardWebhooks:
		if _, err := standardKey(d.Secret); err != nil {
			add("secret", "%v", err)
		}
	default:
		add("sign", "%q: there are %s, %s and %s", d.Sign, SignSender, SignOriginal, SignStandardWebhooks)
	}
	return errors.Join(all...)
}

// kinds are all kinds of evidence; the first four are trusted by default.
var kinds = [...]hook.Trust{hook.TrustSignature, hook.TrustSecret, hook.TrustToken, hook.TrustSenderAPI,
	hook.TrustInternal, hook.TrustHint}

func usual() []hook.Trust { return kinds[:4:4] }

// trust is what Trust stands for.
func (d *Destination) trust() []hook.Trust {
	for _, t := range d.Trust {
		if slices.Contains(usual(), t) {
			return slices.Clone(d.Trust)
		}
	}
	return append(usual(), d.Trust...)
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// parseTo reads the URL of a destination and refuses at once what the guard
// would refuse at every attempt. What a name resolves to is left to the guard.
func parseTo(text string, g guard) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text would quote the URL, and with it what may be a token
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("want an http or https URL")
	case u.User != nil:
		return nil, errors.New("a user in the URL is refused; the signature is what the receiver verifies")
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return nil, errors.New("names no host")
	case !validPort(u):
		return nil, errors.New("the port must be a number from 1 to 65535")
	case u.Fragment != "":
		return nil, errors.New("a fragment (#…) is never sent")
	}
	return u, g.checkHost(u.Hostname())
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}
