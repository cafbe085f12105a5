package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

type benchCmd struct {
	Database      string  `help:"What to measure: postgres://USER@HOST/DATABASE for that server, in a database of its own that is dropped afterwards, or a folder on the disk; default a new folder for temporary files." placeholder:"URL"`
	Nodes         int     `help:"Server processes that share the PostgreSQL database." default:"1"`
	Events        int     `help:"Deliveries a run." default:"15000"`
	Runs          int     `help:"Runs of each kind, in turn; the median counts." default:"3"`
	Connections   int     `help:"Keep-alive connections of the closed loop." default:"256"`
	Rate          int     `help:"Deliveries a second of the open loop, over 64 connections." default:"3000"`
	Seconds       int     `help:"Length of the open loop." default:"5"`
	Duplicates    percent `help:"Share of deliveries that repeat an earlier event; default none, and one line with 30 %." placeholder:"30%"`
	BadSignatures percent `help:"Share of deliveries with a forged signature." placeholder:"1%"`
	Stored        amount  `help:"Events that are stored before: 0, 1m, 10m. Measures reception with and without them." default:"0" placeholder:"N"`
	SVG           string  `name:"svg" help:"Write a chart of the latencies." placeholder:"FILE" type:"path"`
	JSON          bool    `name:"json" help:"One JSON object a line."`

	Child    string `hidden:"" help:"Be the server that is measured: none, store."`
	Node     string `hidden:""`
	Handlers int    `hidden:"" default:"1"`
	Single   bool   `hidden:""`
	Idle     bool   `hidden:""`
}

const benchSecret = "whsec_for_the_benchmark_alone_0001"

// openConnections carry the open loop.
const openConnections = 64

// Run measures: the server that keeps events against the same server that
// answers at once, in turn.
func (cmd *benchCmd) Run(ctx context.Context, a *app) (err error) {
	if cmd.Child != "" {
		return cmd.serve(ctx, a)
	}
	if err := cmd.check(); err != nil {
		return err
	}
	place, err := newBenchPlace(cmd.Database)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, place.close()) }()
	b := &benching{cmd: cmd, place: place, progress: benchProgress(a)}
	var lines []bench.Line
	for _, m := range cmd.plan() {
		b.progress(m.name)
		r, err := b.measure(ctx, m)
		b.progress("")
		if err != nil {
			return fmt.Errorf("bench: %s: %w", m.name, err)
		}
		if err := r.print(a.stdout, cmd.JSON); err != nil {
			return err
		}
		lines = append(lines, b.curves(m)...)
	}
	if cmd.SVG != "" {
		return writeChart(cmd.SVG, place.name(), lines)
	}
	return nil
}

func (cmd *benchCmd) check() error {
	switch {
	case cmd.Events < 1000 || cmd.Runs < 1 || cmd.Connections < 1 || cmd.Rate < 1 || cmd.Seconds < 1:
		return usage("--events is at least 1000, --runs, --connections, --rate and --seconds at least 1")
	case cmd.Nodes < 1 || cmd.Nodes > 16:
		return usage("--nodes is 1 to 16")
	case cmd.Nodes > 1 && !isPostgres(cmd.Database):
		return usage("--nodes %d: only a PostgreSQL database has several nodes, name one with --database", cmd.Nodes)
	case cmd.Duplicates+cmd.BadSignatures > 0.9:
		return usage("--duplicates and --bad-signatures together leave less than 10%% of fresh events")
	case cmd.Connections < cmd.Nodes:
		return usage("--connections %d: fewer than --nodes %d", cmd.Connections, cmd.Nodes)
	}
	return nil
}

// measurement is one line of the report.
type measurement struct {
	name       string
	handlers   int
	duplicates float64
	open       bool // fixed rate instead of as fast as it goes
	work       bool // until the last job is done
	single     bool // effects commit one by one
	stored     int  // events before
}

func (cmd *benchCmd) plan() []measurement {
	d := float64(cmd.Duplicates)
	if n := int(cmd.Stored); n > 0 {
		return []measurement{{name: fmt.Sprintf("receive, %s events stored", cmd.Stored), handlers: 1, duplicates: d, stored: n}}
	}
	plan := []measurement{
		{name: "receive", handlers: 1, duplicates: d},
		{name: "receive, three handlers", handlers: 3, duplicates: d},
	}
	if d == 0 {
		plan = append(plan, measurement{name: "receive, 30 % duplicates", handlers: 1, duplicates: 0.3})
	}
	return append(plan,
		measurement{name: "receive and work, shared commits", handlers: 1, duplicates: d, work: true},
		measurement{name: "receive and work, a commit each", handlers: 1, duplicates: d, work: true, single: true},
		measurement{name: "open loop", handlers: 1, duplicates: d, open: true})
}

// percent is a share, typed as 30% or 0.3.
type percent float64

// UnmarshalText reads 30% or 0.3.
func (p *percent) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(number, 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return fmt.Errorf("%q is no share: write 30%% or 0.3, below 100%%", text)
	}
	*p = percent(v)
	return nil
}

// amount is a number of rows, typed as 500, 20k or 10m.
type amount int

// UnmarshalText reads 500, 20k or 10m.
func (n *amount) UnmarshalText(text []byte) error {
	number, unit := strings.ToLower(strings.TrimSpace(string(text))), 1
	for suffix, u := range map[string]int{"k": 1_000, "m": 1_000_000} {
		if rest, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = rest, u
		}
	}
	v, err := strconv.Atoi(number)
	if err != nil || v < 0 || v > 1_000_000_000/unit {
		return fmt.Errorf("%q is no number of events: write 0, 1m or 10m", text)
	}
	*n = amount(v * unit)
	return nil
}

// String writes what UnmarshalText reads.
func (n amount) String() string {
	switch {
	case n > 0 && n%1_000_000 == 0:
		return fmt.Sprintf("%dm", int(n)/1_000_000)
	case n > 0 && n%1_000 == 0:
		return fmt.Sprintf("%dk", int(n)/1_000)
	}
	return strconv.Itoa(int(n))
}

// benchProgress says on a terminal what is being measured; an empty text clears it.
func benchProgress(a *app) func(string) {
	if !terminal(a.stderr) {
		return func(string) {}
	}
	return func(text string) {
		fmt.Fprintf(a.stderr, "\r\x1b[K%s", text) // the rest of the line is cleared
	}
}

func writeChart(path, title string, lines []bench.Line) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	return errors.Join(bench.Chart(f, "hookkeeper bench, "+title, lines), f.Close())
}
