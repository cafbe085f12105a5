package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the data keys, never the keys themselves."`
	Rotate keysRotateCmd `cmd:"" help:"Begin a new data key, and wrap all of them with the first configured key."`
	Seal   keysSealCmd   `cmd:"" help:"Encrypt what was recorded before encryption was on, in small steps."`
}

// keysFlags find a running hookkeeper, or a database and its keys.
type keysFlags struct {
	configFlags
	operatorFlags
}

// keyDesk is what the commands need: a running hookkeeper or a database.
type keyDesk interface {
	keys(ctx context.Context) ([]hook.DataKey, error)
	rotate(ctx context.Context) (int64, error)
	seal(ctx context.Context, cursor string) (hook.SealStep, error)
	close() error
}

// desk opens a running hookkeeper, or the database and its keys. A database that
// is only looked at may be worked by a server meanwhile.
func (f *keysFlags) desk(ctx context.Context, a *app, write bool) (keyDesk, error) {
	if f.Database == "" {
		client, err := f.client(a)
		return remoteKeys{client}, err
	}
	if f.Operator != "" {
		return nil, usage("--operator and --database exclude each other")
	}
	c, p := loadConfig(f.Config, a.env)
	c.Database = f.Database
	c.checkDatabase(&p)
	keys := c.Encryption.read(&p)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	e := engineOf(f.Database, keys...)
	if !write {
		r, err := e.reader(ctx)
		return keysRead{r}, err
	}
	store, err := e.open(ctx, storeOptions{})
	if err != nil {
		return nil, err
	}
	return keysHere{store}, nil
}

type keysListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
	keysFlags
}

// Run lists the data keys, the newest first.
func (cmd *keysListCmd) Run(ctx context.Context, a *app) error {
	desk, err := cmd.desk(ctx, a, false)
	if err != nil {
		return err
	}
	all, err := desk.keys(ctx)
	if err = errors.Join(err, desk.close()); err != nil {
		return err
	}
	if !cmd.JSON && len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no data keys: nothing is encrypted")
		return err
	}
	var t table
	t.add("KEY", "MADE", "WRAPPED WITH", "SEALS", "STATE")
	for _, k := range all {
		if cmd.JSON {
			if err := printJSON(a.stdout, k); err != nil {
				return err
			}
			continue
		}
		state := "opens"
		switch {
		case !k.Opens:
			state = "its key is not configured here"
		case k.Sealing:
			state = "seals"
		}
		t.add(fmt.Sprint(k.ID), stamp(k.MadeAt), k.Master, fmt.Sprint(k.Seals), state)
	}
	if cmd.JSON {
		return nil
	}
	return t.print(a.stdout)
}

type keysRotateCmd struct {
	JSON bool `name:"json" help:"One JSON object."`
	keysFlags
}

// Run begins a data key. A repeat begins another.
func (cmd *keysRotateCmd) Run(ctx context.Context, a *app) error {
	desk, err := cmd.desk(ctx, a, true)
	if err != nil {
		return err
	}
	id, err := desk.rotate(ctx)
	if err = errors.Join(err, desk.close()); err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(a.stdout, map[string]int64{"key": id})
	}
	_, err = fmt.Fprintf(a.stdout, "data key %d begun; all data keys are wrapped with the first configured key, "+
		"the others may be taken out of the configuration\n", id)
	return err
}

type keysSealCmd struct {
	JSON bool `name:"json" help:"One JSON object."`
	keysFlags
}

// Run seals step by step. It may be stopped at any point; a repeat passes over
// what is sealed.
func (cmd *keysSealCmd) Run(ctx context.Context, a *app) error {
	desk, err := cmd.desk(ctx, a, true)
	if err != nil {
		return err
	}
	looked, sealed, err := sealAll(ctx, a, desk)
	if here, ok := desk.(keysHere); ok && err == nil {
		err = here.scrub(ctx)
	}
	if err = errors.Join(err, desk.close()); err != nil {
		return fmt.Errorf("%d sealed so far, run it again to go on: %w", sealed, err)
	}
	if cmd.JSON {
		return printJSON(a.stdout, map[string]int{"looked": looked, "sealed": sealed})
	}
	_, err = fmt.Fprintf(a.stdout, "%d rows looked at, %d sealed\n", looked, sealed)
	return err
}

// sealTold is how many rows pass between two signs of life on a terminal.
const sealTold = 20_000

func sealAll(ctx context.Context, a *app, desk keyDesk) (looked, sealed int, err error) {
	told := 0
	for cursor := ""; ; {
		step, err := desk.seal(ctx, cursor)
		if err != nil {
			return looked, sealed, err
		}
		looked, sealed, cursor = looked+step.Looked, sealed+step.Sealed, step.Next
		if looked-told >= sealTold && terminal(a.stderr) {
			told = looked
			fmt.Fprintf(a.stderr, "%d rows looked at, %d sealed\n", looked, sealed)
		}
		if cursor == "" {
			return looked, sealed, nil
		}
		if err := ctx.Err(); err != nil {
			return looked, sealed, err
		}
	}
}

// remoteKeys are those of a running hookkeeper.
type remoteKeys struct{ c *dev.Client }

func (r remoteKeys) keys(ctx context.Context) ([]hook.DataKey, error) {
	var page struct{ Keys []hook.DataKey }
	err := r.c.Get(ctx, "keys", nil, &page)
	return page.Keys, err
}

func (r remoteKeys) rotate(ctx context.Context) (int64, error) {
	var made struct{ Key int64 }
	err := r.c.Post(ctx, "keys/rotate", struct{}{}, &made)
	return made.Key, err
}

func (r remoteKeys) seal(ctx context.Context, cursor string) (step hook.SealStep, err error) {
	err = r.c.Post(ctx, "keys/seal", map[string]string{"cursor": cursor}, &step)
	return step, err
}

func (r remoteKeys) close() error { return nil }

var errNoVault = errors.New("this store has no encryption")

// keysHere are those of a database that this process has opened.
type keysHere struct{ store hook.Store }

func (h keysHere) keys(ctx context.Context) ([]hook.DataKey, error) {
	return keysRead{h.store}.keys(ctx)
}

func (h keysHere) rotate(ctx context.Context) (int64, error) {
	vault, ok := h.store.(hook.Vault)
	if !ok {
		return 0, errNoVault
	}
	return vault.RotateKeys(ctx, tokenActor)
}

func (h keysHere) seal(ctx context.Context, cursor string) (hook.SealStep, error) {
	return sealStep(ctx, h.store, cursor, tokenActor)
}

func (h keysHere) close() error { return h.store.Close() }

// scrub has a file written anew without what was deleted in it; a server's
// database does that by itself in time.
func (h keysHere) scrub(ctx context.Context) error {
	if s, ok := h.store.(interface{ Scrub(context.Context) error }); ok {
		return s.Scrub(ctx)
	}
	return nil
}

// keysRead are those of a database that is only looked at.
type keysRead struct {
	store interface{ Close() error }
}

func (r keysRead) keys(ctx context.Context) ([]hook.DataKey, error) {
	list, ok := r.store.(interface {
		DataKeys(ctx context.Context) ([]hook.DataKey, error)
	})
	if !ok {
		return nil, errNoVault
	}
	return list.DataKeys(ctx)
}

func (r keysRead) rotate(context.Context) (int64, error) { return 0, hook.ErrRefused }

func (r keysRead) seal(context.Context, string) (hook.SealStep, error) {
	return hook.SealStep{}, hook.ErrRefused
}

func (r keysRead) close() error { return r.store.Close() }
