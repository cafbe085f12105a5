package toss

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Where the real Toss is; keys of live mode go nowhere else.
const (
	DefaultAPIBase = "https://api.tosspayments.com"
	DefaultSDKURL  = "https://js.tosspayments.com/v2/standard"
)

// Config of a Desk. Zero means the stated default.
type Config struct {
	// Source is the name of the Toss source whose deliveries are hints on our
	// orders; default "toss".
	Source string
	// SecretKey asks the core API, ClientKey is what the page gives to the
	// widget. Both required, of one pair.
	SecretKey string
	ClientKey string
	APIBase   string // default DefaultAPIBase
	SDKURL    string // default DefaultSDKURL

	// Proxy is the URL of an HTTP proxy for calls to Toss, Certificate the
	// client certificate that it or a gateway asks for, Roots whom to trust
	// instead of the system's authorities. All optional.
	Proxy       string
	Certificate *tls.Certificate
	Roots       *x509.CertPool

	// Applier and Viewer are the store. Required.
	Applier hook.Applier
	Viewer  hook.Viewer
	// Record writes an internal event durably and makes its jobs; the Keeper's.
	// Required.
	Record func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error)
	// DepositSecret compares the secret in a deposit's body with the stored one,
	// in constant time; source.TossDepositSecret. Required.
	DepositSecret func(body []byte, stored string) bool
	// Eligibility is asked before a seat is held; nil asks nobody.
	Eligibility Eligibility

	// PublicURL is the address of the public listener as buyers see it, without
	// a path; needed for Origins and for links to new checkouts.
	PublicURL string
	// Origins are other sites, such as https://shop.example, on which the
	// element may run and to which a purchase may return.
	Origins []string
	Shop    string // name above the product; may be empty
	Support string // how a buyer reaches a person; may be empty

	Hold           time.Duration // of a seat, for one purchase; default 10 min
	OrderLife      time.Duration // of an order that nobody pays; default 40 min: 30 to authenticate, 10 to confirm
	ConfirmTimeout time.Duration // for one answer of Toss; default 8 s
	ConfirmWindow  time.Duration // in which confirm is sent again; default 10 min, as Toss's
	RedirectWait   time.Duration // of the success page for its job; default 4 s
	HintGap        time.Duration // between two questions about one order on account of hints; default 2 s
	MaxAsks        int           // questions a second on account of hints; default 20
	MaxCheckouts   int           // new purchases a minute and address; default 60

	// StrictCSP enforces the whole content security policy at the real Toss too.
	// By default its unpublished hosts are only reported there.
	StrictCSP bool

	Logger *slog.Logger     // default: logs nothing
	Now    func() time.Time // default: the process's clock

	// mutant switches on known mistakes in tests; default fault.Mutant.
	mutant func(name string) bool
}

func (c Config) withDefaults() Config {
	text := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	text(&c.Source, "toss")
	text(&c.APIBase, DefaultAPIBase)
	text(&c.SDKURL, DefaultSDKURL)
	c.APIBase = strings.TrimSuffix(c.APIBase, "/")
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.Hold, 10 * time.Minute}, {&c.OrderLife, 40 * time.Minute}, {&c.ConfirmTimeout, 8 * time.Second},
		{&c.ConfirmWindow, 10 * time.Minute}, {&c.RedirectWait, 4 * time.Second}, {&c.HintGap, 2 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if c.MaxAsks == 0 {
		c.MaxAsks = 20
	}
	if c.MaxCheckouts == 0 {
		c.MaxCheckouts = 60
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = fault.Now
	}
	if c.mutant == nil {
		c.mutant = fault.Mutant
	}
	return c
}

// check returns every problem, not only the first, and never a key.
func (c *Config) check() error {
	var problems []error
	add := func(text string) { problems = append(problems, errors.New("toss: "+text)) }
	if c.Applier == nil || c.Viewer == nil {
		add("no store: set Applier and Viewer")
	}
	if c.Record == nil {
		add("no Record: give the keeper's")
	}
	if c.DepositSecret == nil {
		add("no DepositSecret: give source.TossDepositSecret")
	}
	return errors.Join(append(problems, c.Validate())...)
}

// Validate returns everything that is wrong with the settings, joined, as New
// does, but asks for no store: a program may call it before it opens one.
func (c Config) Validate() error {
	c = c.withDefaults()
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("toss: "+format, args...))
	}
	c.checkKeys(add)
	c.checkURLs(add)
	for _, d := range []time.Duration{c.Hold, c.OrderLife, c.ConfirmTimeout, c.ConfirmWindow, c.RedirectWait, c.HintGap} {
		if d < 0 {
			add("a time is negative: %s", d)
		}
	}
	if c.MaxAsks < 0 || c.MaxCheckouts < 0 {
		add("MaxAsks and MaxCheckouts cannot be negative")
	}
	return errors.Join(problems...)
}

// keyKind takes test_gsk_… apart: mode test, kind gsk.
func keyKind(key string) (mode, kind string) {
	parts := strings.SplitN(key, "_", 3)
	if len(parts) < 3 || parts[2] == "" {
		return "", ""
	}
	return parts[0], parts[1]
}

func (c *Config) checkKeys(add func(string, ...any)) {
	pairs := map[string]string{"gsk": "gck", "sk": "ck"}
	mode, kind := keyKind(c.SecretKey)
	clientMode, clientKind := keyKind(c.ClientKey)
	known := mode == hook.ModeTest || mode == hook.ModeLive
	switch {
	case c.SecretKey == "":
		add("secret key: none given; the checkout cannot confirm payments without it")
	case !known || pairs[kind] == "":
		add("secret key: want one that begins with test_gsk_, live_gsk_, test_sk_ or live_sk_")
	}
	switch {
	case c.ClientKey == "":
		add("client key: none given; the page cannot load the widget without it")
	case pairs[clientKind] != "":
		add("client key: this is a secret key, which must never reach a page; give the one that begins with test_gck_ or live_gck_")
	case known && pairs[kind] != "" && (clientMode != mode || clientKind != pairs[kind]):
		add("client key: not of one pair with the secret key: want one that begins with %s_%s_", mode, pairs[kind])
	}
	if mode != hook.ModeLive && clientMode != hook.ModeLive {
		return
	}
	if c.APIBase != DefaultAPIBase {
		add("a live key is only for %s, not for another API base", DefaultAPIBase)
	}
	if origin(c.SDKURL) != origin(DefaultSDKURL) {
		add("a live key is only for the script of %s, not for another SDK URL", origin(DefaultSDKURL))
	}
}

func (c *Config) checkURLs(add func(string, ...any)) {
	for _, u := range []struct{ name, value string }{{"API base", c.APIBase}, {"SDK URL", c.SDKURL}} {
		if origin(u.value) == "" {
			add("%s: want an http or https address", u.name)
		}
	}
	if c.PublicURL != "" && origin(c.PublicURL) != c.PublicURL {
		add("public URL %q: want scheme and host alone, such as https://pay.example", c.PublicURL)
	}
	if c.Proxy != "" && origin(c.Proxy) == "" {
		add("proxy: want an http or https address")
	}
	for _, o := range c.Origins {
		if origin(o) != o {
			add("origin %q: want scheme and host alone, such as https://shop.example", o)
		}
	}
	if len(c.Origins) > 0 && c.PublicURL == "" {
		add("origins: other sites need to know where this one is: set the public URL")
	}
}

// origin is scheme and host of an address, empty if it is none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
