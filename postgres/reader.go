package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// Reader is a database opened for reading, beside the nodes that work with it.
type Reader struct{ s *Store }

var (
	_ hook.Ledger  = (*Reader)(nil)
	_ hook.Planner = (*Reader)(nil)
)

// OpenReadOnly connects to the database at url and changes nothing in it. Replay
// and Discard are refused: they need a node, or Open. Bodies and headers of an
// encrypted database can be read only with its keys.
func OpenReadOnly(ctx context.Context, url string, keys ...[]byte) (*Reader, error) {
	s, err := connect(url, Options{MaxConns: 6, EncryptionKeys: keys})
	if err != nil {
		return nil, err
	}
	err = s.reading(ctx, transaction{readOnly: true, bare: true}, func(ctx context.Context, tx *unit) error {
		version, err := schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		missing, err := sqlstore.Pending("postgres", version)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("schema %d lacks %d steps: run hookkeeper migrate up", version, len(missing))
		}
		if err := s.core.Load(ctx, tx); err != nil {
			return err
		}
		if s.core.Encrypts() { // without a key all but bodies and headers can be read
			if err := s.core.CheckKeys(ctx, tx); err != nil {
				return err
			}
		}
		return s.core.ReadWordsMany(ctx, tx)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.place, err), s.disconnect())
	}
	return &Reader{s}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.s.disconnect() }

// View implements hook.Viewer, beside the nodes that work with the database.
func (r *Reader) View(ctx context.Context, read func(ctx context.Context, tx hook.Tx) error) error {
	return r.s.View(ctx, read)
}

// Counts implements hook.Ledger.
func (r *Reader) Counts(ctx context.Context) (hook.Counts, error) { return r.s.Counts(ctx) }

// Events implements hook.Ledger.
func (r *Reader) Events(ctx context.Context, f hook.Filter) ([]*hook.EventInfo, string, error) {
	return r.s.Events(ctx, f)
}

// Event implements hook.Ledger.
func (r *Reader) Event(ctx context.Context, id string) (*hook.EventDetail, error) {
	return r.s.Event(ctx, id)
}

// History implements hook.Ledger.
func (r *Reader) History(ctx context.Context, write func(hook.HistoryLine) error) error {
	return r.s.History(ctx, write)
}

// Rejections implements hook.Ledger.
func (r *Reader) Rejections(ctx context.Context, source string, limit int) ([]*hook.Rejection, error) {
	return r.s.Rejections(ctx, source, limit)
}

// PlanReplay implements hook.Planner.
func (r *Reader) PlanReplay(ctx context.Context, id string, order hook.Replay) ([]hook.PlannedJob, error) {
	return r.s.PlanReplay(ctx, id, order)
}

// Tokens gives all operator tokens; see hook.TokenKeeper.
func (r *Reader) Tokens(ctx context.Context) ([]hook.TokenInfo, error) { return r.s.Tokens(ctx) }

// Nodes gives the nodes that work with the database; see hook.NodeKeeper.
func (r *Reader) Nodes(ctx context.Context) ([]hook.NodeInfo, error) { return r.s.Nodes(ctx) }

// Replay refuses: the database is open for reading.
func (r *Reader) Replay(context.Context, string, hook.Replay) (int, error) { return 0, r.refuse() }

// Discard refuses: the database is open for reading.
func (r *Reader) Discard(context.Context, string, string, string, string) error { return r.refuse() }

func (r *Reader) refuse() error {
	return fmt.Errorf("%s is open for reading: %w", r.s.place, hook.ErrRefused)
}
