package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ErasureDue reports whether an order's turn has come; a reader may ask.
func (c *Core) ErasureDue(ctx context.Context, tx Tx) (due bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM erasures
		WHERE state IN ('running', 'waiting', 'cleaning') AND next_at <= $1)`, c.now(tx)).Scan(&due)
	return due, err
}

// StepErasure does what a look has found to do; see hook.ErasureKeeper. What goes,
// what departments blank and the mark commit together: if we die before, the same
// events are met again; after, they are not. Two that have looked at the same time
// do not both count: the second finds the mark moved. departments blanks what they
// keep.
func (c *Core) StepErasure(ctx context.Context, tx Tx, s *ErasureStep, departments func() (int, error)) error {
	if err := c.byIndex(ctx, tx); err != nil {
		return err
	}
	if err := lock(ctx, tx, RetentionLock); err != nil {
		return fmt.Errorf("%s: %w", erasureName(s.ID), err)
	}
	res, err := tx.ExecContext(ctx, `UPDATE erasures SET moved_at = $1 WHERE id = $2 AND state = $3 AND mark = $4`,
		c.now(tx), s.ID, string(s.State), s.mark)
	if err == nil {
		var mine int64
		if mine, err = res.RowsAffected(); err == nil && mine == 0 {
			return nil
		}
	}
	if err == nil {
		next := &erasing{core: c, tx: tx, step: s, state: s.State, mark: s.upto, nextAt: c.now(tx), departments: departments}
		err = next.run(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", erasureName(s.ID), err)
	}
	return nil
}

// erasing is one step on its way, with what the order's row will say after it.
type erasing struct {
	core        *Core
	tx          Tx
	step        *ErasureStep
	departments func() (int, error)

	state                     hook.ErasureState
	mark, nextAt              int64
	erased, held, notes, rows int
}

func (g *erasing) run(ctx context.Context) (err error) {
	s := g.step
	switch {
	case s.State == hook.ErasureCleaning:
		err = g.clean(ctx)
	case s.DryRun:
		if g.notes = len(s.notes); s.over {
			g.state = hook.ErasureDone
		}
	default:
		err = g.erase(ctx)
	}
	if err != nil {
		return err
	}
	if g.state == hook.ErasureRunning {
		g.nextAt += erasurePause.Microseconds()
	}
	seen, found, customer := s.seen, len(s.found), s.Customer
	if s.State != hook.ErasureRunning {
		found = 0 // counted already
	}
	if g.state != hook.ErasureRunning && g.state != hook.ErasureWaiting {
		customer = "" // before the disk is cleaned, so that it is cleaned of this too
	}
	if customer, err = g.core.Sealer().SealText(placeErased, customer); err != nil {
		return err
	}
	_, err = g.tx.ExecContext(ctx, `UPDATE erasures SET state = $1, customer = $2, mark = $3, seen = seen + $4, found = found + $5,
			erased = erased + $6, held = $7, notes = notes + $8, changed = changed + $9, next_at = $10 WHERE id = $11`,
		string(g.state), customer, g.mark, seen, found, g.erased, g.held, g.notes, g.rows, g.nextAt, s.ID)
	return err
}

// erase removes what may go, keeps a list of the rest, and at the end of the list
// decides how to go on.
func (g *erasing) erase(ctx context.Context) error {
	s, c := g.step, g.core
	if err := g.eraseEvents(ctx); err != nil || !s.over {
		return err
	}
	if s.State == hook.ErasureRunning {
		if !c.Many {
			err := c.each(ctx, g.tx, s.notes, `UPDATE rejections SET body = zeroblob(length(body)), headers = zeroblob(length(headers)) WHERE id`)
			if err != nil {
				return err
			}
		}
		if err := c.each(ctx, g.tx, s.notes, `DELETE FROM rejections WHERE id`); err != nil {
			return err
		}
		g.notes = len(s.notes)
	}
	var left int
	err := g.tx.QueryRowContext(ctx, `SELECT count(*) FROM erasure_events WHERE erasure = $1`, s.ID).Scan(&left)
	if err != nil {
		return err
	}
	if left == 0 && len(s.found) > 0 {
		// Departments come in a step that holds no lines: an effect that has the rows
		// they want may be waiting for one.
		g.state, g.mark = hook.ErasureWaiting, 0
		return nil
	}
	if left == 0 { // the work of an event that waits may still write, or tell, what is to be blanked
		if g.rows, err = g.departments(); err != nil {
			return fmt.Errorf("departments: %w", err)
		}
	}
	g.state = hook.ErasureCleaning
	if left > 0 {
		g.state, g.mark = hook.ErasureWaiting, 0
		g.nextAt += erasureWait.Microseconds()
	}
	return g.tx.QueryRowContext(ctx, `SELECT count(*) FROM erasure_events w JOIN event_keys k ON k.seq = w.seq JOIN events e ON e.seq = w.seq
		WHERE w.erasure = $1 AND `+held, s.ID).Scan(&g.held)
}

// eraseEvents erases those events that nothing needs; the others are left until
// their work or their hold has ended.
func (g *erasing) eraseEvents(ctx context.Context) error {
	s, c, tx := g.step, g.core, g.tx
	if len(s.found) == 0 {
		return nil
	}
	if err := c.lockEvents(ctx, tx, s.found); err != nil {
		return err
	}
	free, err := c.which(ctx, tx, s.found, `NOT (`+worked+` OR `+held+`)`, 0)
	if err != nil {
		return err
	}
	var left []int64
	for _, seq := range s.found {
		if !slices.Contains(free, seq) {
			left = append(left, seq)
		}
	}
	if err := c.eraseEvents(ctx, tx, free); err != nil {
		return err
	}
	g.erased = len(free)
	if s.State == hook.ErasureWaiting {
		for _, seq := range free {
			if _, err := tx.ExecContext(ctx, `DELETE FROM erasure_events WHERE erasure = $1 AND seq = $2`, s.ID, seq); err != nil {
				return err
			}
		}
		return nil
	}
	for _, seq := range left {
		_, err := tx.ExecContext(ctx, `INSERT INTO erasure_events (erasure, seq) VALUES ($1, $2) ON CONFLICT DO NOTHING`, s.ID, seq)
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseEvents removes what may be personal of events: their bodies, the values of
// their headers, other bytes under their keys, and what handlers said of failures.
// Keys, history, counts and sums stay, so that a redelivery is a duplicate.
func (c *Core) eraseEvents(ctx context.Context, tx Tx, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	if err := c.blankBodies(ctx, tx, seqs); err != nil {
		return err
	}
	if err := c.blankHeaders(ctx, tx, seqs); err != nil {
		return fmt.Errorf("blank headers: %w", err)
	}
	for _, statement := range []string{
		`DELETE FROM kept_back WHERE class IN ('` + classBodies + `', '` + classHints + `') AND seq`,
		`UPDATE attempts SET error = 'erased on request' WHERE error <> '' AND seq`,
		`UPDATE jobs SET last_error = 'erased on request' WHERE last_error <> '' AND seq`,
	} {
		if err := c.each(ctx, tx, seqs, statement); err != nil {
			return fmt.Errorf("erase events: %w", err)
		}
	}
	for _, seq := range seqs {
		if _, err := tx.ExecContext(ctx, `UPDATE event_keys SET erased_at = $1 WHERE seq = $2`, c.now(tx), seq); err != nil {
			return fmt.Errorf("mark an event as erased: %w", err)
		}
	}
	return nil
}

// classErased are events, kept back until the end of their erasure, whose bodies are
// blank and still have their rows.
const classErased = "erased"

// blankBodies removes bodies and other bytes. On SQLite they are first written over
// where they stand, and their rows go when all of the order are: a row that is
// removed makes its neighbours move, and what has moved leaves a copy behind in the
// free part of its page. Nobody reads a body of an event that is marked as erased.
func (c *Core) blankBodies(ctx context.Context, tx Tx, seqs []int64) error {
	if c.Many {
		return c.removeBodies(ctx, tx, seqs)
	}
	for _, statement := range []string{
		`UPDATE bodies SET body = zeroblob(length(body)) WHERE seq`,
		`UPDATE conflicts SET body = zeroblob(length(body)), headers = zeroblob(length(headers)) WHERE seq`,
		`INSERT INTO kept_back (class, seq) SELECT '` + classErased + `', seq FROM event_keys WHERE erased_at IS NULL AND seq`,
	} {
		if err := c.each(ctx, tx, seqs, statement); err != nil {
			return fmt.Errorf("write over bodies: %w", err)
		}
	}
	return c.Unindex(ctx, tx, seqs)
}

// clean removes the rows of bodies that were written over, some at a time; when none
// is left the order is done.
func (g *erasing) clean(ctx context.Context) error {
	var seqs []int64
	var seq int64
	err := eachRow(ctx, g.tx, `SELECT seq FROM kept_back WHERE class = $1 ORDER BY seq LIMIT $2`, []any{classErased, prunedAtOnce},
		[]any{&seq}, func() bool { seqs = append(seqs, seq); return true })
	if err != nil {
		return err
	}
	for _, table := range []string{"bodies", "conflicts", "kept_back"} {
		if err := g.core.each(ctx, g.tx, seqs, `DELETE FROM `+table+` WHERE seq`); err != nil {
			return err
		}
	}
	switch {
	case len(seqs) > 0:
	case g.step.bound == boundCancelled:
		g.state = hook.ErasureCancelled
	default:
		g.state = hook.ErasureDone
	}
	return nil
}

// blankHeaders keeps the names of headers only.
func (c *Core) blankHeaders(ctx context.Context, tx Tx, seqs []int64) error {
	type row struct {
		seq     int64
		key     eventKey
		headers []byte
	}
	var all []row
	err := parts(c, seqs, func(part []int64) error {
		in, args := c.in(part)
		var r row
		return eachRow(ctx, tx, `SELECT k.seq, k.source, k.mode, k.key, e.headers FROM `+c.joined(byNumber)+` WHERE k.seq `+in, args,
			[]any{&r.seq, &r.key.source, &r.key.mode, &r.key.key, &r.headers}, func() bool { all = append(all, r); return true })
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		h, _, err := c.open(r.key.place(), r.headers, nil)
		if err != nil {
			return err
		}
		for name := range h {
			h[name] = []string{""}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE events SET headers = $1 WHERE seq = $2`, encodeHeader(h), r.seq); err != nil {
			return err
		}
	}
	return nil
}
