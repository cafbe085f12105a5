package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/source"
)

type sendCmd struct {
	Source      string   `arg:"" help:"Name of the source, or of a sender: stripe, toss, github, standard-webhooks, portone."`
	Type        string   `arg:"" optional:"" help:"Type of the event, such as invoice.paid; leave it out to see the samples."`
	To          string   `help:"Public address of the receiver, or the whole endpoint; the dev folder's beats the default." var:"HOOKKEEPER_URL" standard:"http://127.0.0.1:8080" placeholder:"URL"`
	Secret      string   `help:"Sign with this secret instead of the configured one." placeholder:"S"`
	Data        string   `help:"Send this body; - for stdin." placeholder:"FILE"`
	Set         []string `help:"Change the body at a dotted path; may be given again." placeholder:"PATH=VALUE" sep:"none"`
	ID          string   `name:"id" help:"The sender's id of the event." placeholder:"ID"`
	Train       string   `help:"API train of Stripe's samples: dahlia, acacia, basil, endive or thin." placeholder:"NAME"`
	Count       int      `help:"How often; for burst, how many copies." placeholder:"N"`
	Concurrency int      `help:"How many at once." default:"1" placeholder:"C"`
	Rate        float64  `help:"How many a second; 0: as fast as answers come." placeholder:"R"`
	Scenario    string   `help:"duplicate, tampered, wrong-secret, late, future, reordered or burst; without a type subscription-lifecycle, or that with -shuffled or -duplicates: the whole life of a subscription." placeholder:"NAME"`
	Event       string   `help:"Send a recorded event again, signed anew." placeholder:"EVENT"`
	JSON        bool     `name:"json" help:"One JSON object a delivery."`
	configFlags
	operatorFlags
}

// Run sends and fails if an answer is not the one that was due.
func (cmd *sendCmd) Run(ctx context.Context, a *app) error {
	if err := cmd.check(); err != nil {
		return err
	}
	plan, err := cmd.plan(ctx, a)
	if err != nil {
		return err
	}
	plan.Scenario, plan.Count, plan.Concurrency, plan.Rate = cmd.Scenario, cmd.Count, cmd.Concurrency, cmd.Rate
	var failed error
	sent := 0
	wrong, err := dev.Send(ctx, plan, func(r dev.Result) {
		sent++
		if cmd.JSON {
			failed = errors.Join(failed, printJSON(a.stdout, r))
			return
		}
		_, err := fmt.Fprintln(a.stdout, resultLine(r))
		failed = errors.Join(failed, err)
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d answers are not what they should be", wrong, sent)
	}
	return nil
}

func (cmd *sendCmd) check() error {
	story := slices.Contains(dev.Stories(), cmd.Scenario)
	switch {
	case story && (cmd.Type != "" || cmd.Event != "" || cmd.Data != "" || cmd.ID != ""):
		return usage("--scenario %s sends events of its own: leave out the type, --event, --data and --id", cmd.Scenario)
	case cmd.Type == "" && cmd.Event == "" && !story:
		names := dev.Types(cmd.Source)
		if len(names) == 0 {
			return usage("no type given, and no samples of %s", cmd.Source)
		}
		return usage("no type given; samples of %s: %s", cmd.Source, strings.Join(names, ", "))
	case cmd.Scenario != "" && !story && !slices.Contains(dev.Scenarios(), cmd.Scenario):
		return usage("--scenario %q: there are %s", cmd.Scenario, strings.Join(append(dev.Scenarios(), dev.Stories()...), ", "))
	case cmd.Count < 0 || cmd.Concurrency < 1 || cmd.Rate < 0:
		return usage("--count, --concurrency and --rate cannot be negative, --concurrency not zero")
	case cmd.Event != "" && (cmd.Data != "" || cmd.ID != "" || len(cmd.Set) > 0):
		return usage("--event sends exactly what was recorded: leave out --data, --id and --set")
	}
	for _, edit := range cmd.Set {
		if path, _, ok := strings.Cut(edit, "="); !ok || path == "" {
			return usage("--set %q: want path=value", edit)
		}
	}
	return nil
}

// plan gathers what is to be sent, how it is signed and where to.
func (cmd *sendCmd) plan(ctx context.Context, a *app) (dev.Plan, error) {
	p := dev.Plan{Type: cmd.Type, Options: dev.Options{ID: cmd.ID, Set: cmd.Set, Train: cmd.Train}}
	conf, err := cmd.configured(a)
	if err != nil {
		return p, err
	}
	p.Sender = conf.Sender
	if p.Source, err = conf.source(cmd.Source); err != nil {
		return p, err
	}
	if err := usable(p.Source); err != nil {
		return p, err
	}
	wrong, err := conf.source(cmd.Source, otherSecret(conf.Sender))
	if err != nil {
		return p, err
	}
	p.Wrong, _ = wrong.(hook.Signer)
	if p.URL, err = cmd.endpoint(a); err != nil {
		return p, err
	}
	if cmd.Data != "" {
		if p.Data, err = a.readAll(cmd.Data, maxCapture); err != nil {
			return p, err
		}
	}
	if cmd.Event == "" {
		return p, nil
	}
	l, err := cmd.open(a, false)
	if err != nil {
		return p, err
	}
	p.Recorded, err = l.Event(ctx, cmd.Event)
	if err = l.done(err); err == nil && p.Type == "" {
		p.Type = p.Recorded.Type
	}
	return p, err
}

// usable refuses to sign with a secret that verifies nothing.
func usable(s hook.Source) error {
	v, ok := s.(hook.Validator)
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return fmt.Errorf("%w; give a signing secret with --secret, in the environment or in a configuration", err)
	}
	return nil
}

// configured finds the source and its secret: --secret, configuration and
// environment, then the dev folder.
func (cmd *sendCmd) configured(a *app) (*sourceConfig, error) {
	c, p := loadConfig(cmd.Config, a.env)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	conf := c.Sources[cmd.Source]
	if conf == nil {
		folder, err := readDevFolder(cmd.Dir)
		if err != nil {
			return nil, err
		}
		if folder.found {
			conf = folder.config().Sources[cmd.Source]
		}
	}
	switch {
	case conf == nil && slices.Contains(source.Senders(), cmd.Source):
		conf = &sourceConfig{Sender: cmd.Source, origin: "--secret"}
	case conf == nil:
		return nil, fmt.Errorf("source %q: not configured, and no sender of that name; "+
			"name a configuration file with --config", cmd.Source)
	}
	if cmd.Secret != "" {
		conf.Secrets = []secret{{value: cmd.Secret, from: "--secret", set: true}}
	}
	return conf, nil
}

// endpoint is the URL of the source. An address without a path is a receiver's.
func (cmd *sendCmd) endpoint(a *app) (string, error) {
	folder, err := readDevFolder(cmd.Dir)
	if err != nil {
		return "", err
	}
	to := cmd.To
	if to == "" {
		to, _ = folder.over(a.env)("HOOKKEEPER_URL")
	}
	if to == "" {
		to = "http://127.0.0.1:8080"
	}
	if !strings.Contains(to, "://") {
		to = "http://" + to
	}
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usage("--to %q: want a URL such as http://127.0.0.1:8080", to)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/hooks/" + cmd.Source
	}
	return u.String(), nil
}

// otherSecret is a fresh secret of the sender's form, which no receiver has.
func otherSecret(sender string) string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	switch sender {
	case "standard-webhooks", "portone":
		return "whsec_" + base64.StdEncoding.EncodeToString(key)
	case "stripe":
		return "whsec_" + hex.EncodeToString(key)
	}
	return hex.EncodeToString(key)
}

// resultLine is one delivery for people.
func resultLine(r dev.Result) string {
	status := fmt.Sprint(r.Status)
	if r.Status == 0 {
		status = "---"
	}
	line := fmt.Sprintf("%s  %-10s  %s  %s  %.1f ms", status, orDash(r.Answer), orDash(r.Event), r.Type, r.Millis)
	if r.Reason != "" {
		line += "  " + r.Reason
	}
	if !r.OK {
		line += "  (want " + r.Want + ")"
	}
	return printable(line)
}
