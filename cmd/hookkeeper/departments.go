package main

import (
	"context"
	"log/slog"

	"github.com/hookkeeper/hookkeeper/hook"
)

// house is what a department finds when it is built: the open store, the way to
// record events of its own, the log.
type house struct {
	store  hook.Store // opened with the tables of all departments
	record func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error)
	log    *slog.Logger
}

// departmentPlan is a department that the configuration asks for. Its tables are
// there before it is built.
type departmentPlan struct {
	tables hook.Tables
	build  func(h house) (hook.Department, error)
}

// departments are the plans of all that are configured; what is wrong with one
// is added to the problems. A department's file appends its plan here.
func (c *config) departments(p *problems) []departmentPlan {
	var all []departmentPlan
	if plan, ok := c.tossPlan(p); ok {
		all = append(all, plan)
	}
	all = append(all, c.stripeDepartments(p)...)
	return all
}

// tablesOf are the tables that the store has to be opened with.
func tablesOf(plans []departmentPlan) []hook.Tables {
	all := make([]hook.Tables, len(plans))
	for i, plan := range plans {
		all[i] = plan.tables
	}
	return all
}

// buildDepartments makes every department.
func buildDepartments(plans []departmentPlan, h house) ([]hook.Department, error) {
	all := make([]hook.Department, 0, len(plans))
	for _, plan := range plans {
		d, err := plan.build(h)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}
