package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/internal/history"
	"github.com/hookkeeper/hookkeeper/internal/torture"
)

type tortureCmd struct {
	Database string        `help:"PostgreSQL server on which to make a database of its own, dropped afterwards; default a SQLite file." placeholder:"URL"`
	Postgres string        `help:"own: start a PostgreSQL for this torture, which may then be stopped and frozen." enum:"own," default:"" placeholder:"own"`
	Nodes    int           `help:"Nodes on the database; default 3, on SQLite 1." placeholder:"N"`
	Events   int           `help:"Events a run." default:"2000"`
	Fault    []string      `help:"What is done: kill, stop, term, cut, database-stop, database-freeze, none; repeat for several. Default all that the database allows." placeholder:"KIND"`
	Strikes  int           `help:"How often it must hit in a run; default what suits the fault." placeholder:"N"`
	Outage   time.Duration `help:"How long a stopped or frozen database stays away." default:"6s"`
	Rounds   int           `help:"How often to go through all faults, each time with another seed." default:"1"`
	Seed     uint64        `help:"Decides load and moments; default a new one, printed." placeholder:"N"`
	Dir      string        `help:"Folder for databases and histories; default a new one for temporary files." placeholder:"DIR" type:"path"`
	Keep     bool          `help:"Keep the histories of runs that held as well."`
	JSON     bool          `name:"json" help:"One JSON object a run."`

	Child   bool     `hidden:"" help:"Be a node under torture."`
	Role    []string `hidden:"" default:"all"`
	Effects bool     `hidden:"" help:"Print the effects that a torture has left in --database."`
}

// Run goes through the faults and has each run judged.
func (cmd *tortureCmd) Run(ctx context.Context, a *app) error {
	switch {
	case cmd.Child:
		return cmd.node(ctx, a)
	case cmd.Effects:
		return cmd.effects(ctx, a)
	}
	faults, err := cmd.check()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("torture: find this program: %w", err)
	}
	if cmd.Dir == "" {
		if cmd.Dir, err = os.MkdirTemp("", "hookkeeper-torture-"); err != nil {
			return fmt.Errorf("torture: %w", err)
		}
		defer os.Remove(cmd.Dir) // stays if a history was kept in it
	}
	t := &tortures{cmd: cmd, app: a, binary: self, verdicts: map[history.Verdict]int{}}
	if cmd.Postgres == "own" {
		if t.cluster, err = cluster.Start(ctx); err != nil {
			return fmt.Errorf("torture: %w", err)
		}
	}
	for round := range cmd.Rounds {
		for _, fault := range faults {
			if err == nil {
				err = t.run(ctx, round, fault)
			}
		}
	}
	if t.cluster != nil {
		err = errors.Join(err, t.cluster.Close())
	}
	if err != nil {
		return err
	}
	return t.conclude()
}

// check gives the faults to make, or says what is wrong with the flags.
func (cmd *tortureCmd) check() ([]history.FaultKind, error) {
	fits := []history.FaultKind{history.FaultKill, history.FaultStop, history.FaultTerm}
	shared := cmd.Database != "" || cmd.Postgres != ""
	if shared {
		fits = append(fits, history.FaultCut)
	}
	if cmd.Postgres != "" {
		fits = append(fits, history.FaultDatabaseStop, history.FaultDatabaseFreeze)
	}
	switch {
	case cmd.Database != "" && cmd.Postgres != "":
		return nil, usage("--database and --postgres exclude each other")
	case cmd.Database != "" && !isPostgres(cmd.Database):
		return nil, usage("--database: want postgres://USER@HOST/DATABASE; without it the torture makes a SQLite file of its own")
	case cmd.Events < 100 || cmd.Rounds < 1 || cmd.Strikes < 0 || cmd.Nodes < 0 || cmd.Outage < time.Second:
		return nil, usage("--events is at least 100, --rounds at least 1, --outage at least 1s, --strikes and --nodes not negative")
	case cmd.Nodes > 1 && !shared:
		return nil, usage("--nodes %d: a SQLite file has one node; several need --database or --postgres own", cmd.Nodes)
	}
	if cmd.Nodes == 0 {
		cmd.Nodes = 1
		if shared {
			cmd.Nodes = 3
		}
	}
	if cmd.Seed == 0 {
		cmd.Seed = uint64(rand.Uint32())
	}
	if len(cmd.Fault) == 0 {
		return fits, nil
	}
	var faults []history.FaultKind
	for _, name := range cmd.Fault {
		kind := history.FaultKind(name)
		if kind != history.FaultNone && !slices.Contains(fits, kind) {
			return nil, usage("--fault %s: on this database it is one of %v and none", name, fits)
		}
		faults = append(faults, kind)
	}
	return faults, nil
}

// tortures is the runs of one command.
type tortures struct {
	cmd      *tortureCmd
	app      *app
	binary   string
	cluster  *cluster.Cluster // nil: none of our own
	verdicts map[history.Verdict]int
}

// options are those of a run. How often a fault must hit is what shows within a
// minute that it does.
func (t *tortures) options(round int, fault history.FaultKind) torture.Options {
	cmd := t.cmd
	o := torture.Options{
		Binary: t.binary, Dir: filepath.Join(cmd.Dir, fmt.Sprintf("%d-%s", round+1, fault)),
		Server: cmd.Database, Cluster: t.cluster, Nodes: cmd.Nodes, Events: cmd.Events,
		Seed: cmd.Seed + uint64(round), NeedsPercent: 2, Fault: fault, Outage: cmd.Outage, Discard: !cmd.Keep,
	}
	switch fault {
	case history.FaultKill:
		o.Faults = 20
	case history.FaultTerm:
		o.Faults = 8
	case history.FaultCut:
		o.Faults = 40
	case history.FaultStop:
		// Slow handlers are still at work when their node is stopped, and end
		// after their lease: those are what the fence is for.
		o.Faults, o.Slots = 15, 24
		o.SlowPercent, o.SlowMin, o.SlowMax = 20, 100*time.Millisecond, 1200*time.Millisecond
	case history.FaultDatabaseStop, history.FaultDatabaseFreeze:
		o.Faults = 2
	}
	if cmd.Strikes > 0 && fault != history.FaultNone {
		o.Faults = cmd.Strikes
	}
	if !cmd.JSON {
		o.Out = t.app.stdout
	}
	return o
}

// tortureLine is a run as --json shows it.
type tortureLine struct {
	Round    int               `json:"round"`
	Fault    history.FaultKind `json:"fault"`
	Database string            `json:"database"`
	Nodes    int               `json:"nodes"`
	history.Report
}

func (t *tortures) run(ctx context.Context, round int, fault history.FaultKind) error {
	o := t.options(round, fault)
	p := t.app.progress(o.Faults)
	o.Progress = func(done, _ int) { p.show(done) }
	r, err := torture.Run(ctx, o)
	p.clear()
	if err != nil {
		return err
	}
	t.verdicts[r.Verdict]++
	if t.cmd.JSON {
		line := tortureLine{Round: round + 1, Fault: fault, Database: "sqlite", Nodes: o.Nodes, Report: r}
		if o.Server != "" || o.Cluster != nil {
			line.Database = "postgres"
		}
		if err := json.NewEncoder(t.app.stdout).Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// conclude says the worst verdict, which is that of the whole.
func (t *tortures) conclude() error {
	worst := history.Held
	for _, v := range []history.Verdict{history.Inconclusive, history.Broken} {
		if t.verdicts[v] > 0 {
			worst = v
		}
	}
	if !t.cmd.JSON {
		var counts []string
		for _, v := range []history.Verdict{history.Held, history.Broken, history.Inconclusive} {
			counts = append(counts, fmt.Sprintf("%d %s", t.verdicts[v], v))
		}
		fmt.Fprintf(t.app.stdout, "torture: %s (runs: %s), seed %d\n", worst, strings.Join(counts, ", "), t.cmd.Seed)
	}
	switch worst {
	case history.Broken:
		return fmt.Errorf("torture: broken: a promise was not kept; the histories lie in %s", t.cmd.Dir)
	case history.Inconclusive:
		return fmt.Errorf("torture: inconclusive: nothing broke, but not every fault hit; "+
			"more --events or --strikes may help; the histories lie in %s", t.cmd.Dir)
	}
	return nil
}
