package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/stripe"
)

type reconcileCmd struct {
	Source string `arg:"" help:"Name of a source whose sender's API can be asked, such as stripe."`
	Since  string `help:"Look at events from then on, at most 30 days back: RFC 3339, Unix seconds, or an age such as 2h. Default: from where the last round ended." placeholder:"TIME"`
	All    bool   `help:"Compare every subscription now; by itself that happens once a day."`
	JSON   bool   `name:"json" help:"The report as one JSON object."`
	configFlags
	operatorFlags
}

// Run asks the running hookkeeper to ask the sender, or asks it from here and
// records into the database itself. It fails if the round could not be finished;
// what it had found by then is printed.
func (cmd *reconcileCmd) Run(ctx context.Context, a *app) error {
	since, err := parseTime("--since", cmd.Since)
	if err != nil {
		return err
	}
	round := cmd.there
	if cmd.Database != "" {
		round = cmd.here
	}
	r, err := round(ctx, a, since)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = printJSON(a.stdout, r)
	} else {
		err = printGap(a, r)
	}
	if err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("reconcile %s: not finished, the next round goes on there: %s", cmd.Source, printable(r.Problems[0]))
	}
	return nil
}

// there has the running hookkeeper do it.
func (cmd *reconcileCmd) there(ctx context.Context, a *app, since time.Time) (dev.GapReport, error) {
	client, err := cmd.client(a)
	if err != nil {
		return dev.GapReport{}, err
	}
	r, err := client.Reconcile(ctx, cmd.Source, since, cmd.All)
	if errors.Is(err, hook.ErrNotFound) {
		return r, fmt.Errorf("source %q is not reconciled: its sender's API key (api_key, STRIPE_SECRET_KEY) is not set there, "+
			"or there is no such source", cmd.Source)
	}
	return r, err
}

// here does it in this process, with the configured API key. The events get the
// jobs that serve would give them; whoever works the database works them.
func (cmd *reconcileCmd) here(ctx context.Context, a *app, since time.Time) (gap dev.GapReport, err error) {
	if cmd.Operator != "" {
		return gap, usage("--operator and --database exclude each other")
	}
	n, conf, err := cmd.node(a)
	if err != nil {
		return gap, err
	}
	store, err := n.open(ctx)
	if err != nil || store == nil {
		return gap, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	keeper, err := n.keeper(store, hookkeeper.MemoryLimit())
	if err != nil {
		return gap, err
	}
	s, err := conf.source(cmd.Source)
	if err != nil {
		return gap, err
	}
	desk, err := n.config.desk(s, conf, house{store: store, record: keeper.Record, log: n.log}, nil, "")
	if err != nil {
		return gap, err
	}
	r, err := desk.Reconcile(ctx, stripe.Look{Since: since, All: cmd.All, Wait: true})
	if len(r.Problems) > 0 {
		err = nil // it stands in the report
	}
	return gapOf(r), err
}

// node is the server that the configuration describes, on the given database.
func (cmd *reconcileCmd) node(a *app) (*node, *sourceConfig, error) {
	c, p := loadConfig(cmd.Config, a.env)
	c.Database = cmd.Database
	c.checkDatabase(&p)
	n := &node{config: c, sources: c.build(&p), forwards: c.forwards(&p), plans: c.departments(&p), bare: true,
		log: slog.New(slog.DiscardHandler)}
	if len(p) > 0 {
		return nil, nil, errors.Join(p...)
	}
	conf := c.Sources[cmd.Source]
	if conf != nil && conf.Sender != "stripe" {
		return nil, nil, fmt.Errorf("source %q: with --database only sources of Stripe are reconciled; "+
			"leave it out to ask a running hookkeeper", cmd.Source)
	}
	if conf == nil || conf.APIKey.value == "" || !slices.Contains(c.billed(), cmd.Source) {
		return nil, nil, fmt.Errorf("source %q is not reconciled: with --database its sender's API key is needed here: "+
			"set STRIPE_SECRET_KEY beside STRIPE_WEBHOOK_SECRET, or name the server's configuration with --config", cmd.Source)
	}
	return n, conf, nil
}

// gapOf is a report as the API tells it.
func gapOf(r stripe.Report) dev.GapReport {
	gap := dev.GapReport{Source: r.Source, Began: r.Began, Ended: r.Ended, From: r.From, TooOld: r.TooOld, Listed: r.Listed,
		Missed: r.Missed, Events: []dev.GapMissed{}, Subscriptions: r.Checked, Drifted: r.Drifted, Problems: r.Problems}
	for _, e := range r.Events {
		gap.Events = append(gap.Events, dev.GapMissed{Event: e.ID, Key: e.Key, Type: e.Type, Created: e.Created})
	}
	return gap
}

// printGap writes the report for people: what was missed, then the sums.
func printGap(a *app, r dev.GapReport) error {
	if r.From.IsZero() {
		_, err := fmt.Fprintf(a.stdout, "%d orders asked about, %d put right\n", r.Asked, r.Changed)
		return err
	}
	for _, e := range r.Events {
		if _, err := fmt.Fprintf(a.stdout, "%s  %s  %s  %s\n", printable(e.Event), e.Created.UTC().Format(time.RFC3339),
			printable(e.Type), printable(e.Key)); err != nil {
			return err
		}
	}
	if more := r.Missed - len(r.Events); more > 0 {
		if _, err := fmt.Fprintf(a.stdout, "and %s more\n", events(more)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s listed since %s: %d missed, recorded now", events(r.Listed), r.From.UTC().Format(time.RFC3339), r.Missed)
	if r.Subscriptions > 0 || r.Drifted > 0 {
		text += fmt.Sprintf("; %d subscriptions compared, %d queued for repair", r.Subscriptions, r.Drifted)
	}
	if r.TooOld {
		text += "; the sender lists no older ones, so what was missed before stays unknown"
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}
