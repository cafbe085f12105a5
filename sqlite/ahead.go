package sqlite

import (
	"context"
	"fmt"
)

// A commit ahead of the disk is one whose effect and whose end of a job are in the
// WAL, in a transaction of their own, but not yet synced: one sync of the WAL serves
// all commits before it. Until then nobody who asked for it is answered, and nobody
// who may have read it is given what he read. A process that dies loses none of it;
// a power cut before the sync loses whole transactions from the end of the WAL, and
// their jobs are worked again.

// syncLevel is a value of PRAGMA synchronous.
type syncLevel int

const (
	syncLater syncLevel = 1 // NORMAL: the WAL is synced by a later commit
	syncFull  syncLevel = 2 // FULL: the commit returns when it is on disk
)

// setLevel sets how the next commits of the writer's connection go to the disk.
func (s *Store) setLevel(ctx context.Context, level syncLevel) error {
	if s.level == level {
		return nil
	}
	// SQLite obeys this one while it compiles it: a prepared one would do nothing.
	if _, err := s.conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA synchronous = %d`, level)); err != nil {
		return fmt.Errorf("set the level of syncing: %w", err)
	}
	s.level = level
	return nil
}

// performAhead commits an operation ahead of the disk. It is answered by the next
// commit that is synced; one that fails is answered at once, for nothing of it exists.
func (s *Store) performAhead(o *op) {
	if s.ahead.Load() == nil {
		until := make(chan struct{})
		s.ahead.Store(&until)
	}
	if err := s.commit(syncLater, o.run); err != nil {
		o.done <- err
		return
	}
	s.owed = append(s.owed, o)
}

// synced answers whoever waited for the disk; with an error if it is not known
// whether their commits are on it.
func (s *Store) synced(err error) {
	for _, o := range s.owed {
		o.done <- err
	}
	clear(s.owed)
	s.owed = s.owed[:0]
	if until := s.ahead.Swap(nil); until != nil {
		close(*until)
	}
}

// settle syncs what no other commit has synced, by a small one.
func (s *Store) settle() {
	if len(s.owed) == 0 {
		s.synced(nil)
		return
	}
	err := s.transact(func(ctx context.Context, tx *unit) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('synced', x'01')
			ON CONFLICT (name) DO UPDATE SET value = CASE value WHEN x'01' THEN x'02' ELSE x'01' END`)
		return err
	})
	if err != nil {
		s.synced(fmt.Errorf("committed, but not synced: %w", err))
	}
}

// onDisk waits until all that a reader may have seen is on disk.
func (s *Store) onDisk(ctx context.Context) error {
	until := s.ahead.Load()
	if until == nil {
		return nil
	}
	select {
	case <-*until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
