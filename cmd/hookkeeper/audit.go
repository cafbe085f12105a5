package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Walk the chain: was an entry changed or removed since it was sealed?"`
}

type auditVerifyCmd struct {
	JSON bool `name:"json" help:"One JSON object."`
	operatorFlags
}

// auditor is what the command needs of a store or a running hookkeeper.
type auditor interface {
	VerifyAudit(ctx context.Context) (hook.AuditReport, error)
}

// Run walks the chain; a broken one is a failure. It changes nothing.
func (cmd *auditVerifyCmd) Run(ctx context.Context, a *app) error {
	l, err := cmd.open(a, false)
	if err != nil {
		return err
	}
	walk, ok := l.Ledger.(auditor)
	if !ok {
		return l.done(errors.New("this store has no audit chain"))
	}
	report, err := walk.VerifyAudit(ctx)
	if err = l.done(err); err != nil {
		return err
	}
	if cmd.JSON {
		err = printJSON(a.stdout, report)
	} else {
		err = printAudit(a, report)
	}
	if err == nil && report.Broken != 0 {
		return errSaid
	}
	return err
}

func printAudit(a *app, r hook.AuditReport) error {
	if r.Broken != 0 {
		_, err := fmt.Fprintf(a.stdout, "broken at entry %d: it was changed or removed after it was sealed; the %d before it are whole\n",
			r.Broken, r.Entries)
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "whole: %d entries, %d not sealed yet\nhead %s\n", r.Entries, r.Unsealed, printable(r.Head))
	return err
}
