package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type approvalsCmd struct {
	List    approvalsListCmd    `cmd:"" help:"List what waits for a second person, and what was decided."`
	Approve approvalsApproveCmd `cmd:"" help:"Approve what another operator has asked for: it is done at once, as it was asked for."`
	Refuse  approvalsRefuseCmd  `cmd:"" help:"Refuse what another operator has asked for, or withdraw a request of your own."`
}

// approvalFlags lead to a running hookkeeper: only that can do what is approved.
type approvalFlags struct{ operatorFlags }

func (f *approvalFlags) open(a *app) (*dev.Client, error) {
	if f.Database != "" {
		return nil, usage("approvals are decided at a running hookkeeper, which does what is approved: leave out --database")
	}
	return f.client(a)
}

type approvalsListCmd struct {
	Limit int  `help:"The newest ones." default:"100" placeholder:"N"`
	JSON  bool `name:"json" help:"One JSON object a line."`
	approvalFlags
}

// Run lists requests, the newest first.
func (cmd *approvalsListCmd) Run(ctx context.Context, a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1000 {
		return usage("--limit: want 1 to 1000")
	}
	client, err := cmd.open(a)
	if err != nil {
		return err
	}
	all, err := client.Approvals(ctx, cmd.Limit)
	if err != nil {
		return err
	}
	if cmd.JSON {
		for _, one := range all {
			if err := printJSON(a.stdout, one); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nothing was asked for")
		return err
	}
	var t table
	t.add("APPROVAL", "STATE", "ASKED BY", "ASKED", "WHAT", "REASON", "DECIDED BY")
	for _, one := range all {
		decided := one.DecidedBy
		if decided == "" {
			decided = "-"
		}
		t.add(one.ID, string(one.State), one.AskedBy, stamp(one.AskedAt), one.Method+" "+strings.TrimPrefix(one.Path, "/api/v1/"),
			one.Reason, decided)
	}
	return t.print(a.stdout)
}

type approvalsApproveCmd struct {
	ID   string `arg:"" help:"Id of the request."`
	JSON bool   `name:"json" help:"One JSON object."`
	approvalFlags
}

// Run approves. It fails unless what was asked for was done.
func (cmd *approvalsApproveCmd) Run(ctx context.Context, a *app) error {
	client, err := cmd.open(a)
	if err != nil {
		return err
	}
	one, err := client.Approve(ctx, cmd.ID)
	if err != nil {
		return err
	}
	if err := printApproval(a, one, cmd.JSON); err != nil {
		return err
	}
	if one.State != hook.ApprovalDone {
		return fmt.Errorf("approval %s: %s: %s", printable(one.ID), one.State, printable(one.Answer))
	}
	return nil
}

type approvalsRefuseCmd struct {
	ID     string `arg:"" help:"Id of the request."`
	Reason string `required:"" help:"Why; kept in the audit trail." placeholder:"TEXT"`
	JSON   bool   `name:"json" help:"One JSON object."`
	approvalFlags
}

// Run refuses. A repeat is an error.
func (cmd *approvalsRefuseCmd) Run(ctx context.Context, a *app) error {
	client, err := cmd.open(a)
	if err != nil {
		return err
	}
	one, err := client.Refuse(ctx, cmd.ID, cmd.Reason)
	if err != nil {
		return err
	}
	return printApproval(a, one, cmd.JSON)
}

func printApproval(a *app, one dev.Approval, asJSON bool) error {
	if asJSON {
		return printJSON(a.stdout, one)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s  %s %s\n", printable(one.ID), one.State, one.Method, printable(one.Path))
	return err
}
