package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

type doctorCmd struct {
	configFlags
	Database string `help:"Check this database instead of the configured one: sqlite:PATH." var:"HOOKKEEPER_DATABASE" placeholder:"URL"`
	Dir      string `help:"Folder of hookkeeper dev, looked at if nothing else configures a source." default:".hookkeeper" placeholder:"DIR"`
	JSON     bool   `name:"json" help:"One JSON object a check."`
}

// health is the state of one check.
type health string

const (
	healthOK      health = "ok"
	healthWarning health = "warning"
	healthFailed  health = "failed"
	healthSkipped health = "skipped"
)

// finding is what one check found.
type finding struct {
	Check string `json:"check"`
	State health `json:"state"`
	Found string `json:"found"`
	Todo  string `json:"todo"` // empty: nothing
}

// findings gathers the checks in the order in which they were made.
type findings []finding

func (f *findings) add(check string, state health, found, todo string) {
	*f = append(*f, finding{check, state, found, todo})
}

// Run checks and fails if a check has. It changes nothing: it opens the database
// for reading, and asks nobody but addresses that the configuration names.
func (cmd *doctorCmd) Run(ctx context.Context, a *app) error {
	var f findings
	c := cmd.checkConfiguration(a, &f)
	checkDatabase(ctx, c, &f)
	checkEncryption(ctx, c, &f)
	checkSecrets(c, &f)
	checkModes(c, &f)
	checkListeners(ctx, c, &f)
	checkSenders(ctx, c, &f)
	checkBilling(ctx, c, a.env, &f)
	if err := f.print(a, cmd.JSON); err != nil {
		return err
	}
	if slices.ContainsFunc(f, func(one finding) bool { return one.State == healthFailed }) {
		return errSaid
	}
	return nil
}

func (f findings) print(a *app, asJSON bool) error {
	if asJSON {
		for _, one := range f {
			if err := printJSON(a.stdout, one); err != nil {
				return err
			}
		}
		return nil
	}
	var t table
	t.paint = a.healthPainter()
	t.add("CHECK", "STATE", "WHAT")
	for _, one := range f {
		what := one.Found
		if one.Todo != "" {
			what += ": " + one.Todo
		}
		t.add(one.Check, string(one.State), what)
	}
	return t.print(a.stdout)
}

// healthPainter colours states on a terminal that welcomes colour.
func (a *app) healthPainter() func(string) string {
	if !a.colour(a.stdout) {
		return nil
	}
	return func(cell string) string {
		code := map[health]string{healthOK: "32", healthWarning: "33", healthFailed: "31"}[health(cell)]
		if code == "" {
			return cell
		}
		return "\x1b[" + code + "m" + cell + "\x1b[0m"
	}
}

// checkConfiguration reads the configuration as serve would, or the dev folder's.
// What concerns secrets and modes has checks of its own.
func (cmd *doctorCmd) checkConfiguration(a *app, f *findings) *config {
	c, p := loadConfig(cmd.Config, a.env)
	where := "environment and defaults"
	if path, _ := a.env("HOOKKEEPER_CONFIG"); cmd.Config != "" || path != "" {
		where = "file, environment and defaults"
	}
	if len(c.Sources) == 0 && len(p) == 0 {
		folder, err := readDevFolder(cmd.Dir)
		if err != nil {
			p.add("%w", err)
		} else if folder.found {
			c, where = folder.config(), "the folder of hookkeeper dev, "+cmd.Dir
			// dev writes down where it listens, which may be a free port.
			c.Listen = cmp.Or(strings.TrimPrefix(folder.values["HOOKKEEPER_URL"], "http://"), c.Listen)
			c.OperatorListen = cmp.Or(strings.TrimPrefix(folder.values["HOOKKEEPER_OPERATOR"], "http://"), c.OperatorListen)
		}
	}
	if cmd.Database != "" {
		c.Database = cmd.Database
	}
	c.forwards(&p)
	warnings := slices.Clone(c.warnings)
	c.checkServe(&p)
	for _, problem := range p {
		f.add("configuration", healthFailed, problem.Error(), "")
	}
	for _, warning := range warnings {
		f.add("configuration", healthWarning, warning, "")
	}
	if len(p) == 0 {
		names := slices.Sorted(sourceNames(c))
		f.add("configuration", healthOK, fmt.Sprintf("%s: sources %s", where, strings.Join(names, ", ")), "")
	}
	return c
}

// checkSecrets looks at what verifies and what opens doors. It never shows any
// of it.
func checkSecrets(c *config, f *findings) {
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		conf, check := c.Sources[name], "secrets "+name
		s, err := conf.source(name)
		if err != nil {
			f.add(check, healthFailed, err.Error(), "see "+conf.origin)
			continue
		}
		before := len(*f)
		if v, ok := s.(hook.Validator); ok {
			if err := v.Validate(); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					f.add(check, healthFailed, line, "see "+conf.origin)
				}
			}
			for _, warning := range v.Warnings() {
				f.add(check, healthWarning, warning, tossAdvice(conf))
			}
		}
		if conf.APIKey.set && isPlaceholder(conf.APIKey.value) {
			f.add(check, healthFailed, conf.APIKey.from+" is empty or a placeholder", "fill in the API key")
		}
		if len(*f) == before {
			f.add(check, healthOK, fmt.Sprintf("%d configured", len(conf.Secrets)), "")
		}
	}
	switch t := c.OperatorToken; {
	case !t.set && keptTokens(c) > 0:
		f.add("operator token", healthOK, fmt.Sprintf("none is configured, the database keeps %d", keptTokens(c)), "")
	case !t.set:
		f.add("operator token", healthWarning, "none is configured",
			"set "+envToken+", or hookkeeper tokens add NAME --role admin; without any the API answers 401 to everybody")
	case isPlaceholder(t.value): // a failed configuration already
	case len(t.value) < 16:
		f.add("operator token", healthFailed, t.from+" is shorter than 16 characters", "use a long random one")
	default:
		f.add("operator token", healthOK, "configured", "")
	}
}

// tossAdvice is for shops that have no security key, or forgot it.
func tossAdvice(conf *sourceConfig) string {
	if conf.Sender == "toss" && len(conf.Secrets) == 0 {
		return "if payouts or sellers are used set " + envTossSecurity +
			"; until then payout.changed and seller.changed are 401 bad_config"
	}
	return ""
}

// checkModes finds sources that would work test and live events alike.
func checkModes(c *config, f *findings) {
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		conf := *c.Sources[name] // live fills in what it finds
		if conf.Sender != "stripe" {
			continue
		}
		var p problems
		conf.live(name, &config{}, &p)
		for _, problem := range p {
			f.add("mode "+name, healthFailed, problem.Error(), "")
		}
		switch {
		case len(p) > 0:
		case conf.Live == nil:
			f.add("mode "+name, healthWarning, "unknown, so test and live events are both worked",
				"set live: true or false, or "+envStripeKey)
		case *conf.Live:
			f.add("mode "+name, healthOK, "live", "")
		default:
			f.add("mode "+name, healthOK, "test", "")
		}
	}
}
