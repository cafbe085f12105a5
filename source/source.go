// Package source knows senders: how each one signs its deliveries and how it
// names its events. Every source is a [hook.Source] that verifies on the raw
// bytes, identifies by one pass over them, and signs as its sender does.
//
// It promises: signatures are compared in constant time, with every secret and
// at most eight signatures of a header; times are refused on both sides of the
// tolerance; nothing from outside makes it panic, recurse or decode a body
// before its bytes are known to be shallow and well formed; what was verified is
// never refused for its shape, only quarantined.
//
// It refuses: an empty or placeholder secret, a tolerance of zero where the
// sender signs a time, SHA-1, and a header that says two things at once. A
// constructor keeps a bad configuration, verifies nothing with it and says in
// Validate what is wrong. It knows bytes, headers, secrets and a clock; no
// database and no network.
//
// It is larger than the other packages because every sender has a file of its
// own here; they share the scanner, the window and the care for secrets.
package source

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The names of the senders, as a configuration spells them.
const (
	senderStripe   = "stripe"
	senderToss     = "toss"
	senderGitHub   = "github"
	senderStandard = "standard-webhooks"
	senderPortOne  = "portone"
	senderHMAC     = "hmac"
)

// Senders lists the names that Config.Sender may have, in a fixed order.
func Senders() []string {
	return []string{
		senderStripe, senderToss, senderGitHub, senderStandard, senderPortOne, senderHMAC,
	}
}

// Config is a source as a configuration describes it.
type Config struct {
	Name    string   // the {source} of the endpoint's URL: ^[a-z0-9_-]{1,64}$
	Sender  string   // one of Senders
	Secrets []string // signing secrets, the one to sign with first; Toss: security keys, may be none

	// Tolerance is the largest distance between the signed time and now. Nil
	// means the sender's default: 5 minutes, none at Toss. Zero is refused where
	// the default is not none, any value where the sender signs no time.
	Tolerance *time.Duration

	Live          *bool     // which mode is worked, where the sender has modes; nil: both
	MaxBodyBytes  int64     // zero: the sender's limit, 25 MiB at GitHub, otherwise the door's
	RatePerSecond float64   // deliveries taken per second; zero: no bound
	HMAC          *HMACSpec // how to verify and identify; only for the sender hmac
}

var (
	_ hook.Answerer    = (*StripeSource)(nil)
	_ hook.Canonicaler = (*StripeSource)(nil)

	_ = [...]hook.TimeSigner{(*StripeSource)(nil), (*TossSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}

	_ = [...]hook.Source{(*StripeSource)(nil), (*TossSource)(nil), (*GitHubSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}
	_ = [...]hook.Bounder{(*StripeSource)(nil), (*TossSource)(nil), (*GitHubSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}
	_ = [...]hook.Validator{(*StripeSource)(nil), (*TossSource)(nil), (*GitHubSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}
	_ = [...]hook.Signer{(*StripeSource)(nil), (*TossSource)(nil), (*GitHubSource)(nil), (*StandardSource)(nil), (*HMACSource)(nil)}
)

// New makes a source of a configuration. Its error means that there is no such
// sender. Everything else that is wrong is kept: the source then says so in
// Validate, and where it matters to a signature verifies nothing (bad_config).
func New(c Config) (hook.Source, error) {
	switch c.Sender {
	case senderStripe:
		return newStripe(c), nil
	case senderToss:
		return newToss(c), nil
	case senderGitHub:
		return newGitHub(c), nil
	case senderStandard:
		return newStandard(c), nil
	case senderPortOne:
		return newPortOne(c), nil
	case senderHMAC:
		return newHMAC(c), nil
	}
	return nil, fmt.Errorf("source %q: sender %q is not known; use one of %s",
		c.Name, c.Sender, strings.Join(Senders(), ", "))
}

// base is what all sources have. It is fixed after construction.
type base struct {
	config   Config
	window   window
	broken   bool // a setting that decides about signatures is wrong: verify nothing
	problems []error
	warnings []string
}

// Sender is the name of the sender, as a configuration spells it.
func (b *base) Sender() string { return b.config.Sender }

// traits are what distinguishes senders in their settings.
type traits struct {
	window   time.Duration // default tolerance; zero: none
	signsAt  bool          // the sender signs a time
	modes    bool          // its events name a mode
	unsigned bool          // it works without a secret, with less trust
}

func newBase(c Config, t traits) base {
	c.Secrets = append([]string(nil), c.Secrets...)
	b := base{config: c, window: window{t.window}}
	if !validName(c.Name) {
		b.problem("name", "must be 1 to 64 of a-z, 0-9, _ and -")
	}
	b.setTolerance(c.Tolerance, t)
	if c.Live != nil && !t.modes {
		b.warn("live", "has no meaning here: events of this sender name no mode")
	}
	if c.MaxBodyBytes < 0 {
		b.problem("limit", "must not be negative")
	}
	if c.RatePerSecond < 0 || math.IsNaN(c.RatePerSecond) || math.IsInf(c.RatePerSecond, 0) {
		b.problem("rate", "must be a number of deliveries per second, zero for no bound")
	}
	if c.HMAC != nil && c.Sender != senderHMAC {
		b.problem("hmac", "only the sender hmac has it")
	}
	if len(c.Secrets) == 0 && !t.unsigned {
		b.problem("secrets", "none given, and this sender signs its deliveries")
	}
	b.checkSecrets()
	return b
}

func (b *base) setTolerance(d *time.Duration, t traits) {
	switch {
	case d == nil:
	case *d < 0:
		b.broken = true
		b.problem("tolerance", "must not be negative")
	case !t.signsAt && *d > 0:
		b.problem("tolerance", "has no meaning here: no time is signed")
	case *d == 0 && t.window > 0:
		b.broken = true
		b.problem("tolerance", "zero is refused: every captured delivery would stay valid")
	case t.signsAt:
		b.window.tolerance = *d
		if *d > 24*time.Hour {
			b.warn("tolerance", "is longer than a day")
		}
	}
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

// problem notes a wrong setting by its name, never by its value.
func (b *base) problem(setting, text string) {
	b.problems = append(b.problems, fmt.Errorf("source %q: %s: %s", b.config.Name, setting, text))
}

func (b *base) warn(setting, text string) {
	b.warnings = append(b.warnings, fmt.Sprintf("source %q: %s: %s", b.config.Name, setting, text))
}

// Name returns the name that the source was made with.
func (b *base) Name() string { return b.config.Name }

// Validate returns everything that is wrong with the configuration, joined, or
// nil. It names settings, never their values.
func (b *base) Validate() error { return errors.Join(b.problems...) }

// Warnings returns what works and should not stay, one line each.
func (b *base) Warnings() []string { return append([]string(nil), b.warnings...) }

// MaxBodyBytes returns the configured limit; zero means the door's default.
func (b *base) MaxBodyBytes() int64 { return max(b.config.MaxBodyBytes, 0) }

// RatePerSecond returns the configured bound; zero means none.
func (b *base) RatePerSecond() float64 { return max(b.config.RatePerSecond, 0) }

// SignsTime reports whether whatever verifies carries a signed time that is near.
func (b *base) SignsTime() bool { return b.window.tolerance > 0 }

// Published reports false: only hints need the sender's addresses.
func (b *base) Published(netip.Addr) bool { return false }
