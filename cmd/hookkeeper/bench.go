package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

type benchCmd struct {
	Dir         string `help:"Folder on the disk to measure; default a new one for temporary files." placeholder:"DIR" type:"path"`
	Events      int    `help:"Deliveries a run." default:"15000"`
	Runs        int    `help:"Runs of each kind, in turn; the median counts." default:"3"`
	Connections int    `help:"Keep-alive connections of the closed loop." default:"256"`
	Rate        int    `help:"Deliveries a second of the open loop, over 64 connections." default:"3000"`
	JSON        bool   `name:"json" help:"One JSON object a line."`

	Child    string `hidden:"" help:"Be the server that is measured: none, sqlite."`
	Handlers int    `hidden:"" default:"1"`
	Single   bool   `hidden:""`
	Idle     bool   `hidden:""`
}

const benchSecret = "whsec_for_the_benchmark_alone_0001"

// Run measures: the server that keeps events against the same server that
// answers at once, in turn.
func (cmd *benchCmd) Run(ctx context.Context, a *app) error {
	if cmd.Child != "" {
		return cmd.serve(ctx, a)
	}
	if cmd.Events < 1000 || cmd.Runs < 1 || cmd.Connections < 1 || cmd.Rate < 1 {
		return usage("--events is at least 1000, --runs, --connections and --rate at least 1")
	}
	if cmd.Dir == "" {
		dir, err := os.MkdirTemp("", "hookkeeper-bench-")
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		defer os.RemoveAll(dir)
		cmd.Dir = dir
	}
	for _, m := range benchPlan() {
		r, err := cmd.measure(ctx, m)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", m.name, err)
		}
		if err := r.print(a.stdout, cmd.JSON); err != nil {
			return err
		}
	}
	return nil
}

// measurement is one line of the report.
type measurement struct {
	name       string
	handlers   int
	duplicates int
	open       bool // fixed rate instead of as fast as it goes
	work       bool // until the last job is done
	single     bool // effects commit one by one
}

func benchPlan() []measurement {
	return []measurement{
		{name: "receive", handlers: 1},
		{name: "receive, three handlers", handlers: 3},
		{name: "receive, 30 % duplicates", handlers: 1, duplicates: 30},
		{name: "receive and work, shared commits", handlers: 1, work: true},
		{name: "receive and work, a commit each", handlers: 1, work: true, single: true},
		{name: "open loop", handlers: 1, open: true},
	}
}

// benchLine is the result of one measurement.
type benchLine struct {
	Name       string  `json:"name"`
	Rate       float64 `json:"per_second"`
	Limit      float64 `json:"limit_per_second"` // the same server without a store, in the same run
	Ratio      float64 `json:"ratio"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	LimitP99   float64 `json:"limit_p99_ms"`
	MemoryMiB  float64 `json:"memory_mib"` // largest of the measured server
	Noisy      bool    `json:"noisy"`      // the limit's own p99 is over 10 ms: judge nothing
	Runs       int     `json:"runs"`
	Deliveries int     `json:"deliveries"`
}

func (l *benchLine) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(l)
	}
	noisy := ""
	if l.Noisy {
		noisy = "  noisy"
	}
	_, err := fmt.Fprintf(w, "%-34s %7.0f/s  limit %7.0f/s  ratio %.2f  p50 %6.1f ms  p99 %6.1f ms  limit p99 %6.1f ms  %4.0f MiB%s\n",
		l.Name, l.Rate, l.Limit, l.Ratio, l.P50, l.P99, l.LimitP99, l.MemoryMiB, noisy)
	return err
}

// measure runs limit and store in turn and takes medians.
func (cmd *benchCmd) measure(ctx context.Context, m measurement) (*benchLine, error) {
	var limits, stores []benchRun
	for i := range cmd.Runs {
		for _, store := range []string{"none", "sqlite"} {
			r, err := cmd.once(ctx, m, store, fmt.Sprint(i))
			if err != nil {
				return nil, err
			}
			if store == "none" {
				limits = append(limits, r)
			} else {
				stores = append(stores, r)
			}
		}
	}
	l := &benchLine{Name: m.name, Runs: cmd.Runs, Deliveries: cmd.Events,
		Rate: median(stores, func(r benchRun) float64 { return r.rate }), Limit: median(limits, func(r benchRun) float64 { return r.rate }),
		P50:      median(stores, func(r benchRun) float64 { return r.p50 }),
		P99:      median(stores, func(r benchRun) float64 { return r.p99 }),
		LimitP99: median(limits, func(r benchRun) float64 { return r.p99 })}
	for _, r := range stores {
		l.MemoryMiB = max(l.MemoryMiB, r.memory)
	}
	l.Ratio = l.Rate / l.Limit
	l.Noisy = m.open && l.LimitP99 > 10
	return l, nil
}

type benchRun struct{ rate, p50, p99, memory float64 }

func median(runs []benchRun, f func(benchRun) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = f(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// once starts a fresh server, loads it, and checks that nothing was lost.
func (cmd *benchCmd) once(ctx context.Context, m measurement, store, series string) (benchRun, error) {
	child, err := cmd.start(ctx, m, store)
	if err != nil {
		return benchRun{}, err
	}
	defer child.stop()
	n := cmd.Events
	if m.open {
		n = max(cmd.Rate*3, 1000)
	}
	requests, err := bench.Requests(benchSecret, series, n, m.duplicates, time.Now())
	if err != nil {
		return benchRun{}, err
	}
	began := time.Now()
	var r *bench.Result
	if m.open {
		r, err = bench.Open(ctx, child.addr, 64, float64(cmd.Rate), requests)
	} else {
		r, err = bench.Closed(ctx, child.addr, cmd.Connections, requests)
	}
	if err != nil {
		return benchRun{}, err
	}
	if r.Refused > 0 {
		return benchRun{}, fmt.Errorf("%d of %d deliveries were not answered 200", r.Refused, n)
	}
	out := benchRun{rate: r.Rate(), p50: ms(r.Quantile(0.5)), p99: ms(r.Quantile(0.99))}
	report, err := child.finish(m.work)
	if err != nil {
		return benchRun{}, err
	}
	if m.work && store != "none" {
		out.rate = float64(n) / time.Since(began).Seconds()
	}
	if store != "none" && report.Deliveries != n {
		return benchRun{}, fmt.Errorf("acknowledged %d, found %d afterwards", n, report.Deliveries)
	}
	out.memory = float64(report.PeakKiB) / 1024
	return out, nil
}

// benchChild is the measured server, a process of its own.
type benchChild struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	addr    string
	dir     string
}

func (cmd *benchCmd) start(ctx context.Context, m measurement, store string) (*benchChild, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(cmd.Dir, "run-")
	if err != nil {
		return nil, err
	}
	args := []string{"bench", "--child", store, "--dir", dir, "--handlers", fmt.Sprint(m.handlers)}
	if m.single {
		args = append(args, "--single")
	}
	if !m.work {
		args = append(args, "--idle")
	}
	c := &benchChild{process: exec.CommandContext(ctx, self, args...), dir: dir}
	c.process.Stderr = os.Stderr
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.stdin, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdout = bufio.NewReader(out)
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	addr, err := c.stdout.ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the measured server did not start"), c.process.Wait())
	}
	c.addr = strings.TrimSpace(addr)
	return c, nil
}

// finish orders the child to report, at once or when its queue is empty.
func (c *benchChild) finish(drained bool) (report benchReport, err error) {
	order := "report\n"
	if drained {
		order = "drain\n"
	}
	if _, err := io.WriteString(c.stdin, order); err != nil {
		return report, err
	}
	line, err := c.stdout.ReadBytes('\n')
	if err != nil {
		return report, fmt.Errorf("the measured server said nothing: %w", err)
	}
	return report, json.Unmarshal(line, &report)
}

func (c *benchChild) stop() {
	_ = c.stdin.Close() // it ends when nobody is left to order
	_ = c.process.Wait()
	_ = os.RemoveAll(c.dir)
}

// benchReport is what the measured server says of itself.
type benchReport struct {
	Deliveries int   `json:"deliveries"`
	PeakKiB    int64 `json:"peak_kib"`
}

func benchDatabase(dir string) string { return filepath.Join(dir, "bench.db") }
