package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
	"github.com/hookkeeper/hookkeeper/internal/torture"
)

// node is serve with the handlers of a torture in place of its own. What it is to
// do stands in the environment, as for serve.
func (cmd *tortureCmd) node(ctx context.Context, a *app) error {
	serve := serveCmd{Role: cmd.Role}
	c, p := loadConfig("", a.env)
	c.checkServe(&p)
	roles := serve.roles(c, &p)
	sources := c.build(&p)
	doors := openListeners(a.env, c.Listen, c.OperatorListen, &p)
	defer doors.close()
	if len(p) > 0 {
		return errors.Join(p...)
	}
	log, err := newLogger(a.stderr, c)
	if err != nil {
		return err
	}
	work := departmentPlan{
		tables: torture.Department().Tables,
		build:  func(house) (hook.Department, error) { return torture.Department(), nil },
	}
	n := node{config: c, sources: sources, plans: []departmentPlan{work}, roles: roles, doors: doors, log: log, wait: lockWait, bare: true}
	return n.run(ctx, func(context.Context) {})
}

// effects prints what the handlers of a torture have left.
func (cmd *tortureCmd) effects(ctx context.Context, a *app) (err error) {
	store, err := engineOf(cmd.Database).open(ctx, storeOptions{wait: lockWait})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	lines := json.NewEncoder(a.stdout)
	return torture.Effects(ctx, store, func(e history.Effect) error { return lines.Encode(e) })
}
