package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// billingConfig is the section billing: what becomes of the events of Stripe.
type billingConfig struct {
	On             *bool // unset: on where there is a section or an API key
	Users          billingUsers
	DefaultPlan    string
	Plans          []string
	Grace          time.Duration
	Margin         time.Duration
	Language       string
	ReconcileEvery time.Duration
	Channels       map[string]*billingChannel

	given  bool
	origin string // where it was declared, for messages
}

// billingUsers says where a customer's user is found: in a table or by asking.
type billingUsers struct {
	Table, ID, Customer string
	URL                 string
	Secret              secret
}

// billingChannel is one way by which notices leave the house.
type billingChannel struct {
	URL   secret
	Kinds []string

	origin string
}

// envBilling turns the department on or off, whatever the file says.
const envBilling = "HOOKKEEPER_BILLING"

// Defaults of the section billing; zero is a time of its own here: none.
const (
	defaultGrace     = 3 * 24 * time.Hour
	defaultMargin    = 24 * time.Hour
	defaultReconcile = 5 * time.Minute
)

func defaultBilling() billingConfig {
	return billingConfig{Grace: defaultGrace, Margin: defaultMargin, Language: "ko", ReconcileEvery: defaultReconcile,
		Channels: map[string]*billingChannel{}}
}

// billing reads the section.
func (r *reader) billing(n ast.Node) {
	b := &r.c.Billing
	b.given, b.origin = true, fmt.Sprintf("%s:%d", r.file, n.GetToken().Position.Line)
	r.mapping(n, "billing", keys{
		"on":           r.truth("billing.on", &b.On),
		"default_plan": r.text("billing.default_plan", &b.DefaultPlan),
		"plans":        r.texts("billing.plans", &b.Plans),
		"grace":        r.duration("billing.grace", &b.Grace),
		"margin":       r.duration("billing.margin", &b.Margin),
		"language":     r.text("billing.language", &b.Language),
		"reconcile":    r.duration("billing.reconcile", &b.ReconcileEvery),
		"users": func(n ast.Node) {
			r.mapping(n, "billing.users", keys{
				"table": r.text("billing.users.table", &b.Users.Table), "id": r.text("billing.users.id", &b.Users.ID),
				"customer": r.text("billing.users.customer", &b.Users.Customer), "url": r.text("billing.users.url", &b.Users.URL),
				"secret": func(n ast.Node) { b.Users.Secret, _ = r.secret(n, "billing.users.secret") },
			})
		},
		"channels": func(n ast.Node) { r.each(n, "billing.channels", r.billingChannel) },
	})
}

func (r *reader) billingChannel(name string, at, value ast.Node) {
	where := "billing.channels." + name
	ch := &billingChannel{origin: fmt.Sprintf("%s:%d", r.file, at.GetToken().Position.Line)}
	r.c.Billing.Channels[name] = ch
	r.mapping(value, where, keys{
		"url":   func(n ast.Node) { ch.URL, _ = r.secret(n, where+".url") },
		"kinds": r.texts(where+".kinds", &ch.Kinds),
	})
}

// billingFromEnvironment lays the variable over the file.
func billingFromEnvironment(c *config, env lookup, p *problems) {
	v, ok := env(envBilling)
	switch {
	case !ok || v == "":
	case v == "on":
		c.Billing.On = new(true)
	case v == "off":
		c.Billing.On = new(false)
	default:
		p.add("%s: want on or off, not %q", envBilling, v)
	}
}

// billed are the sources whose events the department works, sorted.
func (c *config) billed() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		on := c.Billing.given || s.APIKey.value != ""
		if c.Billing.On != nil {
			on = *c.Billing.On
		}
		if s.Sender == "stripe" && on {
			all = append(all, name)
		}
	}
	return all
}

// checkBilling says what is wrong with the section itself.
func (c *config) checkBilling(p *problems) {
	b := &c.Billing
	add := func(format string, args ...any) { p.add("billing: "+format+" (%s)", append(args, b.origin)...) }
	if b.given && (b.On == nil || *b.On) && len(c.billed()) == 0 {
		add("there is no source of the sender stripe")
	}
	if b.Language != "ko" && b.Language != "en" {
		add("language: want ko or en, not %q", b.Language)
	}
	switch u := b.Users; {
	case u.Table != "" && u.URL != "":
		add("users: table and url exclude each other")
	case u.Table != "" && (u.ID == "" || u.Customer == ""):
		add("users: a table needs id and customer, the names of its columns")
	case u.Table == "" && (u.ID != "" || u.Customer != ""):
		add("users: id and customer are columns of a table, which is not named")
	case u.URL != "" && (!u.Secret.set || isPlaceholder(u.Secret.value)):
		add("users: a url needs a secret by which your application knows that we ask")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Channels)) {
		if ch := b.Channels[name]; !ch.URL.set || strings.TrimSpace(ch.URL.value) == "" {
			p.add("billing.channels.%s: url is missing (%s)", name, ch.origin)
		}
	}
}

func (b *billingConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{}
	add := func(set bool, key string, value any) {
		if set {
			out = append(out, yaml.MapItem{Key: key, Value: value})
		}
	}
	if b.On != nil {
		add(true, "on", *b.On)
	}
	users := yaml.MapSlice{}
	for _, f := range [...]struct{ key, value string }{{"table", b.Users.Table}, {"id", b.Users.ID},
		{"customer", b.Users.Customer}, {"url", maskQuery(b.Users.URL)}} {
		if f.value != "" {
			users = append(users, yaml.MapItem{Key: f.key, Value: f.value})
		}
	}
	if b.Users.Secret.set {
		users = append(users, yaml.MapItem{Key: "secret", Value: mask})
	}
	add(len(users) > 0, "users", users)
	add(b.DefaultPlan != "", "default_plan", b.DefaultPlan)
	add(len(b.Plans) > 0, "plans", b.Plans)
	add(true, "grace", b.Grace.String())
	add(true, "margin", b.Margin.String())
	add(true, "language", b.Language)
	add(true, "reconcile", b.ReconcileEvery.String())
	channels := yaml.MapSlice{}
	for _, name := range slices.Sorted(maps.Keys(b.Channels)) {
		one := yaml.MapSlice{{Key: "url", Value: mask}}
		if kinds := b.Channels[name].Kinds; len(kinds) > 0 {
			one = append(one, yaml.MapItem{Key: "kinds", Value: kinds})
		}
		channels = append(channels, yaml.MapItem{Key: name, Value: one})
	}
	add(len(channels) > 0, "channels", channels)
	return out
}
