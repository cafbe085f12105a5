package stripe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Config of a Desk. Zero means the stated default.
type Config struct {
	// Source is the source whose events are worked. Required. Its name begins the
	// names of all routes.
	Source hook.Source
	// Store is the database. Required.
	Store Store
	// Record records an event of our own, with the jobs of all routes that want
	// it: the Record of a Keeper. Required with an APIKey.
	Record func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error)

	// APIKey asks Stripe: a restricted key that may read events, customers,
	// subscriptions, invoices, charges, refunds, disputes and payment intents is
	// enough. Without one the events alone decide and nothing is reconciled.
	APIKey string
	// APIBase is https://api.stripe.com unless a test says otherwise.
	APIBase string
	// HTTP is the transport to Stripe; default: one of its own.
	HTTP http.RoundTripper

	// Users finds out which user a customer is where the events do not say.
	Users Users
	// DefaultPlan is the plan of a price without a lookup key; default: its id.
	DefaultPlan string
	// Plans are lookup keys or price ids: of a subscription with several items
	// the one with such a price counts, else the first that has a lookup key.
	Plans []string

	// Grace is how long access lasts after a payment failed, from its invoice;
	// default 3 days, negative for none.
	Grace time.Duration
	// Margin is how long access lasts past a period that is to be renewed, while
	// the news of the next one is on its way; default 1 day, negative for none.
	Margin time.Duration

	// Language of notices that an application shows as they are: ko or en;
	// default ko. The other one stands in their data.
	Language string
	// Channels deliver notices outside.
	Channels []Channel

	// AccessPath is where operators ask for a user's access; default
	// users/{id}/access; what the user was told is beside it. A second source of
	// one program needs another.
	AccessPath string

	// ReconcileEvery is the time between two comparisons with Stripe; default
	// 5 min, negative turns them off.
	ReconcileEvery time.Duration
	// ReconcileTypes is a pattern of the types that count as missed; default:
	// the ones that the department handles.
	ReconcileTypes string

	Logger *slog.Logger
	Now    func() time.Time // default: the process's clock
}

// Store is what the department wants of a database.
type Store interface {
	hook.Applier
	hook.Viewer
}

// Users says which user of the application a customer is.
type Users interface {
	// UserOf returns the user's id, or nothing if no user is known yet. It must
	// answer within the context's two seconds; after an error the job is tried
	// again. In a preview (hook.Previewing) it may only read; whatever does more
	// returns what hook.Outward gives.
	UserOf(ctx context.Context, c Customer) (user string, err error)
}

// Customer is a customer whose user is asked for.
type Customer struct {
	Source string `json:"source"`
	Mode   string `json:"mode"`
	ID     string `json:"customer"`
	Email  string `json:"email,omitempty"` // as Stripe has it: not verified by anybody
}

const (
	defaultAPIBase        = "https://api.stripe.com"
	defaultGrace          = 3 * 24 * time.Hour
	defaultMargin         = 24 * time.Hour
	defaultReconcileEvery = 5 * time.Minute
)

// Desk is the billing department of one source. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	name   string // of the source
	api    *client
	seen   *seenKeys
	single chan struct{} // holds the one reconciliation that runs
}

// New checks the configuration and returns all its problems joined. It opens and
// starts nothing.
func New(cfg Config) (*Desk, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Desk{cfg: cfg, name: cfg.Source.Name(), seen: newSeenKeys(), single: make(chan struct{}, 1)}
	if cfg.APIKey != "" {
		d.api = newClient(cfg)
	}
	return d, nil
}

func (c Config) withDefaults() Config {
	def := func(v *time.Duration, fallback time.Duration) {
		switch {
		case *v == 0:
			*v = fallback
		case *v < 0:
			*v = 0
		}
	}
	def(&c.Grace, defaultGrace)
	def(&c.Margin, defaultMargin)
	def(&c.ReconcileEvery, defaultReconcileEvery)
	if c.APIBase == "" {
		c.APIBase = defaultAPIBase
	}
	if c.AccessPath == "" {
		c.AccessPath = "users/{id}/access"
	}
	if c.Language == "" {
		c.Language = "ko"
	}
	if c.ReconcileTypes == "" {
		c.ReconcileTypes = strings.Join(handledTypes(), ",")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// check returns every problem, not only the first.
func (c *Config) check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Source == nil {
		add("billing: no source")
	}
	if c.Store == nil {
		add("billing: no store")
	}
	if c.APIKey != "" && c.Record == nil {
		add("billing: an API key and no Record: what was missed could not be recorded")
	}
	if key := strings.TrimSpace(c.APIKey); key != c.APIKey || strings.ContainsAny(key, "\r\n\x00") {
		add("billing: the API key has blanks or line ends around or in it")
	}
	if u, err := url.Parse(c.APIBase); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		add("billing: api base %q: want an http or https URL", c.APIBase)
	}
	if c.Language != "ko" && c.Language != "en" {
		add("billing: language %q: want ko or en", c.Language)
	}
	if !strings.Contains(c.AccessPath, "{id}") {
		add("billing: access path %.80q: want {id} in it", c.AccessPath)
	}
	names := map[string]bool{}
	for _, ch := range c.Channels {
		switch {
		case !channelName(ch.Name):
			add("billing: channel %.80q: a name has 1 to 24 of a-z, 0-9 and -", ch.Name)
		case names[ch.Name]:
			add("billing: channel %s: configured twice", ch.Name)
		case ch.Sender == nil:
			add("billing: channel %s: has no Sender", ch.Name)
		}
		names[ch.Name] = true
	}
	return errors.Join(problems...)
}

// modeOfKey is the mode in which the API key asks: an object of the other mode
// does not exist for it. Empty if the key does not say.
func modeOfKey(key string) string {
	_, rest, _ := strings.Cut(key, "_")
	switch {
	case strings.HasPrefix(rest, "live_"):
		return hook.ModeLive
	case strings.HasPrefix(rest, "test_"):
		return hook.ModeTest
	}
	return ""
}

// asks reports whether objects of that mode are asked for at the sender.
func (d *Desk) asks(mode string) bool {
	if d.api == nil {
		return false
	}
	key := modeOfKey(d.cfg.APIKey)
	return key == "" || mode == "" || key == mode
}
