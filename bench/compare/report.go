package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// write puts the tables into a file.
func (r *results) write(path string) error {
	var b strings.Builder
	b.WriteString("# Side by side\n\nWritten by `make bench-compare`; docs/benchmarks.md says what is measured and how to read it.\n\n")
	groups := "each part in a CPU group of its own"
	if !r.grouped {
		groups = "no CPU groups on this machine"
	}
	fmt.Fprintf(&b, "%s, %d CPUs for generator, server and database together, %s, PostgreSQL %s with fsync and its own defaults; %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), groups, r.version, runtime.Version())
	r.writeSpeeds(&b)
	r.writeLosses(&b)
	r.writeShapes(&b)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func (r *results) writeSpeeds(b *strings.Builder) {
	fmt.Fprintf(b, "## Speed\n\nDeliveries of 3.6 kB answered 200 in a second, and events worked to their effect; median of %d runs in turn.\n\n", r.runs)
	b.WriteString("| receiver | 64 connections | p50 | p99 | effects | 1 connection | p50 | p99 |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range r.contenders {
		many, one := r.speeds[c.name][manyConnections], r.speeds[c.name][oneConnection]
		fmt.Fprintf(b, "| %s | %s/s | %s | %s | %s/s | %s/s | %s | %s |\n", c.what, thousands(int(many.rate)), short(many.p50), short(many.p99),
			thousands(int(many.worked)), thousands(int(one.rate)), short(one.p50), short(one.p99))
	}
	b.WriteByte('\n')
}

func (r *results) writeLosses(b *strings.Builder) {
	b.WriteString("## What is lost\n\nThe sender sends again until it has its 200. *Lost* is an event without its effect in the end, *too many* is an effect after the first of the same event.\n\n| receiver |")
	for _, t := range trials() {
		fmt.Fprintf(b, " %s |", t.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(trials())) + "\n")
	for _, c := range r.contenders {
		fmt.Fprintf(b, "| %s |", c.what)
		for _, l := range r.losses[c.name] {
			fmt.Fprintf(b, " %s |", l.cell())
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, t := range trials() {
		fmt.Fprintf(b, "* *%s*: %s.\n", t.name, t.asks)
	}
	b.WriteByte('\n')
}

func (l loss) cell() string {
	var parts []string
	if l.lost > 0 {
		text := fmt.Sprintf("**%s of %s lost**", thousands(l.lost), thousands(l.events))
		if l.kills > 0 {
			text += fmt.Sprintf(" (%d a kill)", l.lost/l.kills)
		}
		parts = append(parts, text)
	}
	if l.twice > 0 {
		parts = append(parts, fmt.Sprintf("**%s effects too many** of %s events", thousands(l.twice), thousands(l.events)))
	}
	if l.refused > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s refused until mended", thousands(l.refused), thousands(l.events)))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("0 of %s", thousands(l.events))
	}
	return strings.Join(parts, ", ")
}

func (r *results) writeShapes(b *strings.Builder) {
	b.WriteString("Answers to a rightly signed event, by its shape:\n\n| receiver |")
	for _, s := range shapes() {
		fmt.Fprintf(b, " %s |", s.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(shapes())) + "\n")
	for _, c := range r.contenders {
		fmt.Fprintf(b, "| %s |", c.what)
		for _, code := range r.answers[c.name] {
			fmt.Fprintf(b, " %d |", code)
		}
		b.WriteByte('\n')
	}
}

// thousands writes 12345 as 12,345.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
