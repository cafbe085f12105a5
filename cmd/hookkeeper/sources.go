package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

type sourcesCmd struct {
	List   sourcesListCmd   `cmd:"" help:"List the configured sources."`
	Show   sourcesShowCmd   `cmd:"" help:"Show one configured source."`
	Verify sourcesVerifyCmd `cmd:"" help:"Say why a captured delivery does or does not verify."`
}

// sourceInfo is a source as list and show print it.
type sourceInfo struct {
	Name     string   `json:"name"`
	Sender   string   `json:"sender"`
	Endpoint string   `json:"endpoint"`
	Secrets  int      `json:"secrets"` // how many, never which
	Live     *bool    `json:"live"`
	Origin   string   `json:"origin"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

// configured reads the configuration as serve would, or that of the dev folder
// if nothing else configures a source.
func configured(a *app, path, dir string) (*config, error) {
	c, p := loadConfig(path, a.env)
	if len(c.Sources) == 0 && len(p) == 0 {
		folder, err := readDevFolder(dir)
		if err != nil {
			return nil, err
		}
		if folder.found {
			c = folder.config()
		}
	}
	return c, errors.Join(p...)
}

func describe(name string, conf *sourceConfig) sourceInfo {
	info := sourceInfo{
		Name: name, Sender: conf.Sender, Endpoint: "/hooks/" + name, Secrets: len(conf.Secrets),
		Live: conf.Live, Origin: conf.origin, Problems: []string{}, Warnings: []string{},
	}
	one := &config{Sources: map[string]*sourceConfig{name: conf}}
	var p problems
	one.build(&p)
	info.Live = conf.Live
	for _, problem := range p {
		info.Problems = append(info.Problems, problem.Error())
	}
	info.Warnings = append(info.Warnings, one.warnings...)
	return info
}

type sourcesListCmd struct {
	configFlags
	Dir  string `help:"Folder of hookkeeper dev." default:".hookkeeper" placeholder:"DIR"`
	JSON bool   `name:"json" help:"One JSON object a line."`
}

// Run lists the configured sources.
func (cmd *sourcesListCmd) Run(a *app) error {
	c, err := configured(a, cmd.Config, cmd.Dir)
	if err != nil {
		return err
	}
	if len(c.Sources) == 0 {
		return errors.New("no sources are configured: set STRIPE_WEBHOOK_SECRET, TOSS_SECRET_KEY or " +
			"GITHUB_WEBHOOK_SECRET, or name a configuration file with --config")
	}
	var t table
	t.add("SOURCE", "SENDER", "ENDPOINT", "SECRETS", "MODE", "STATE", "FROM")
	for _, name := range slices.Sorted(sourceNames(c)) {
		info := describe(name, c.Sources[name])
		if cmd.JSON {
			if err := printJSON(a.stdout, info); err != nil {
				return err
			}
			continue
		}
		state := "ok"
		if len(info.Problems) > 0 {
			state = "refused"
		}
		t.add(name, info.Sender, info.Endpoint, strconv.Itoa(info.Secrets), info.mode(), state, info.Origin)
	}
	if cmd.JSON {
		return nil
	}
	return t.print(a.stdout)
}

// mode says which mode is worked; only Stripe's events name one.
func (s sourceInfo) mode() string {
	switch {
	case s.Sender != "stripe":
		return "-"
	case s.Live == nil:
		return "both"
	case *s.Live:
		return hook.ModeLive
	}
	return hook.ModeTest
}

type sourcesShowCmd struct {
	configFlags
	Source string `arg:"" help:"Name of the source."`
	Dir    string `help:"Folder of hookkeeper dev." default:".hookkeeper" placeholder:"DIR"`
	JSON   bool   `name:"json" help:"One JSON object."`
}

// Run shows one source.
func (cmd *sourcesShowCmd) Run(a *app) error {
	c, err := configured(a, cmd.Config, cmd.Dir)
	if err != nil {
		return err
	}
	conf, err := c.named(cmd.Source)
	if err != nil {
		return err
	}
	info := describe(cmd.Source, conf)
	if cmd.JSON {
		return printJSON(a.stdout, info)
	}
	var t table
	t.add("source", info.Name)
	t.add("sender", info.Sender)
	t.add("endpoint", info.Endpoint)
	t.add("secrets", strconv.Itoa(info.Secrets))
	t.add("mode", info.mode())
	t.add("from", info.Origin)
	for _, problem := range info.Problems {
		t.add("refused", problem)
	}
	for _, warning := range info.Warnings {
		t.add("warning", warning)
	}
	return t.print(a.stdout)
}

// named finds a source; its error names the ones that exist.
func (c *config) named(name string) (*sourceConfig, error) {
	if s := c.Sources[name]; s != nil {
		return s, nil
	}
	known := slices.Sorted(sourceNames(c))
	if len(known) == 0 {
		return nil, fmt.Errorf("source %q: no sources are configured", name)
	}
	return nil, fmt.Errorf("source %q: not configured, there are %s", name, strings.Join(known, ", "))
}

func sourceNames(c *config) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range c.Sources {
			if !yield(name) {
				return
			}
		}
	}
}
