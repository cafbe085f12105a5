package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// maxBatch bounds the deliveries of one transaction; see sqlstore.MaxBatchBytes too.
const maxBatch = 256

// maxName bounds what stands in an index: a row of one must fit into a third of a
// page.
const maxName = 512

// tightWait is how long the parts of a batch wait for a lock that the whole did
// not get in a second: it is the lock of one of them, and the others are waiting.
const tightWait = 100 * time.Millisecond

var errClosed = errors.New("the store is closed")

var _ hook.Lender = (*Store)(nil)

// Record implements hook.Recorder. It waits for the commit of a batch, at most
// RecordTimeout; after an error the row may exist.
func (s *Store) Record(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string) (hook.Receipt, error) {
	receipt, _, err := s.RecordAndLend(ctx, d, id, handlers, hook.Loan{})
	return receipt, err
}

// RecordAndLend implements hook.Lender.
func (s *Store) RecordAndLend(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string, loan hook.Loan) (hook.Receipt, []*hook.Job, error) {
	if inside(ctx, s) {
		return hook.Receipt{}, nil, hook.ErrInsideEffect
	}
	if err := hook.Outward(ctx, "record an event of %s", d.Source); err != nil {
		return hook.Receipt{}, nil, err
	}
	id.Key, id.Type, id.Subject = StoredName(id.Key), StoredName(id.Type), StoredName(id.Subject)
	e, err := s.core.NewEntry(d, id, handlers)
	if err != nil {
		return hook.Receipt{}, nil, err
	}
	e.Lend(loan)
	p := sqlstore.NewIncoming(e)
	if err := s.enqueue(p); err != nil {
		return hook.Receipt{}, nil, err
	}
	if fault.Mutant("ack_before_commit") {
		return hook.Receipt{}, nil, nil
	}
	return p.Wait(s.opt.RecordTimeout)
}

// StoredName is how a key, a type or a subject is kept: as it is, unless this
// database cannot hold it (no zero bytes, only UTF-8) or no index has room for it.
// Two different names stay different.
func StoredName(name string) string {
	kept := clean(name)
	if kept == name && len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	if len(kept) > maxName {
		kept = strings.ToValidUTF8(kept[:maxName/2], "")
	}
	return kept + "#" + hex.EncodeToString(sum[:])
}

func (s *Store) enqueue(p *sqlstore.Incoming) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.records <- p:
		return nil
	default:
		return fmt.Errorf("record: %d deliveries wait already: %w", cap(s.records), hook.ErrOverloaded)
	}
}

// Reject implements hook.Rejector.
func (s *Store) Reject(d hook.Delivery, reason hook.Reason, detail string) {
	s.rejections.Add(d, reason, detail)
}

// writeLoop is one of the writers: while one of them commits, the next batch
// gathers and the other writes it, beside it if it is a crowd. Only the first writes
// notes on refusals.
func (s *Store) writeLoop(first bool) {
	notes := time.NewTicker(noteEvery)
	defer notes.Stop()
	for {
		select {
		case p := <-s.records:
			s.recordBatch(p, first)
			continue
		default:
		}
		select {
		case p := <-s.records:
			s.recordBatch(p, first)
		case <-notes.C:
			if first {
				s.writeNotes(s.rejections.Due(s.clock()))
			}
		case <-s.stop:
			// Nothing is sent after stop; what was sent before is done first.
			for {
				select {
				case p := <-s.records:
					s.recordBatch(p, first)
					continue
				default:
				}
				return
			}
		}
	}
}

func (s *Store) recordBatch(first *sqlstore.Incoming, notes bool) {
	live := s.crowd.Gather(s.records, first, maxBatch)
	defer s.crowd.Done()
	var due []*hook.Rejection
	if notes {
		due = s.rejections.Due(s.clock())
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.RecordTimeout)
	defer cancel()
	s.commitBatch(ctx, live, due, lockWait)
}

// clock is for what needs no agreement with other nodes.
func (s *Store) clock() time.Time {
	if s.opt.Now != nil {
		return s.opt.Now()
	}
	return time.Now()
}

// commitBatch writes deliveries and answers them after the commit, never before.
// If the batch fails for a reason that may lie in one of its members it is halved,
// so that one cannot refuse its neighbours.
func (s *Store) commitBatch(ctx context.Context, batch []*sqlstore.Incoming, notes []*hook.Rejection, wait time.Duration) {
	if len(batch) == 0 {
		return
	}
	entries := sqlstore.Entries(batch)
	err := s.recordAll(ctx, entries, notes, wait)
	if err != nil && len(notes) > 0 {
		s.rejections.Forget()
		notes = nil // a note is never worth a delivery
		if !systemic(err) {
			err = s.recordAll(ctx, entries, nil, wait)
		}
	}
	if err != nil && again(err) {
		err = s.recordAll(ctx, entries, nil, wait)
	}
	if err != nil && len(batch) > 1 && !systemic(err) {
		s.commitBatch(ctx, batch[:len(batch)/2], nil, tightWait)
		s.commitBatch(ctx, batch[len(batch)/2:], nil, tightWait)
		return
	}
	switch {
	case err == nil:
		s.refused.Store(nil)
		s.core.Committed(entries)
		err = fault.Point("after-commit")
	case systemic(err):
		s.refused.Store(&refusal{time.Now(), err})
	}
	for _, p := range batch {
		p.Answer(err)
	}
}

func (s *Store) recordAll(ctx context.Context, entries []*sqlstore.Entry, notes []*hook.Rejection, wait time.Duration) error {
	t := transaction{lockWait: wait, limit: s.opt.RecordTimeout, late: sqlstore.Opens(entries)}
	return s.transact(ctx, s.write, t, func(ctx context.Context, tx *unit) error {
		if err := s.core.Record(ctx, tx, entries); err != nil {
			return err
		}
		if err := s.rejections.Write(ctx, tx, s.core, notes); err != nil {
			return err
		}
		return fault.Point("before-commit")
	})
}

// noteEvery is how long notes on refused deliveries wait for a batch to go with:
// what one node refuses the others show, also where nothing else comes.
const noteEvery = time.Second

// lastWords writes the notes that are still in memory.
func (s *Store) lastWords() { s.writeNotes(s.rejections.Take()) }

// writeNotes writes notes by themselves; what cannot be written is gone.
func (s *Store) writeNotes(notes []*hook.Rejection) {
	if len(notes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.transact(ctx, s.write, transaction{}, func(ctx context.Context, tx *unit) error {
		return s.rejections.Write(ctx, tx, s.core, notes)
	})
	if err != nil {
		s.rejections.Forget()
	}
}
