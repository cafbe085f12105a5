package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type reconcileCmd struct {
	Source string `arg:"" help:"Name of a source whose sender's API can be asked, such as stripe."`
	Since  string `help:"Look at events from then on, at most 30 days back: RFC 3339, Unix seconds, or an age such as 2h. Default: from where the last round ended." placeholder:"TIME"`
	All    bool   `help:"Compare every subscription now; by itself that happens once a day."`
	JSON   bool   `name:"json" help:"The report as one JSON object."`

	Operator  string `help:"Operator address of a running hookkeeper; the dev folder's beats the default." var:"HOOKKEEPER_OPERATOR" standard:"http://127.0.0.1:8081" placeholder:"URL"`
	Token     string `help:"Operator token; without any the dev folder's." var:"HOOKKEEPER_OPERATOR_TOKEN" placeholder:"TOKEN"`
	TokenFile string `help:"File with the operator token." var:"HOOKKEEPER_OPERATOR_TOKEN_FILE" placeholder:"FILE"`
	Dir       string `help:"Folder of hookkeeper dev." default:".hookkeeper" placeholder:"DIR"`
}

// Run asks the running hookkeeper to ask the sender. It fails if the round could
// not be finished; what it had found by then is printed.
func (cmd *reconcileCmd) Run(ctx context.Context, a *app) error {
	since, err := parseTime("--since", cmd.Since)
	if err != nil {
		return err
	}
	flags := operatorFlags{Operator: cmd.Operator, Token: cmd.Token, TokenFile: cmd.TokenFile, Dir: cmd.Dir}
	client, err := flags.client(a)
	if err != nil {
		return err
	}
	r, err := client.Reconcile(ctx, cmd.Source, since, cmd.All)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		return fmt.Errorf("source %q is not reconciled: its sender's API key (api_key, STRIPE_SECRET_KEY) is not set there, "+
			"or there is no such source", cmd.Source)
	case err != nil:
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

// printGap writes the report for people: what was missed, then the sums.
func printGap(a *app, r dev.GapReport) error {
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
