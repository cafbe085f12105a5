package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

// eraseLook is how often the command asks how far an erasure is.
const eraseLook = 250 * time.Millisecond

type eraseCmd struct {
	Source   string `required:"" help:"What this source has told." placeholder:"NAME"`
	Customer string `required:"" help:"The identifier as bodies hold it: cus_…, an e-mail address; - reads it from stdin." placeholder:"ID"`
	Reason   string `required:"" help:"Why; kept in the audit trail, so without the identifier." placeholder:"TEXT"`
	DryRun   bool   `help:"Only count what would be erased."`
	Yes      bool   `help:"Erase without asking."`
	NoWait   bool   `help:"Order it and do not wait for its end."`
	JSON     bool   `name:"json" help:"One JSON object: the erasure as it is at the end."`
	operatorFlags
}

// Run orders an erasure and waits until it is over, or until only open work and
// holds are in its way. An interrupt ends the waiting, not the erasure.
func (cmd *eraseCmd) Run(ctx context.Context, a *app) error {
	customer := cmd.Customer
	if customer == "-" {
		text, err := a.readAll("-", 4096)
		if err != nil {
			return err
		}
		customer = string(bytes.TrimSpace(text))
	}
	client, err := cmd.server(a)
	if err != nil {
		return err
	}
	if !cmd.DryRun && !cmd.Yes && !a.ask("erase everything of this customer that %s has told? It does not come back", cmd.Source) {
		return fmt.Errorf("erase: look first with --dry-run, then repeat with --yes")
	}
	id, err := client.AddErasure(ctx, hook.ErasureOrder{Source: cmd.Source, Customer: customer, Reason: cmd.Reason, DryRun: cmd.DryRun})
	if err != nil {
		return err
	}
	e, err := client.Erasure(ctx, id)
	if err == nil && !cmd.NoWait {
		e, err = awaitErasure(ctx, a, client, e)
	}
	if err != nil {
		return fmt.Errorf("erasure #%d goes on by itself: %w", id, err)
	}
	if cmd.JSON {
		return printJSON(a.stdout, e)
	}
	_, err = fmt.Fprintln(a.stdout, printable(erasureText(e)))
	return err
}

// awaitErasure asks until the order is over or waits for something.
func awaitErasure(ctx context.Context, a *app, client *dev.Client, e *hook.Erasure) (*hook.Erasure, error) {
	progress := a.progress(int(e.Total))
	defer progress.clear()
	tick := time.NewTicker(eraseLook)
	defer tick.Stop()
	for {
		switch {
		case e.State == hook.ErasureDone, e.State == hook.ErasureCancelled,
			e.State == hook.ErasureWaiting && e.Open+e.Held > 0:
			return e, nil
		}
		progress.show(int(min(e.Seen, e.Total)))
		select {
		case <-ctx.Done():
			return e, ctx.Err()
		case <-tick.C:
		}
		var err error
		if e, err = client.Erasure(ctx, e.ID); err != nil {
			return e, err
		}
	}
}

// erasureText is what people read of an erasure.
func erasureText(e *hook.Erasure) string {
	if e.Total == 0 {
		return fmt.Sprintf("erasure #%d: %s has recorded no event: is its name right? %d rows of departments were blanked", e.ID, e.Source, e.Rows)
	}
	if e.DryRun {
		return fmt.Sprintf("erasure #%d, a look: %s of %d would be erased, and %d notes on refused deliveries; nothing was changed",
			e.ID, events(int(e.Found)), e.Seen, e.Notes)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "erasure #%d is %s: %d of %s erased, %d looked at, %d notes on refused deliveries, %d rows of departments",
		e.ID, e.State, e.Erased, events(int(e.Found)), e.Seen, e.Notes, e.Rows)
	if e.Open > 0 {
		fmt.Fprintf(&b, "; %d wait for the end of their work (dead letters too: replay or discard them)", e.Open)
	}
	if e.Held > 0 {
		fmt.Fprintf(&b, "; %d are under a legal hold (hookkeeper holds list)", e.Held)
	}
	return b.String()
}
