package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// laterResult is the result of a statement that an effect of a Batch route has
// handed in and that goes out together with those of other effects: a round trip
// for each would cost more than the statements. Who asks for it has the statements
// sent at once.
type laterResult struct {
	g         *guard
	statement *pgx.QueuedQuery
	tag       pgconn.CommandTag
	known     bool
}

func (r *laterResult) set(tag pgconn.CommandTag) error {
	r.tag, r.known = tag, true
	return nil
}

// LastInsertId is not known to this database: use RETURNING.
func (r *laterResult) LastInsertId() (int64, error) {
	return 0, errors.New("this database has no last id: use RETURNING")
}

// RowsAffected sends what waits and returns what became of this statement.
func (r *laterResult) RowsAffected() (int64, error) {
	if rows, known := r.rows(); known {
		return rows, nil
	}
	ctx, leave, err := r.g.enter(context.Background(), "")
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := r.g.flush(ctx); err != nil { // nothing, if somebody has sent it meanwhile
		return 0, err
	}
	return r.tag.RowsAffected(), nil
}

func (r *laterResult) rows() (n int64, known bool) {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return r.tag.RowsAffected(), r.known
}
