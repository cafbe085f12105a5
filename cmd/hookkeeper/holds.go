package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type holdsCmd struct {
	Add     holdsAddCmd     `cmd:"" help:"Hold an event, a subject of a source, or a range of a source: nothing of it is removed."`
	List    holdsListCmd    `cmd:"" help:"List legal holds, those that still hold first."`
	Release holdsReleaseCmd `cmd:"" help:"End a legal hold."`
}

// server gives the operators' API: what is ordered there is worked there.
func (f *operatorFlags) server(a *app) (*dev.Client, error) {
	if f.Database != "" {
		return nil, usage("--database is refused: this is ordered from a running hookkeeper, with --operator")
	}
	return f.client(a)
}

type holdsAddCmd struct {
	Event   string `help:"This event." placeholder:"ID"`
	Source  string `help:"Of this source." placeholder:"NAME"`
	Subject string `help:"What is about this object." placeholder:"ID"`
	Since   string `help:"Recorded at or after: RFC 3339, Unix seconds, or an age such as 30d." placeholder:"TIME"`
	Until   string `help:"Recorded before; without it also what is still to come." placeholder:"TIME"`
	Reason  string `required:"" help:"Why; kept in the audit trail." placeholder:"TEXT"`
	JSON    bool   `name:"json" help:"One JSON object."`
	operatorFlags
}

// Run orders a hold.
func (cmd *holdsAddCmd) Run(ctx context.Context, a *app) error {
	since, err := parseTime("--since", cmd.Since)
	if err != nil {
		return err
	}
	until, err := parseTime("--until", cmd.Until)
	if err != nil {
		return err
	}
	switch {
	case cmd.Event == "" && cmd.Source == "":
		return usage("say what is held: --event ID, or --source NAME with --subject or a range")
	case cmd.Event == "" && cmd.Subject == "" && since.IsZero() && until.IsZero():
		return usage("--source alone would hold all of it for ever: add --subject, --since or --until")
	}
	client, err := cmd.server(a)
	if err != nil {
		return err
	}
	id, err := client.AddHold(ctx, hook.HoldOrder{Event: cmd.Event, Source: cmd.Source, Subject: cmd.Subject,
		Since: since, Until: until, Reason: cmd.Reason})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(a.stdout, map[string]int64{"id": id})
	}
	_, err = fmt.Fprintf(a.stdout, "hold #%d: nothing of it is removed until hookkeeper holds release %d\n", id, id)
	return err
}

type holdsListCmd struct {
	Event string `help:"Only those that hold this event now." placeholder:"ID"`
	Limit int    `help:"How many at most." default:"100" placeholder:"N"`
	JSON  bool   `name:"json" help:"One JSON object a line."`
	operatorFlags
}

// Run lists holds.
func (cmd *holdsListCmd) Run(ctx context.Context, a *app) error {
	if cmd.Limit < 1 || cmd.Limit > maxPage {
		return usage("--limit %d: want 1 to %d", cmd.Limit, maxPage)
	}
	client, err := cmd.server(a)
	if err != nil {
		return err
	}
	all, err := client.Holds(ctx, cmd.Event, cmd.Limit)
	if err != nil {
		return err
	}
	var t table
	t.add("HOLD", "SINCE", "WHAT", "BY", "REASON", "RELEASED")
	for _, h := range all {
		if cmd.JSON {
			if err := printJSON(a.stdout, h); err != nil {
				return err
			}
			continue
		}
		released := "-"
		if h.Released != nil {
			released = stamp(*h.Released) + " by " + h.ReleasedBy
		}
		t.add(fmt.Sprint(h.ID), stamp(h.At), whatIsHeld(h), h.Actor, h.Reason, released)
	}
	switch {
	case cmd.JSON:
		return nil
	case len(all) == 0:
		_, err := fmt.Fprintln(a.stdout, "nothing is held")
		return err
	}
	return t.print(a.stdout)
}

func whatIsHeld(h *hook.Hold) string {
	if h.Event != "" {
		return h.Event
	}
	parts := []string{h.Source}
	if h.Subject != "" {
		parts = append(parts, h.Subject)
	}
	if !h.Since.IsZero() {
		parts = append(parts, "from "+stamp(h.Since))
	}
	if !h.Until.IsZero() {
		parts = append(parts, "until "+stamp(h.Until))
	}
	return strings.Join(parts, " ")
}

type holdsReleaseCmd struct {
	ID     int64  `arg:"" help:"Number of the hold."`
	Reason string `required:"" help:"Why; kept in the audit trail." placeholder:"TEXT"`
	operatorFlags
}

// Run ends a hold.
func (cmd *holdsReleaseCmd) Run(ctx context.Context, a *app) error {
	client, err := cmd.server(a)
	if err != nil {
		return err
	}
	if err := client.ReleaseHold(ctx, cmd.ID, "", cmd.Reason); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "hold #%d is released\n", cmd.ID)
	return err
}
