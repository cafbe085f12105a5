package sqlstore

import (
	"context"
	"fmt"

	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// claim is what the row of a running job tells of its attempt, which gets a row of
// its own only when it ends.
type claim struct {
	no, startedAt, leaseUntil int64
	node                      string
	madeNo, madeAt            int64
}

// claimColumns are those of jobs that fields takes.
const claimColumns = `claim_no, started_at, lease_until, lease_by, made_no, made_at`

func (a *claim) fields() []any {
	return []any{&a.no, &a.startedAt, &a.leaseUntil, &a.node, &a.madeNo, &a.madeAt}
}

// ended is how attempts have ended, all at the same time.
type ended struct {
	outcome string
	at      int64
	cause   string
	final   bool // it is a transition of its own, and not one with the claim that follows
}

// noteAttempts writes the rows of attempts that have just ended, in the transaction
// that ends them.
func (c *Core) noteAttempts(ctx context.Context, tx Tx, ends []*Ending, how ended) error {
	no := &drawn{}
	if how.final {
		var err error
		if no, err = c.draw(ctx, tx, len(ends)); err != nil {
			return err
		}
	}
	err := bulk(c, ends, attemptKinds, func(args []any, e *Ending) []any {
		var endNo, cause any
		if how.final {
			endNo = no.take()
		}
		if how.cause != "" {
			cause = cut(how.cause, MaxErrorBytes)
		}
		a := &e.claim
		return append(args, e.seq, e.handler, e.generation, e.attempt, a.no, a.startedAt, a.leaseUntil, a.node,
			a.madeNo, a.madeAt, endNo, how.at, how.outcome, cause)
	}, func(_ []*Ending, source string, args []any) error {
		_, err := tx.ExecContext(ctx, noteSQL(source), args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the end of attempts: %w", err)
	}
	return nil
}

const attemptKinds = "itiiiiitiinito"

func noteSQL(source string) string {
	note := `INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node,
		made_no, made_at, end_no, ended_at, outcome, error) ` + source
	if fault.Mutant("no_fence") { // what has ended may end again
		note += ` ON CONFLICT DO NOTHING`
	}
	return note
}
