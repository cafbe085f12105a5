package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type forwardCmd struct {
	To          string        `required:"" help:"The program, such as http://localhost:3000/api/webhooks/stripe." placeholder:"URL"`
	Name        string        `help:"Name of the cursor, which is kept by hookkeeper; default made of source and URL." placeholder:"NAME"`
	Source      string        `help:"Only events of this source; * for all. Default: the source that the URL ends in, else all." placeholder:"NAME"`
	Type        string        `help:"Only these types; * stands for anything, a comma for or." placeholder:"GLOB"`
	Since       string        `help:"Where a new cursor begins: RFC 3339, Unix seconds, or an age such as 2h; default now." placeholder:"TIME"`
	Sign        string        `help:"sender: anew, as the sender does; original: as it came; standard-webhooks." enum:"sender,original,standard-webhooks" default:"sender" placeholder:"HOW"`
	Secret      string        `help:"Sign with this secret; default: the dev folder's, or one that is made, kept there and printed." placeholder:"S"`
	Allow       []string      `help:"Network that may be dialled besides this machine and public ones: private, an address or a CIDR; may be given again." placeholder:"NET"`
	Timeout     time.Duration `help:"Longest time for one answer." default:"30s" placeholder:"TIME"`
	Attempts    int           `help:"Pass an event over after so many failures; default: never." placeholder:"N"`
	Hints       bool          `help:"Send events that their sender never signs too, such as Toss payments."`
	Quarantined bool          `help:"Send quarantined events too."`
	Once        bool          `help:"End when nothing is left."`
	JSON        bool          `name:"json" help:"One JSON object an attempt."`
	configFlags
	operatorFlags
}

// Run forwards until the context ends.
func (cmd *forwardCmd) Run(ctx context.Context, a *app) error {
	since, err := parseTime("--since", cmd.Since)
	if err != nil {
		return err
	}
	if cmd.Attempts < 0 {
		return usage("--attempts cannot be negative")
	}
	if cmd.Database != "" {
		return usage("forward reads from a running hookkeeper: leave out --database, and name it with --operator")
	}
	sources, err := cmd.sources(ctx, a)
	if err != nil {
		return err
	}
	signers, lines, err := cmd.signers(sources)
	if err != nil {
		return err
	}
	d := forward.Destination{
		Name: "forward", To: cmd.To, Events: []string{"*:*"}, Sign: cmd.Sign, Secret: signers.standard,
		Allow: append([]string{"loopback"}, cmd.Allow...), Timeout: cmd.Timeout,
	}
	f, err := forward.New(d, func(name string) hook.Signer { return signers.of[name] })
	if err != nil {
		return usage("%s", strings.ReplaceAll(strings.ReplaceAll(err.Error(), `destination "forward": `, "--"), "\n", "; "))
	}
	defer f.Close()
	name := cmd.feedName()
	cmd.welcome(a, name, lines)
	relay := &dev.Relay{
		Open:      func() (dev.Feed, error) { return cmd.client(a) },
		Forwarder: f, Name: name, Attempts: cmd.Attempts, Once: cmd.Once,
		Filter: hook.Filter{Source: cmd.Source, Type: cmd.Type, Since: since},
		Skip:   func(e *hook.Event, d *hook.EventDetail) string { return cmd.skip(signers, e, d) },
		Say:    func(r dev.Relayed) { cmd.say(a, r) },
		Note:   func(text string) { fmt.Fprintf(a.stderr, "hookkeeper: %s\n", printable(text)) },
	}
	return relay.Run(ctx)
}

// forwardSource is what the operators' API says of a source.
type forwardSource struct{ Name, Sender string }

// sources asks hookkeeper which sources it has, and settles which one is meant.
func (cmd *forwardCmd) sources(ctx context.Context, a *app) ([]*sourceConfig, error) {
	client, err := cmd.client(a)
	if err != nil {
		return nil, err
	}
	raw, err := client.Sources(ctx)
	if err != nil {
		return nil, err
	}
	conf, p := loadConfig(cmd.Config, a.env)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	var names []string
	var all []*sourceConfig
	for _, one := range raw {
		var s forwardSource
		if err := json.Unmarshal(one, &s); err != nil {
			return nil, fmt.Errorf("list of sources: %v", err)
		}
		names = append(names, s.Name)
		c := &sourceConfig{Sender: s.Sender, origin: s.Name}
		if mine := conf.Sources[s.Name]; mine != nil {
			c.HMAC = mine.HMAC // the API does not tell how a declared scheme signs
		}
		all = append(all, c)
	}
	if u, err := url.Parse(cmd.To); err == nil && cmd.Source == "" {
		if last := u.Path[strings.LastIndexByte(u.Path, '/')+1:]; slices.Contains(names, last) {
			cmd.Source = last
		}
	}
	if cmd.Source == "*" {
		cmd.Source = ""
	}
	if cmd.Source != "" && !slices.Contains(names, cmd.Source) {
		return nil, fmt.Errorf("source %q: that hookkeeper has none of this name, it has %s", cmd.Source, strings.Join(names, ", "))
	}
	return slices.DeleteFunc(all, func(c *sourceConfig) bool { return cmd.Source != "" && c.origin != cmd.Source }), nil
}

// forwardSigners are the signers by source, and what stands in their way.
type forwardSigners struct {
	of       map[string]hook.Signer
	why      map[string]string
	standard string // the secret of standard-webhooks
}

// signers makes the signers and the lines for an application's .env.
func (cmd *forwardCmd) signers(sources []*sourceConfig) (*forwardSigners, []string, error) {
	s := &forwardSigners{of: map[string]hook.Signer{}, why: map[string]string{}}
	secrets := localSecrets{dir: cmd.Dir, given: cmd.Secret}
	var lines []string
	add := func(variable, sender string) (string, error) {
		value, err := secrets.get(variable, sender)
		line := variable + "=" + value
		if err == nil && cmd.Secret == "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
		return value, err
	}
	if cmd.Sign == forward.SignStandardWebhooks {
		value, err := add(envStandardSecret, "standard-webhooks")
		s.standard = value
		return s, lines, err
	}
	for _, conf := range sources {
		name := conf.origin
		if cmd.Sign == forward.SignOriginal {
			s.of[name] = namedSigner{names: senderHeaders(conf)}
			continue
		}
		if conf.Sender == "hmac" && conf.HMAC == nil {
			s.why[name] = "how source " + name + " signs is known only to its configuration: name that with --config"
			continue
		}
		value, err := add(secretVariable(name, conf.Sender), conf.Sender)
		if err != nil {
			return nil, nil, err
		}
		signer, _, err := signerWith(conf, name, value)
		if err != nil {
			s.why[name] = err.Error()
			continue
		}
		s.of[name] = signer
	}
	if len(sources) == 1 && len(s.of) == 0 {
		return nil, nil, errors.New(s.why[sources[0].origin])
	}
	return s, lines, nil
}

func (cmd *forwardCmd) skip(s *forwardSigners, e *hook.Event, d *hook.EventDetail) string {
	switch {
	case d.Quarantine != nil && !cmd.Quarantined && d.State == hook.StateQuarantined:
		return "quarantined (" + *d.Quarantine + "); --quarantined sends such events"
	case e.Trust == hook.TrustHint && !cmd.Hints:
		return "a hint, which its sender never signs; --hints sends such events"
	case s.why[e.Source] != "":
		return s.why[e.Source]
	case cmd.Sign != forward.SignStandardWebhooks && s.of[e.Source] == nil:
		return "its source is not configured any more"
	}
	return ""
}

// feedName is the name of the cursor: what was given, or source and URL in the
// letters that a name may have.
func (cmd *forwardCmd) feedName() string {
	if cmd.Name != "" {
		return cmd.Name
	}
	text := cmd.To
	if _, after, ok := strings.Cut(text, "://"); ok {
		text = after
	}
	if cmd.Source != "" {
		text = cmd.Source + "-" + text
	}
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(text)), "-")
	if len(name) > 64 {
		sum := sha256.Sum256([]byte(text))
		name = name[:51] + "-" + hex.EncodeToString(sum[:6])
	}
	return name
}

// welcome says what is going to happen. With --json it goes where it is in
// nobody's way.
func (cmd *forwardCmd) welcome(a *app, name string, lines []string) {
	w := a.stdout
	if cmd.JSON {
		w = a.stderr
	}
	what := "all events"
	if cmd.Source != "" {
		what = "events of " + cmd.Source
	}
	fmt.Fprintf(w, "forwarding %s to %s, cursor %s\n", printable(what), printable(maskQuery(cmd.To)), printable(name))
	if len(lines) == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "\nFor your application's .env:\n\n")
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w)
}

func (cmd *forwardCmd) say(a *app, r dev.Relayed) {
	if cmd.JSON {
		_ = printJSON(a.stdout, r) // a.stdout remembers a failure
		return
	}
	status := "---"
	if r.Status != 0 {
		status = fmt.Sprint(r.Status)
	}
	line := fmt.Sprintf("%s  %-9s  %s  %s  %.1f ms", status, strings.ReplaceAll(r.Outcome, "_", " "), r.Event, orDash(r.Type), r.Millis)
	if r.Outcome == "skipped" {
		line = fmt.Sprintf("%s  %-9s  %s  %s", status, r.Outcome, r.Event, orDash(r.Type))
	}
	if r.AgainMS > 0 {
		line += fmt.Sprintf("  again in %s", time.Duration(r.AgainMS)*time.Millisecond)
	}
	if r.Error != "" {
		line += "  " + strings.TrimPrefix(r.Error, "destination forward: ")
	}
	fmt.Fprintln(a.stdout, printable(line))
}
