package main

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxPage is the most that a ledger gives at once.
const maxPage = 1000

type eventsCmd struct {
	List   eventsListCmd   `cmd:"" help:"List events, newest first."`
	Show   eventsShowCmd   `cmd:"" help:"Show one event with its jobs and attempts."`
	Export eventsExportCmd `cmd:"" help:"Write events as JSON lines."`

	Verify eventsVerifyCmd `cmd:"" help:"Whether an exported file still is what was written, offline."`
}

type eventsListCmd struct {
	operatorFlags
	filterFlags
	Limit  int    `help:"How many at most, without a cap; 0 means all." default:"50" placeholder:"N"`
	Cursor string `help:"Go on where an earlier list ended." placeholder:"CURSOR"`
	JSON   bool   `name:"json" help:"One JSON object a line."`
}

// Run lists events, newest first.
func (cmd *eventsListCmd) Run(ctx context.Context, a *app) error {
	if cmd.Limit < 0 {
		return usage("--limit %d: want 0 or more", cmd.Limit)
	}
	f, err := cmd.filter()
	if err != nil {
		return err
	}
	f.Cursor = cmd.Cursor
	l, err := cmd.open(a, false)
	if err != nil {
		return err
	}
	var listed table
	if !cmd.JSON {
		listed.add("EVENT", "RECEIVED", "SOURCE", "MODE", "TYPE", "SUBJECT", "TRUST", "DELIVERED", "STATE")
	}
	next, err := eachEvent(ctx, l, f, cmd.Limit, func(e *hook.EventInfo) error {
		if cmd.JSON {
			return printJSON(a.stdout, e)
		}
		listed.add(eventRow(e)...)
		return nil
	})
	if err = l.done(err); err != nil || cmd.JSON {
		return err
	}
	return printEvents(a, &listed, next)
}

// eachEvent goes through the pages until limit events have come; 0 means all.
// It returns the cursor behind the last one, empty at the end of the list.
func eachEvent(ctx context.Context, l hook.Ledger, f hook.Filter, limit int, each func(*hook.EventInfo) error) (string, error) {
	for left := limit; ; {
		f.Limit = maxPage
		if limit > 0 {
			f.Limit = min(left, maxPage)
		}
		page, next, err := l.Events(ctx, f)
		if err != nil {
			return "", err
		}
		for _, e := range page {
			if err := each(e); err != nil {
				return "", err
			}
		}
		left -= len(page)
		if next == "" || limit > 0 && left <= 0 {
			return next, nil
		}
		f.Cursor = next
	}
}

type eventsShowCmd struct {
	operatorFlags
	ID   string `arg:"" help:"Id of the event." name:"event"`
	Raw  bool   `help:"Write the exact bytes of the body and nothing else."`
	JSON bool   `name:"json" help:"One JSON object."`
}

// Run shows one event.
func (cmd *eventsShowCmd) Run(ctx context.Context, a *app) error {
	if cmd.Raw && cmd.JSON {
		return usage("--raw and --json exclude each other")
	}
	l, err := cmd.open(a, false)
	if err != nil {
		return err
	}
	e, err := l.Event(ctx, cmd.ID)
	if err = l.done(err); err != nil {
		return err
	}
	switch {
	case cmd.Raw && e.BodyGone:
		return &goneError{e.ID}
	case cmd.Raw:
		_, err = a.stdout.Write(e.Body)
	case cmd.JSON:
		err = printJSON(a.stdout, e)
	default:
		err = printEvent(a.stdout, e)
	}
	return err
}

// goneError: retention has removed the body.
type goneError struct{ id string }

func (e *goneError) Error() string { return "event " + e.id + ": its body is no longer kept" }
