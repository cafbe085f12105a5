package main

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"

	"github.com/hookkeeper/hookkeeper/source"
)

// config is the effective configuration, from whatever it was read.
type config struct {
	Database       string
	Listen         string
	OperatorListen string
	OperatorToken  secret
	Operators      operatorsConfig
	Tracing        tracingConfig
	LogFormat      string
	LogLevel       string
	Sources        map[string]*sourceConfig
	Work           workConfig
	Handlers       map[string][]string // handler: patterns source:type
	Forward        map[string]*forwardConfig
	Billing        billingConfig
	Checkout       checkoutConfig
	Alarms         alarmsConfig
	Encryption     encryptionConfig
	Retention      retentionConfig
	Search         searchConfig

	warnings []string
}

// sourceConfig is one entry of sources.
type sourceConfig struct {
	Sender    string
	Secrets   []secret
	Tolerance *time.Duration
	Live      *bool
	Limit     int64
	Rate      float64
	APIKey    secret
	APIBase   string
	PublicURL string
	HMAC      *source.HMACSpec

	origin string // where it was declared, for messages
}

// workConfig are the limits of the back room.
type workConfig struct {
	Lease, Limit, BackoffBase, BackoffMax, Waiting time.Duration
	Slots, Attempts                                int
}

// secret is a value that is never printed. from says where it was read.
type secret struct {
	value string
	from  string
	set   bool
}

const (
	defaultDatabase       = "sqlite:hookkeeper.db"
	defaultListen         = ":8080"
	defaultOperatorListen = "127.0.0.1:8081"
)

func defaults() *config {
	return &config{
		Database: defaultDatabase, Listen: defaultListen, OperatorListen: defaultOperatorListen,
		LogFormat: "text", LogLevel: "info",
		Sources: map[string]*sourceConfig{}, Handlers: map[string][]string{}, Forward: map[string]*forwardConfig{},
		Billing: defaultBilling(), Alarms: defaultAlarms(),
		Work: workConfig{
			Lease: 30 * time.Second, Limit: time.Minute, Attempts: 12, // slots: the worker's
			BackoffBase: 10 * time.Second, BackoffMax: 12 * time.Hour, Waiting: 72 * time.Hour,
		},
		Retention: retentionConfig{Retention: hook.Retention{Keep: hook.Keep{Hints: 24 * time.Hour}}},
	}
}

// configFlags are the flags by which a command finds its configuration.
type configFlags struct {
	Config string `help:"Configuration file, YAML or JSON." var:"HOOKKEEPER_CONFIG" placeholder:"FILE"`
}

// problems collects everything that is wrong, so that it is told at once.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// loadConfig reads file and environment over the defaults. Problems are
// complete; the configuration beside them is filled as far as it could be read.
func loadConfig(path string, env lookup) (*config, problems) {
	c, p := defaults(), problems{}
	if path == "" {
		path, _ = env("HOOKKEEPER_CONFIG")
	}
	if path != "" {
		readConfigFile(path, c, env, &p)
	}
	applyEnvironment(c, env, &p)
	return c, p
}

// checkServe adds what serve refuses: dangerous emptiness and addresses that
// cannot be.
func (c *config) checkServe(p *problems) {
	checkAddress(p, "listen", c.Listen)
	checkAddress(p, "operator_listen", c.OperatorListen)
	c.checkToken(p)
	c.checkDatabase(p)
	c.Encryption.read(p)
	if len(c.Sources) == 0 {
		p.add("no sources: set STRIPE_WEBHOOK_SECRET, TOSS_SECRET_KEY or GITHUB_WEBHOOK_SECRET, " +
			"or name a configuration file with --config")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Handlers)) {
		if name != logHandlerName {
			p.add("handlers: unknown handler %q, there is %q", name, logHandlerName)
		}
		for _, pattern := range c.Handlers[name] {
			if source, kind, ok := strings.Cut(pattern, ":"); !ok || source == "" || kind == "" {
				p.add("handlers.%s.events: pattern %q: want source:type, such as stripe:invoice.*", name, pattern)
			}
		}
	}
	c.Tracing.check(p)
	if c.LogFormat != "text" && c.LogFormat != "json" {
		p.add("log_format: want text or json, not %q", c.LogFormat)
	}
	if _, err := logLevel(c.LogLevel); err != nil {
		p.add("log_level: want debug, info, warn or error, not %q", c.LogLevel)
	}
}

func (c *config) checkToken(p *problems) {
	switch t := c.OperatorToken; {
	case t.set && isPlaceholder(t.value):
		p.add("%s: the operator token is empty or a placeholder", t.from)
	case !t.set && !isLoopback(c.OperatorListen):
		p.add("operator_listen %s is not loopback and no operator token is set: "+
			"set HOOKKEEPER_OPERATOR_TOKEN, or listen on 127.0.0.1", c.OperatorListen)
	case !t.set: // the store may keep some: see firstToken
	case len(t.value) < 16:
		c.warn("%s: the operator token is shorter than 16 characters", t.from)
	}
}

// isPlaceholder reports a token that somebody forgot to fill in. Sources judge
// their signing secrets themselves.
func isPlaceholder(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"your_", "your-", "<", "${", "xxxx", "changeme", "change-me", "change_me"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return s == ""
}

func (c *config) checkDatabase(p *problems) {
	scheme, rest, _ := strings.Cut(c.Database, ":")
	switch {
	case isPostgres(c.Database):
		if u, err := url.Parse(c.Database); err != nil || u.Host == "" && u.Query().Get("host") == "" {
			p.add("%v", badDatabase(c.Database))
		}
	case scheme != "sqlite" || rest == "":
		p.add("%v", badDatabase(c.Database))
	}
}

// sqlitePath is the file of a SQLite database URL that checkDatabase let pass.
func sqlitePath(database string) string { return strings.TrimPrefix(database, "sqlite:") }

func (c *config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func checkAddress(p *problems, name, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		p.add("%s %q: want HOST:PORT, such as 127.0.0.1:8080 or :8080", name, address)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		p.add("%s %q: the port must be a number from 0 to 65535", name, address)
	} else if n == 0 && port != "0" {
		p.add("%s %q: the port must be a number from 0 to 65535", name, address)
	}
}

// isLoopback reports whether only this machine can reach the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maskURL hides the password of a database URL.
func maskURL(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		scheme, _, _ := strings.Cut(s, ":")
		return scheme + "://" + mask
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}
