package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripe/channel"
)

// stripeDepartments are the plans of the billing departments, one for each source
// of Stripe.
func (c *config) stripeDepartments(p *problems) []departmentPlan {
	c.checkBilling(p)
	names := c.billed()
	if len(names) == 0 {
		return nil
	}
	outlets := c.outlets(p)
	var all []departmentPlan
	for i, name := range names {
		conf := c.Sources[name]
		s, err := conf.source(name)
		if err != nil {
			return nil // build has said why
		}
		access := "" // the first source's
		if i > 0 {
			access = "billing/" + name + "/users/{id}/access"
		}
		if conf.APIKey.value == "" {
			c.warn("source %q: billing works without an API key: what is never delivered stays unknown, and two "+
				"changes of one second may leave a subscription marked unsure", name)
		}
		all = append(all, departmentPlan{tables: stripe.Tables(), build: func(h house) (hook.Department, error) {
			desk, err := c.desk(s, conf, h, outlets, access)
			if err != nil {
				return hook.Department{}, err
			}
			return desk.Department(), nil
		}})
	}
	return all
}

// desk builds the billing department of one source.
func (c *config) desk(s hook.Source, conf *sourceConfig, h house, outlets []stripe.Channel, access string) (*stripe.Desk, error) {
	b := &c.Billing
	users, err := b.lookup(h.store)
	if err != nil {
		return nil, err
	}
	return stripe.New(stripe.Config{
		Source: s, Store: h.store, Record: h.record, Logger: h.log,
		APIKey: conf.APIKey.value, APIBase: conf.APIBase, Users: users, DefaultPlan: b.DefaultPlan, Plans: b.Plans,
		Grace: orNone(b.Grace), Margin: orNone(b.Margin), ReconcileEvery: orNone(b.ReconcileEvery), Language: b.Language,
		Channels: outlets, AccessPath: access,
	})
}

// orNone: here zero is none, there it is the default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// lookup makes the way to the application's users; nil if none is configured.
func (b *billingConfig) lookup(store hook.Viewer) (stripe.Users, error) {
	switch u := b.Users; {
	case u.Table != "":
		return stripe.NewTableUsers(store, u.Table, u.ID, u.Customer)
	case u.URL != "":
		return stripe.NewHTTPUsers(u.URL, u.Secret.value, nil)
	}
	return nil, nil
}

// outlets opens the channels; nothing is sent yet.
func (c *config) outlets(p *problems) []stripe.Channel {
	var all []stripe.Channel
	for _, name := range slices.Sorted(maps.Keys(c.Billing.Channels)) {
		ch := c.Billing.Channels[name]
		if strings.TrimSpace(ch.URL.value) == "" {
			continue // checkBilling has said so
		}
		outlet, err := channel.Open(ch.URL.value)
		if err != nil {
			p.add("billing.channels.%s: %v (%s)", name, err, ch.origin)
			continue
		}
		all = append(all, stripe.Channel{Name: name, Kinds: strings.Join(ch.Kinds, ","), Sender: outlet})
	}
	return all
}
