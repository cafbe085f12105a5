package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
)

// checkBilling looks at what becomes of Stripe's events: at its settings, and at
// what the database says. The API key is never sent: whether Stripe takes it
// stands in the report of the last round.
func checkBilling(ctx context.Context, c *config, env lookup, f *findings) {
	var p problems
	c.checkBilling(&p)
	c.outlets(&p)
	for _, problem := range p {
		f.add("billing", healthFailed, problem.Error(), "see the section billing of the configuration")
	}
	checkLoneKey(c, env, f)
	names := c.billed()
	if len(p) > 0 || len(names) == 0 {
		return
	}
	for _, name := range names {
		checkAPIKey(name, c.Sources[name], f)
	}
	checkUsersURL(ctx, c, f)
	r := billingReader(ctx, c)
	if r == nil {
		f.add("billing", healthSkipped, "its tables are not checked: there is no database to read yet", "")
		return
	}
	defer r.Close()
	books, ok := r.(hook.Viewer)
	if !ok {
		return // every engine's is
	}
	checkUsersTable(ctx, c, books, f)
	for _, name := range names {
		h, err := stripe.HealthOf(ctx, books, name)
		switch {
		case err != nil:
			f.add("billing "+name, healthFailed, err.Error(), "restore a copy, or ask for help with it")
		case !h.Known:
			f.add("billing "+name, healthSkipped, "has not begun on this database", "serve begins it")
		default:
			checkRounds(c, name, h, time.Now(), f)
			checkBillingJobs(ctx, c, r, name, h, f)
		}
	}
}

// billingReader opens a database that is there; what is wrong with it is another
// check's to say.
func billingReader(ctx context.Context, c *config) viewer {
	var p problems
	if c.checkDatabase(&p); len(p) > 0 {
		return nil
	}
	e := c.engine()
	if !e.shared() {
		if _, err := os.Stat(e.name()); err != nil {
			return nil
		}
	}
	if s, err := e.schema(ctx); err != nil || s.version != s.known {
		return nil
	}
	r, err := e.reader(ctx)
	if err != nil {
		return nil
	}
	return r
}

// checkLoneKey finds an API key without the secret that makes a source.
func checkLoneKey(c *config, env lookup, f *findings) {
	for _, s := range c.Sources {
		if s.Sender == "stripe" {
			return // its secrets have a check of their own
		}
	}
	var p problems
	if key := envSecret(env, envStripeKey, &p); key.set && key.value != "" {
		f.add("secrets stripe", healthFailed, key.from+" is set, but no source of Stripe is: nothing is received",
			"set "+envStripeSecret+", the signing secret of the endpoint at Stripe")
	}
}

// checkAPIKey judges the key by its form alone, and never shows it.
func checkAPIKey(name string, conf *sourceConfig, f *findings) {
	check, key := "API key "+name, conf.APIKey
	mode, known := keyMode(key.value)
	ours := strings.HasPrefix(key.value, "sk_") || strings.HasPrefix(key.value, "rk_")
	switch {
	case key.value == "":
		f.add(check, healthWarning, "none is configured, so what is never delivered stays unknown",
			"set api_key or "+envStripeKey+"; a restricted key that may read is enough")
	case isPlaceholder(key.value): // the secrets have said so
	case strings.HasPrefix(key.value, "pk_"):
		f.add(check, healthFailed, key.from+" is a publishable key, which may ask for nothing", "use one that begins with rk_ or sk_")
	case strings.HasPrefix(key.value, "whsec_"):
		f.add(check, healthFailed, key.from+" is a signing secret, not an API key", "use one that begins with rk_ or sk_")
	case !known || !ours:
		f.add(check, healthWarning, key.from+" is of no known kind, so its mode is unknown", "use one that begins with rk_ or sk_")
	default:
		kind := map[bool]string{true: "a restricted key", false: "a secret key"}[strings.HasPrefix(key.value, "rk_")]
		f.add(check, healthOK, kind+" of mode "+mode, "")
	}
}

// checkUsersTable asks the application's table for a customer that nobody is.
func checkUsersTable(ctx context.Context, c *config, books hook.Viewer, f *findings) {
	u := c.Billing.Users
	if u.Table == "" {
		return
	}
	users, err := stripe.NewTableUsers(books, u.Table, u.ID, u.Customer)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, lookPatience)
		defer cancel()
		_, err = users.UserOf(ctx, stripe.Customer{ID: "cus_of_the_doctor"})
	}
	if err != nil {
		f.add("billing users", healthFailed, fmt.Sprintf("the table %s cannot be asked: %v", u.Table, err),
			"look at billing.users, and give this user SELECT on it")
		return
	}
	f.add("billing users", healthOK, "the table "+u.Table+" can be asked", "")
}

// checkUsersURL finds out whether anybody answers there; nobody is asked for.
func checkUsersURL(ctx context.Context, c *config, f *findings) {
	if c.Billing.Users.URL == "" {
		return
	}
	u, err := url.Parse(c.Billing.Users.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		f.add("billing users", healthFailed, "url is no http or https URL without a user", "see "+c.Billing.origin)
		return
	}
	resp, err := look(ctx, u.Scheme+"://"+u.Host+"/")
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the address twice
		}
		f.add("billing users", healthFailed, fmt.Sprintf("%s does not answer: %v", u.Host, err),
			"start your application; until it answers, jobs of unknown customers are tried again")
		return
	}
	_ = resp.Body.Close() // only the head matters
	f.add("billing users", healthOK, u.Host+" answers", "")
}

// staleRounds is after how many missed turns a round counts as overdue.
const staleRounds = 3

// checkRounds tells how the last comparison with Stripe went.
func checkRounds(c *config, name string, h stripe.Health, now time.Time, f *findings) {
	check, every := "reconcile "+name, c.Billing.ReconcileEvery
	if c.Sources[name].APIKey.value == "" {
		return // the key's check has said what follows
	}
	if h.Last == nil {
		f.add(check, healthWarning, "there was no round yet", "serve does one at its start")
		return
	}
	r := h.Last
	ago := now.Sub(r.Ended).Round(time.Second)
	found := fmt.Sprintf("the last round ended %s ago", max(ago, 0))
	switch {
	case r.KeyRefused:
		f.add(check, healthFailed, found+" with the API key refused: "+r.Problems[0],
			"look whether the key is revoked, of the right account, and may read events and subscriptions")
	case len(r.Problems) > 0:
		f.add(check, healthFailed, found+" unfinished: "+r.Problems[0], "the next one goes on there; look at the network if it stays so")
	case r.TooOld:
		f.add(check, healthWarning, found+" and found a gap longer than the 30 days that Stripe lists",
			"the subscriptions are right again, but notices of older events are missing")
	case every == 0:
		f.add(check, healthWarning, found+"; by themselves there are none (billing.reconcile: 0)",
			"run hookkeeper reconcile "+name+" from time to time")
	case ago > staleRounds*every:
		f.add(check, healthWarning, fmt.Sprintf("%s, one is due every %s", found, every), "start serve, or look into its log")
	default:
		f.add(check, healthOK, fmt.Sprintf("%s: %s listed since %s, %d of them missed; %d subscriptions not as Stripe has them",
			found, events(r.Listed), r.From.UTC().Format(time.RFC3339), r.Missed, r.Drifted), "")
	}
}

// mostWaiting is how many waiting events are looked at.
const mostWaiting = 1000

// checkBillingJobs tells what billing could not do.
func checkBillingJobs(ctx context.Context, c *config, log hook.Ledger, name string, h stripe.Health, f *findings) {
	check := "billing " + name
	counts, err := log.Counts(ctx)
	if err != nil {
		f.add(check, healthFailed, err.Error(), "restore a copy, or ask for help with it")
		return
	}
	var waiting, dead int64
	for handler, states := range counts.Jobs {
		if concern, ok := strings.CutPrefix(handler, name+"-"); ok && billingConcern(concern) {
			waiting, dead = waiting+states[hook.StateWaiting], dead+states[hook.StateDead]
		}
	}
	before := len(*f)
	if dead > 0 {
		f.add(check, healthWarning, fmt.Sprintf("%s dead", jobs(dead)),
			"see hookkeeper events list --source "+name+" --state dead, then replay")
	}
	if waiting > 0 {
		checkWaiting(ctx, c, log, name, waiting, f)
	}
	if h.Unsure > 0 {
		f.add(check, healthWarning, fmt.Sprintf("subscriptions of which it is unsure what is newest: %d", h.Unsure),
			"with an API key hookkeeper reconcile "+name+" asks for them")
	}
	if len(*f) == before {
		f.add(check, healthOK, "no job waits for a customer's user, none is dead", "")
	}
}

// billingConcern tells billing's handlers from those of a source with a longer name.
func billingConcern(concern string) bool {
	return slices.Contains([]string{"customers", "subscriptions", "payments", "notices"}, concern) ||
		strings.HasPrefix(concern, "notify-")
}

// checkWaiting tells how many jobs wait, and for whom.
func checkWaiting(ctx context.Context, c *config, log hook.Ledger, name string, waiting int64, f *findings) {
	page, _, err := log.Events(ctx, hook.Filter{Source: name, State: hook.StateWaiting, Limit: mostWaiting})
	if err != nil {
		f.add("billing "+name, healthFailed, err.Error(), "restore a copy, or ask for help with it")
		return
	}
	var users int64
	for _, e := range page {
		for _, j := range e.Jobs {
			if j.State == hook.StateWaiting && j.LastError != nil && stripe.WaitsForUser(*j.LastError) {
				users++
			}
		}
	}
	found, state, todo := jobs(waiting)+" waiting", healthOK, "see hookkeeper events list --source "+name+" --state waiting"
	if users > 0 {
		found += fmt.Sprintf(", of these at least %d for the user of a customer whom nobody knows", users)
		state, todo = healthWarning, todo+fmt.Sprintf("; what waits for longer than %s is dead", c.Work.Waiting)
	}
	f.add("billing "+name, state, found, todo)
}

func jobs(n int64) string {
	if n == 1 {
		return "1 job is"
	}
	return fmt.Sprintf("%d jobs are", n)
}
