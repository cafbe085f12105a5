package postgres

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// RecordTogether records deliveries in one transaction, as a writer does with those
// that have gathered.
func (s *Store) RecordTogether(ctx context.Context, deliveries []hook.Delivery, ids []hook.Identity) ([]hook.Receipt, error) {
	entries := make([]*sqlstore.Entry, len(ids))
	for i, id := range ids {
		var err error
		if entries[i], err = s.core.NewEntry(deliveries[i], id, nil); err != nil {
			return nil, err
		}
	}
	if err := s.recordAll(ctx, entries, nil, lockWait); err != nil {
		return nil, err
	}
	receipts := make([]hook.Receipt, len(ids))
	for i, e := range entries {
		receipts[i] = e.Receipt
	}
	return receipts, nil
}

// FinishTogether ends each job with its effect in one transaction, as a finisher does
// with those that have gathered.
func (s *Store) FinishTogether(ctx context.Context, jobs []*hook.Job, effects []hook.Effect) ([]error, error) {
	batch := make([]*finishing, len(jobs))
	for i, j := range jobs {
		batch[i] = &finishing{ctx: ctx, job: j, effect: effects[i]}
	}
	return s.finishTogether(ctx, batch)
}
