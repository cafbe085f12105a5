package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// dataKey is a row of data_keys.
type dataKey struct {
	seal.DataKey
	madeAt, seals int64
}

func dataKeys(ctx context.Context, tx Tx) ([]dataKey, error) {
	var all []dataKey
	var k dataKey
	err := eachRow(ctx, tx, `SELECT id, made_at, seals, master, wrapped FROM data_keys ORDER BY id`, nil,
		[]any{&k.ID, &k.madeAt, &k.seals, &k.Master, &k.Wrapped}, func() bool {
			k.Wrapped = slices.Clone(k.Wrapped)
			all = append(all, k)
			return true
		})
	if err != nil {
		return nil, fmt.Errorf("read the data keys: %w", err)
	}
	return all, nil
}

func wrappedOf(all []dataKey) []seal.DataKey {
	list := make([]seal.DataKey, len(all))
	for i, k := range all {
		list[i] = k.DataKey
	}
	return list
}

// settleTime is how long a new data key waits before it seals: by then every node
// has read it. A single process needs no such time.
const settleTime = time.Minute

// LoadKeys reads the data keys anew and begins the first one, or the next where
// the newest has sealed what it may; if leave to seal runs low it reserves more. The
// engine calls the returned function after the commit: leave, and a key, must not
// be used whose row was rolled back. If we die before the commit, nothing was
// sealed with a key that is not stored.
func (c *Core) LoadKeys(ctx context.Context, tx Tx) (adopt func(), err error) {
	if c.ring == nil {
		return func() {}, c.CheckKeys(ctx, tx)
	}
	if err := lock(ctx, tx, "data keys"); err != nil {
		return nil, err
	}
	all, err := dataKeys(ctx, tx)
	if err != nil {
		return nil, err
	}
	if n := len(all); n == 0 || all[n-1].seals+seal.Grant > seal.MostSeals {
		if all, err = c.beginKey(ctx, tx, all); err != nil {
			return nil, err
		}
	}
	return c.readyKeys(ctx, tx, all)
}

// readyKeys unwraps before the commit: with a key that does not fit nothing is
// written.
func (c *Core) readyKeys(ctx context.Context, tx Tx, all []dataKey) (adopt func(), err error) {
	sealing := c.sealing(all, c.now(tx))
	take, err := c.ring.Ready(wrappedOf(all), sealing)
	if err != nil {
		return nil, err
	}
	granted := int64(0)
	if c.ring.Low() {
		granted = seal.Grant
		if _, err := tx.ExecContext(ctx, `UPDATE data_keys SET seals = seals + $1 WHERE id = $2`, granted, sealing); err != nil {
			return nil, fmt.Errorf("reserve seals: %w", err)
		}
	}
	return func() {
		take()
		c.ring.Allow(granted)
	}, nil
}

// sealing is the newest data key that every node knows.
func (c *Core) sealing(all []dataKey, now int64) int64 {
	if len(all) == 0 {
		return 0
	}
	newest := all[0].ID
	for _, k := range all[1:] {
		if !c.Many || k.madeAt+settleTime.Microseconds() <= now {
			newest = k.ID
		}
	}
	return newest
}

// beginKey writes the next data key.
func (c *Core) beginKey(ctx context.Context, tx Tx, all []dataKey) ([]dataKey, error) {
	next := int64(1)
	if len(all) > 0 {
		next = all[len(all)-1].ID + 1
	}
	k, err := c.ring.Begin(next)
	if err != nil {
		return nil, err
	}
	at := c.now(tx)
	_, err = tx.ExecContext(ctx, `INSERT INTO data_keys (id, made_at, seals, master, wrapped) VALUES ($1, $2, 0, $3, $4)`,
		k.ID, at, k.Master, k.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("keep a data key: %w", err)
	}
	return append(all, dataKey{DataKey: k, madeAt: at}), nil
}

// DataKeys gives all data keys; see hook.Vault.
func (c *Core) DataKeys(ctx context.Context, tx Tx) ([]hook.DataKey, error) {
	all, err := dataKeys(ctx, tx)
	if err != nil {
		return nil, err
	}
	sealing := c.sealing(all, c.now(tx))
	list := []hook.DataKey{}
	for _, k := range slices.Backward(all) {
		list = append(list, hook.DataKey{ID: k.ID, Master: k.Master, MadeAt: fromMicros(k.madeAt), Seals: k.seals,
			Opens: c.ring.Opens(k.DataKey), Sealing: k.ID == sealing})
	}
	return list, nil
}

// RotateKeys begins a data key and wraps all anew; see hook.Vault. The engine calls
// adopt after the commit. If we die before it, every key is wrapped as it was.
func (c *Core) RotateKeys(ctx context.Context, tx Tx, actor string) (id int64, adopt func(), err error) {
	if c.ring == nil {
		return 0, nil, errNotEncrypted("rotate keys")
	}
	if err := lock(ctx, tx, "data keys"); err != nil {
		return 0, nil, err
	}
	all, err := dataKeys(ctx, tx)
	if err != nil {
		return 0, nil, err
	}
	for i := range all {
		k, err := c.ring.Rewrap(all[i].DataKey)
		if err != nil {
			return 0, nil, err
		}
		all[i].DataKey = k
		if _, err := tx.ExecContext(ctx, `UPDATE data_keys SET master = $1, wrapped = $2 WHERE id = $3`,
			k.Master, k.Wrapped, k.ID); err != nil {
			return 0, nil, fmt.Errorf("wrap a data key: %w", err)
		}
	}
	if all, err = c.beginKey(ctx, tx, all); err != nil {
		return 0, nil, err
	}
	id = all[len(all)-1].ID
	err = c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: "rotate_keys", Object: fmt.Sprintf("data key %d", id)})
	if err != nil {
		return 0, nil, err
	}
	adopt, err = c.readyKeys(ctx, tx, all)
	return id, adopt, err
}

func errNotEncrypted(deed string) error {
	return fmt.Errorf("%s: nothing is encrypted here: set HOOKKEEPER_ENCRYPTION_KEY first: %w", deed, hook.ErrRefused)
}
