package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	driver "modernc.org/sqlite"
)

// Bounds of what goes to the disk together.
const (
	maxBatch  = 512 // deliveries of one transaction
	maxShared = 512 // operations of the queue, of one transaction or one sync
	maxAlone  = 64  // effects with a transaction each, of one sync
)

// op is another transaction's work. Shared ones go into one commit; if anything
// in it fails each is run again alone.
type op struct {
	shared bool
	run    func(ctx context.Context, tx *unit) error
	finish *finishing // set for the ends of jobs, which go together
	done   chan error // buffered
}

var errClosed = errors.New("the store is closed")

// write is the writer goroutine: the only one that changes the file. While one
// batch commits, the next one gathers. Deliveries and work take turns, a
// transaction each: no queue makes a sender wait for more than one of them, and
// no stream of deliveries keeps the work from its turn.
func (s *Store) write() {
	defer close(s.stopped)
	for {
		s.keepNumbers()
		s.keepSeals()
		busy := s.turn()
		if busy {
			continue
		}
		select {
		case p := <-s.records:
			s.recordBatch(p)
		case o := <-s.ops:
			s.perform(o)
		case <-s.stop:
			// Nothing is sent after stop; what was sent before is done first.
			for s.turn() {
			}
			s.lastWords()
			return
		}
	}
}

// turn does one transaction of each kind that is waiting.
func (s *Store) turn() (busy bool) {
	select {
	case p := <-s.records:
		s.recordBatch(p)
		busy = true
	default:
	}
	select {
	case o := <-s.ops:
		s.perform(o)
		busy = true
	default:
	}
	return busy
}

// lastWords writes the rejections that are still in memory.
func (s *Store) lastWords() {
	notes := s.rejections.Take()
	if len(notes) == 0 {
		return
	}
	_ = s.transact(func(ctx context.Context, tx *unit) error { return s.rejections.Write(ctx, tx, s.core, notes) })
}

func (s *Store) keepNumbers() {
	if !s.core.NumbersLow() {
		return
	}
	var adopt func()
	err := s.transact(func(ctx context.Context, tx *unit) (err error) {
		adopt, err = s.core.ReserveNumbers(ctx, tx)
		return err
	})
	if err == nil {
		adopt() // otherwise the numbers left suffice until the next try
	}
}

// keepSeals gets leave to seal more before what is left runs out.
func (s *Store) keepSeals() {
	if !s.core.LowSeals() {
		return
	}
	var adopt func()
	err := s.transact(func(ctx context.Context, tx *unit) (err error) {
		adopt, err = s.core.LoadKeys(ctx, tx)
		return err
	})
	if err == nil {
		adopt()
	}
}

func (s *Store) recordBatch(first *sqlstore.Incoming) {
	s.commitBatch(sqlstore.Gather(s.records, first, maxBatch))
}

// commitBatch writes deliveries and answers them after the commit, never
// before. If the batch fails for a reason that may lie in one of its members it
// is halved, so that one cannot refuse its neighbours.
func (s *Store) commitBatch(batch []*sqlstore.Incoming) {
	if len(batch) == 0 {
		return
	}
	entries := sqlstore.Entries(batch)
	if fault.Mutant("shared_tx_rollback") {
		s.mutantShared(batch, entries)
		return
	}
	notes := s.rejections.Due(s.opt.Now())
	err := s.recordAll(entries, notes)
	if err != nil && len(notes) > 0 {
		s.rejections.Forget()
		err = s.recordAll(entries, nil) // a note is never worth a delivery
	}
	if err != nil && len(batch) > 1 && !systemic(err) {
		s.commitBatch(batch[:len(batch)/2])
		s.commitBatch(batch[len(batch)/2:])
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

func (s *Store) recordAll(entries []*sqlstore.Entry, notes []*hook.Rejection) error {
	return s.transact(func(ctx context.Context, tx *unit) error {
		if err := s.core.Record(ctx, tx, entries); err != nil {
			return err
		}
		if err := s.rejections.Write(ctx, tx, s.core, notes); err != nil {
			return err
		}
		return fault.Point("before-commit")
	})
}

// mutantShared is a known mistake for the tests: deliveries share a transaction
// with an effect, and are answered before it ends.
func (s *Store) mutantShared(batch []*sqlstore.Incoming, entries []*sqlstore.Entry) {
	_ = s.transact(func(ctx context.Context, tx *unit) error {
		err := s.core.Record(ctx, tx, entries)
		for _, p := range batch {
			p.Answer(err)
		}
		select {
		case o := <-s.ops:
			err = o.run(ctx, tx)
			o.done <- err
		default:
		}
		return err
	})
}

// transact runs f in one transaction on the writer's connection, and returns once
// its commit is on disk, and with it all that was committed before. After an error
// nothing of it exists. No context can end it halfway: an interrupted statement
// would end the transaction behind our back.
func (s *Store) transact(f func(ctx context.Context, tx *unit) error) error {
	err := s.commit(syncFull, f)
	if err == nil {
		s.synced(nil)
	}
	return err
}

// commit runs f in one transaction at a level of syncing.
func (s *Store) commit(level syncLevel, f func(ctx context.Context, tx *unit) error) error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	ctx := context.Background()
	if err := s.setLevel(ctx, level); err != nil {
		return s.noticed(err)
	}
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return s.noticed(fmt.Errorf("begin: %w", err))
	}
	if err := f(ctx, &unit{Tx: tx, statements: s.statements}); err != nil {
		_ = tx.Rollback() // SQLite may have rolled back already; both end with nothing
		return s.noticed(err)
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		return s.noticed(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// Primary and extended result codes of SQLite that concern the whole database.
const (
	codeBusy, codeReadOnly, codeIO, codeFull, codeCantOpen = 5, 8, 10, 13, 14

	codeIOFsync    = codeIO | 4<<8
	codeIODirFsync = codeIO | 5<<8
)

func resultCode(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code()
	}
	return 0
}

// systemic errors would meet every other transaction too.
func systemic(err error) bool {
	switch resultCode(err) & 0xff {
	case codeBusy, codeReadOnly, codeIO, codeFull, codeCantOpen:
		return true
	}
	return false
}

// noticed stops all writing after a failed fsync: the kernel may have dropped
// the pages, and a second fsync could lie. Only a restart tells what is on disk.
func (s *Store) noticed(err error) error {
	switch resultCode(err) {
	case codeIOFsync, codeIODirFsync:
		fatal := fmt.Errorf("a failed fsync: restart to learn what is on disk: %w", err)
		s.broken.CompareAndSwap(nil, &fatal)
	}
	return err
}

// Broken returns the error after which the store refuses to write for ever, or
// nil. The process should end and be started again.
func (s *Store) Broken() error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// submit hands work to the writer and waits for its end.
func (s *Store) submit(ctx context.Context, shared bool, run func(ctx context.Context, tx *unit) error) error {
	return s.hand(ctx, &op{shared: shared, run: run})
}

func (s *Store) hand(ctx context.Context, o *op) error {
	if inside(ctx, s) {
		return hook.ErrInsideEffect
	}
	o.done = make(chan error, 1)
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return errClosed
	}
	select {
	case s.ops <- o:
		s.mu.RUnlock()
	case <-ctx.Done():
		s.mu.RUnlock()
		return ctx.Err()
	}
	// From here on the work will be done; leaving early would only hide how it
	// ended.
	return <-o.done
}
