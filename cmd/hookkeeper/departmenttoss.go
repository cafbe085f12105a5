package main

import (
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

// tossPlan is the checkout, where one is configured.
func (c *config) tossPlan(p *problems) (plan departmentPlan, ok bool) {
	if !c.Checkout.asked() {
		return departmentPlan{}, false
	}
	t, err := c.tossConfig()
	if err != nil {
		p.add("%w", err)
		return departmentPlan{}, false
	}
	// What is wrong with the settings is told at once with everything else; the
	// store, which is not open yet, is not part of that.
	if err := t.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.add("checkout: %s", line)
		}
		return departmentPlan{}, false
	}
	return departmentPlan{tables: toss.Tables(), build: func(h house) (hook.Department, error) {
		t.Applier, t.Viewer, t.Record, t.Logger = h.store, h.store, h.record, h.log
		desk, err := toss.New(t)
		if err != nil {
			return hook.Department{}, err
		}
		return desk.Department(), nil
	}}, true
}
