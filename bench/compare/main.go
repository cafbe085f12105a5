// Command compare runs the ways people receive Stripe's webhooks and hookkeeper in
// turn on one throw-away PostgreSQL, each in a CPU group of its own where the
// kernel has such, and writes two tables: how fast each is, and what each loses.
// It is started by make bench-compare, which prepares the contenders.
//
// It promises the same load, the same database settings and the same work for all,
// runs interleaved, and counts of effects that are read from the database. It
// refuses to run against a database that it has not made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

const secret = "whsec_for_the_comparison_alone_01"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// settings of a comparison.
type settings struct {
	out        string
	only       string
	runs       int
	deliveries int // of a speed run over 64 connections
	events     int // of a loss run
	kills      int
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.StringVar(&s.out, "out", "bench/RESULTS.md", "file for the tables")
	f.StringVar(&s.only, "only", "", "contenders, separated by commas; default all")
	f.IntVar(&s.runs, "runs", 3, "speed runs of each, in turn; the median counts")
	f.IntVar(&s.deliveries, "deliveries", 8000, "deliveries of a speed run over 64 connections; an eighth of them over one")
	f.IntVar(&s.events, "events", 5000, "events of a run that looks for losses")
	f.IntVar(&s.kills, "kills", 5, "SIGKILLs in mid-load")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.runs < 1 || s.deliveries < 80 || s.events < 20 || s.kills < 1 {
		return s, errors.New("-runs and -kills are at least 1, -deliveries 80, -events 20")
	}
	return s, nil
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) > 1 && args[0] == "with" {
		return with(ctx, args[1:])
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	chosen, err := choose(s.only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hookkeeper-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	groups, note := bench.NewGroups()
	if note != nil {
		say("%v; each server gets a session of its own instead", note)
	}
	defer func() { err = errors.Join(err, groups.Close()) }()
	if err := groups.Put("generator", os.Getpid()); err != nil {
		return err
	}
	c, err := startCluster(ctx, groups)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	m := &match{settings: s, groups: groups, cluster: c, dir: dir, contenders: chosen}
	r, err := m.play(ctx)
	if err != nil {
		return err
	}
	r.grouped = note == nil
	return r.write(s.out)
}

// with runs a program against a throw-away cluster, whose address takes the place
// of {} among the arguments.
func with(ctx context.Context, command []string) (err error) {
	c, err := startCluster(ctx, &bench.Groups{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for i, arg := range command {
		command[i] = strings.ReplaceAll(arg, "{}", c.URL("postgres"))
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func choose(only string) ([]contender, error) {
	all := contenders()
	if only == "" {
		return all, nil
	}
	names := strings.Split(only, ",")
	for _, name := range names {
		if !slices.ContainsFunc(all, func(c contender) bool { return c.name == name }) {
			return nil, fmt.Errorf("-only %s: there is no such contender", name)
		}
	}
	return slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(names, c.name) }), nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
