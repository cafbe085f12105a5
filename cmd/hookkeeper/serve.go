package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

type serveCmd struct {
	configFlags
	Database       string   `help:"Where events are kept: sqlite:PATH or postgres://USER@HOST/DATABASE." var:"HOOKKEEPER_DATABASE" standard:"sqlite:hookkeeper.db" placeholder:"URL"`
	Listen         string   `help:"Address for senders." var:"HOOKKEEPER_LISTEN" standard:":8080" placeholder:"ADDR"`
	OperatorListen string   `help:"Address for operators." var:"HOOKKEEPER_OPERATOR_LISTEN" standard:"127.0.0.1:8081" placeholder:"ADDR"`
	Role           []string `help:"What this node does; a SQLite database has one process, which does all." enum:"all,receive,work,operate" default:"all"`
	LogFormat      string   `help:"How the log is written." standard:"text" enum:"text,json," default:"" placeholder:"FORMAT"`
	LogLevel       string   `help:"What the log leaves out." standard:"info" enum:"debug,info,warn,error," default:"" placeholder:"LEVEL"`
	PrintConfig    bool     `help:"Show the effective configuration, secrets masked, and end."`
}

// Run serves until the context ends.
func (cmd *serveCmd) Run(ctx context.Context, a *app) error {
	c, p := loadConfig(cmd.Config, a.env)
	cmd.override(c)
	c.checkServe(&p)
	roles := cmd.roles(c, &p)
	sources := c.build(&p)
	forwards := c.forwards(&p)
	plans := c.departments(&p)
	alarms := c.alarmConfig(&p)
	if cmd.PrintConfig {
		if len(p) > 0 {
			return errors.Join(p...)
		}
		return printConfig(a.stdout, c)
	}
	if len(p) == 0 && !isPostgres(c.Database) {
		checkFolder(sqlitePath(c.Database), &p)
	}
	doors := openListeners(a.env, c.Listen, c.OperatorListen, &p)
	defer doors.close()
	if doors.operator != nil && !c.OperatorToken.set && !isLoopback(doors.operator.Addr().String()) &&
		isLoopback(c.OperatorListen) {
		p.add("operator listener %s was handed over, is not loopback, and no operator token is set: "+
			"set HOOKKEEPER_OPERATOR_TOKEN", doors.operator.Addr())
	}
	if len(p) > 0 {
		return errors.Join(p...)
	}
	log, err := newLogger(a.stderr, c)
	if err != nil {
		return err
	}
	n := node{config: c, sources: sources, forwards: forwards, plans: plans, alarms: alarms, roles: roles, doors: doors, log: log, wait: lockWait,
		first: true, screen: a.screenOf()}
	return n.run(ctx, func(context.Context) {})
}

// roles are what this node does. A file has one process, which does everything.
func (cmd *serveCmd) roles(c *config, p *problems) []hookkeeper.NodeRole {
	if slices.Equal(cmd.Role, []string{"all"}) {
		return nil
	}
	if !isPostgres(c.Database) {
		p.add("role %v: a SQLite database has one process, which does everything: use --role all", cmd.Role)
	}
	var roles []hookkeeper.NodeRole
	for _, name := range cmd.Role {
		if name == "all" {
			return nil
		}
		roles = append(roles, hookkeeper.NodeRole(name))
	}
	return roles
}

// override lays the flags over file and environment.
func (cmd *serveCmd) override(c *config) {
	for _, f := range []struct {
		flag string
		into *string
	}{
		{cmd.Database, &c.Database}, {cmd.Listen, &c.Listen}, {cmd.OperatorListen, &c.OperatorListen},
		{cmd.LogFormat, &c.LogFormat}, {cmd.LogLevel, &c.LogLevel},
	} {
		if f.flag != "" {
			*f.into = f.flag
		}
	}
}

// checkFolder finds out before anything is opened whether the database can be
// written where it is to be.
func checkFolder(path string, p *problems) {
	folder := filepath.Dir(path)
	probe, err := os.CreateTemp(folder, ".hookkeeper-*")
	if err != nil {
		p.add("database %s: its folder cannot be written: %v", path, errors.Unwrap(err))
		return
	}
	_ = probe.Close()           // nothing was written
	_ = os.Remove(probe.Name()) // at worst an empty file stays
}

// newLogger makes the log. Every record is one line, whatever its values hold, and
// none shows a card number, an e-mail address or a phone number.
func newLogger(w io.Writer, c *config) (*slog.Logger, error) {
	level, err := logLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(show.MaskLog(slog.NewJSONHandler(jsonLines{w}, options))), nil
	}
	return slog.New(show.MaskLog(slog.NewTextHandler(w, options))), nil // quotes what is not printable
}

// jsonLines escapes what slog's JSON leaves as it is and a terminal obeys.
type jsonLines struct{ w io.Writer }

func (j jsonLines) Write(line []byte) (int, error) {
	end := len(line)
	if end > 0 && line[end-1] == '\n' {
		end--
	}
	if _, err := j.w.Write(append(escapeJSON(line[:end:end]), '\n')); err != nil {
		return 0, err
	}
	return len(line), nil
}

// lockWait is how long a starting server waits for the one before it, which has
// three seconds to let go of the file.
const lockWait = 3500 * time.Millisecond

// node is a server with everything it stands on.
type node struct {
	config   *config
	sources  []hook.Source
	forwards []hook.Route
	plans    []departmentPlan
	alarms   hookkeeper.AlarmConfig
	roles    []hookkeeper.NodeRole // none: all
	doors    *listeners
	log      *slog.Logger
	wait     time.Duration // for another process to let go of the database
	bare     bool          // without the test handler, also in a build that has one
	first    bool          // makes the first operator token where there is none
	screen   io.Writer     // where that may be shown; nil: into a file

	traces    hook.Tracing  // nil: nothing is traced
	loginLink func() string // set once the keeper is there
}

// run opens the store, serves until ctx ends, and closes the store.
func (n *node) run(ctx context.Context, started func(context.Context)) (err error) {
	for _, warning := range n.config.warnings {
		n.log.Warn(warning)
	}
	store, err := n.open(ctx)
	if err != nil || store == nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	traces, untrace, err := n.config.Tracing.trace(ctx, nodeName(), n.log)
	if err != nil {
		return err
	}
	defer untrace()
	n.traces = traces
	memory := hookkeeper.MemoryLimit()
	hookkeeper.BoundHeap(memory)
	keeper, err := n.keeper(store, memory)
	if err != nil {
		return err
	}
	n.loginLink = keeper.LoginLink
	s := &server{keeper: keeper, doors: n.doors, log: n.log, connections: connectionsOf(memory)}
	names := make([]string, len(n.sources))
	for i, source := range n.sources {
		names[i] = source.Name()
	}
	n.log.Info("serving", "public", n.doors.public.Addr().String(),
		"operator", n.doors.operator.Addr().String(), "database", maskURL(n.config.Database), "sources", names)
	n.firstToken(ctx, store)
	return s.serve(ctx, started)
}

// lockStep is how long a stop in the middle of the wait for the database may go
// unheard.
const lockStep = 100 * time.Millisecond

// open waits for another process to let go of the database. It returns neither
// a store nor an error if ctx ends meanwhile.
func (n *node) open(ctx context.Context) (hook.Store, error) {
	var p problems
	e := engineOf(n.config.Database, n.config.Encryption.read(&p)...)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	deadline := time.Now().Add(n.wait)
	for {
		store, err := e.open(ctx, storeOptions{tables: tablesOf(n.plans), search: n.config.Search.options(), wait: min(lockStep, n.wait), log: n.log})
		switch {
		case err == nil || !e.busy(err):
			return store, err
		case ctx.Err() != nil:
			n.log.Info("stopped while waiting for the database", "database", e.name())
			return nil, nil
		case !time.Now().Before(deadline):
			return nil, err
		}
	}
}

// keeper builds the departments and the Keeper that has them.
func (n *node) keeper(store hook.Store, memory int64) (*hookkeeper.Keeper, error) {
	var keeper *hookkeeper.Keeper // a department records only once it is at work, and then there is one
	departments, err := buildDepartments(n.plans, house{store: store, log: n.log,
		record: func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
			return keeper.Record(ctx, d, id)
		}})
	if err != nil {
		return nil, err
	}
	c := n.keeperConfig(store, memory)
	c.Departments = append(departments, keysDepartment(store))
	keeper, err = hookkeeper.New(c)
	return keeper, err
}

func (n *node) keeperConfig(store hook.Store, memory int64) hookkeeper.Config {
	c := n.config
	k := hookkeeper.Config{
		Store: store, Sources: n.sources, Logger: n.log, Roles: n.roles, Tracing: n.traces,
		Handlers: slices.Concat(c.routes(n.log), n.forwards),
		Lease:    c.Work.Lease, Limit: c.Work.Limit, BackoffBase: c.Work.BackoffBase,
		BackoffMax: c.Work.BackoffMax, MaxWaiting: c.Work.Waiting,
		Slots: c.Work.Slots, Attempts: c.Work.Attempts,
		Retention: c.Retention.Retention, Alarms: n.alarms,
		Grace: stopGrace, MaxBytesInFlight: memory / 8,
		OpenMetrics: n.doors != nil && isLoopback(n.doors.operator.Addr().String()), Node: nodeName(),
	}
	if !n.bare {
		k.Handlers = append(k.Handlers, testRoutes(store)...)
	}
	k.SecondPerson = c.Operators.needsTwo(kindMoney)
	if c.OperatorToken.set {
		k.Tokens = []string{c.OperatorToken.value}
	}
	return k
}

// nodeName names this process to operators.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
