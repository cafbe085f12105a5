package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// Bounds of what is kept prepared: the writer's own statements are about a
// hundred; effects may send anything, so theirs are few and apart.
const (
	maxStatements = 400
	maxEffects    = 64
)

// statements keeps prepared what the writer's connection runs again and again:
// preparing would cost as much as running. When it is full it begins anew.
type statements struct {
	conn *sql.Conn
	max  int

	mu       sync.Mutex
	prepared map[string]*sql.Stmt // guarded by mu
}

func newStatements(conn *sql.Conn, most int) *statements {
	return &statements{conn: conn, max: most, prepared: map[string]*sql.Stmt{}}
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.prepared[query]; ok {
		return st, nil
	}
	if len(s.prepared) >= s.max {
		if err := s.clear(); err != nil {
			return nil, err
		}
	}
	st, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.prepared[query] = st
	}
	return st, err
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clear()
}

func (s *statements) clear() error {
	var errs []error
	for query, st := range s.prepared {
		errs = append(errs, st.Close())
		delete(s.prepared, query)
	}
	return errors.Join(errs...)
}

// unit is one transaction of the writer. Its own methods run prepared
// statements on the writer's connection, so inside the transaction that is open
// on it; Tx is the transaction itself, for effects.
type unit struct {
	Tx         *sql.Tx
	statements *statements
}

func (u *unit) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := u.statements.get(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (u *unit) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := u.statements.get(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (u *unit) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := u.statements.get(ctx, query)
	if err != nil {
		return u.Tx.QueryRowContext(ctx, query, args...) // it will say what is wrong
	}
	return st.QueryRowContext(ctx, args...)
}

// hotReads runs the reads of every claim prepared, on any of the readers.
type hotReads struct {
	db *sql.DB

	mu       sync.RWMutex
	prepared map[string]*sql.Stmt // guarded by mu
}

func (h *hotReads) get(ctx context.Context, query string) (*sql.Stmt, error) {
	h.mu.RLock()
	st := h.prepared[query]
	h.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if st := h.prepared[query]; st != nil {
		return st, nil
	}
	st, err := h.db.PrepareContext(ctx, query)
	if err == nil {
		h.prepared[query] = st // a handful: the sizes of one statement, and the look for due jobs
	}
	return st, err
}

func (h *hotReads) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, st := range h.prepared {
		errs = append(errs, st.Close())
	}
	return errors.Join(errs...)
}

func (h *hotReads) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("the readers do not write")
}

func (h *hotReads) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := h.get(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (h *hotReads) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := h.get(ctx, query)
	if err != nil {
		return h.db.QueryRowContext(ctx, query, args...) // it will say what is wrong
	}
	return st.QueryRowContext(ctx, args...)
}
