package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

type replayCmd struct {
	operatorFlags
	IDs     []string `arg:"" name:"event" help:"Ids of events."`
	Handler []string `help:"Only this handler; may be given again. Default: all that want the event." placeholder:"NAME" sep:"none"`
	Reason  string   `help:"Why; kept in the audit trail." placeholder:"TEXT"`
	DryRun  bool     `help:"Say what would change, and change nothing."`
	JSON    bool     `name:"json" help:"One JSON object a line."`
}

// replayed is one line of the report.
type replayed struct {
	Event    string   `json:"event"`
	Jobs     int      `json:"jobs"`     // queued
	Handlers []string `json:"handlers"` // dry run: which, as far as their jobs show
	DryRun   bool     `json:"dry_run"`
	Error    string   `json:"error"`
}

// Run queues recorded events again. One that is refused does not keep the
// others back, but the command then fails.
func (cmd *replayCmd) Run(ctx context.Context, a *app) error {
	if !cmd.DryRun && strings.TrimSpace(cmd.Reason) == "" {
		return usage("--reason is required: say why, it is kept in the audit trail")
	}
	l, err := cmd.open(a, !cmd.DryRun)
	if err != nil {
		return err
	}
	failed := false
	for _, id := range cmd.IDs {
		r, err := cmd.one(ctx, l, id)
		if err != nil && !errors.Is(err, hook.ErrNotFound) && !errors.Is(err, hook.ErrRefused) {
			return l.done(err)
		}
		if err != nil {
			failed = true
			r.Error = err.Error()
		}
		if err := cmd.report(a, r); err != nil {
			return l.done(err)
		}
	}
	if err := l.done(nil); err != nil {
		return err
	}
	if failed {
		return errSaid
	}
	return nil
}

func (cmd *replayCmd) one(ctx context.Context, l *ledger, id string) (replayed, error) {
	r := replayed{Event: id, Handlers: append([]string{}, cmd.Handler...), DryRun: cmd.DryRun}
	var err error
	if !cmd.DryRun {
		r.Jobs, err = l.Replay(ctx, id, hook.Replay{Handlers: cmd.Handler, Reason: cmd.Reason, Actor: "command line"})
		return r, err
	}
	e, err := l.Event(ctx, id)
	if err != nil {
		return r, err
	}
	if e.BodyGone {
		return r, fmt.Errorf("replay %s: its body is no longer kept: %w", id, hook.ErrRefused)
	}
	for _, job := range e.Jobs {
		if len(cmd.Handler) > 0 && !slices.Contains(cmd.Handler, job.Handler) {
			continue
		}
		if !job.State.Final() {
			return r, fmt.Errorf("replay %s: the job of %s is %s: %w", id, job.Handler, job.State, hook.ErrRefused)
		}
		if len(cmd.Handler) == 0 {
			r.Handlers = append(r.Handlers, job.Handler)
		}
	}
	return r, nil
}

func (cmd *replayCmd) report(a *app, r replayed) error {
	if cmd.JSON {
		return printJSON(a.stdout, r)
	}
	text := fmt.Sprintf("queued again, jobs: %d", r.Jobs)
	switch {
	case r.Error != "":
		text = r.Error
	case r.DryRun && len(r.Handlers) == 0:
		text = "would be queued for every handler that wants it; it has no jobs yet"
	case r.DryRun:
		text = "would be queued again for " + strings.Join(r.Handlers, ", ")
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s\n", printable(r.Event), printable(text))
	return err
}
