package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// partitioned are the tables that grow with every event, and the days that one
// partition of each holds. Bodies go by partition, so theirs are the shorter.
var partitioned = [...]struct {
	table string
	days  int64
}{{"bodies", 7}, {"events", 28}, {"attempts", 28}, {"event_words", 7}}

const microsADay = 86_400_000_000

// preparePartitions makes the partitions of now and of the time that follows. What
// has gone into a default partition meanwhile moves to its place.
func (s *Store) preparePartitions(ctx context.Context) error {
	for _, p := range partitioned {
		var missing []int64
		err := s.working(ctx, func(ctx context.Context, tx *unit) (err error) {
			first := tx.Now() / microsADay / p.days * p.days
			for _, day := range []int64{first, first + p.days} {
				var there bool
				row := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, "hookkeeper."+partitionName(p.table, day))
				if err := row.Scan(&there); err != nil {
					return err
				}
				if !there {
					missing = append(missing, day)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, day := range missing {
			err := s.transact(ctx, s.work, transaction{script: true}, func(ctx context.Context, tx *unit) error {
				return makePartition(ctx, tx, p.table, day, day+p.days)
			})
			if err != nil {
				return fmt.Errorf("make a partition of %s: %w", p.table, err)
			}
		}
	}
	return nil
}

// makePartition makes one partition for some days. If the process dies in here
// there is none, and the default partition has all it had.
func makePartition(ctx context.Context, tx *unit, table string, from, to int64) error {
	if err := tx.Lock(ctx, "partitions"); err != nil {
		return err
	}
	name := partitionName(table, from)
	var there bool
	// Not by to_regclass: what the session remembers of a name that was not there
	// outlives the wait for the lock.
	row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'hookkeeper' AND c.relname = $1)`, name)
	if err := row.Scan(&there); err != nil || there {
		return err
	}
	low, high := sqlstore.SeqAt(from*microsADay), sqlstore.SeqAt(to*microsADay)
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING ALL);
		LOCK TABLE %[2]s_default IN ACCESS EXCLUSIVE MODE;
		WITH moved AS (DELETE FROM %[2]s_default WHERE seq >= %[3]d AND seq < %[4]d RETURNING *)
			INSERT INTO %[1]s SELECT * FROM moved;
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM (%[3]d) TO (%[4]d)`, name, table, low, high))
	return err
}

// partitionName carries the first day of a partition, for people and for
// dropPartitions.
func partitionName(table string, day int64) string {
	return table + "_" + time.UnixMicro(day*microsADay).UTC().Format("20060102")
}

// dropPartitions drops the partitions of bodies that retention no longer keeps, and
// returns how many bodies went. What is still needed moves to the default partition
// in the same transaction: a crash leaves all of it in the one place or the other.
func (s *Store) dropPartitions(ctx context.Context, keep time.Duration) (gone int, err error) {
	if keep <= 0 {
		return 0, nil
	}
	names, before, err := s.partitionsOf(ctx, "bodies")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		day, err := time.Parse("20060102", strings.TrimPrefix(name, "bodies_"))
		if err != nil {
			continue // the default one
		}
		if day.UnixMicro()+(partitioned[0].days*microsADay) > before-keep.Microseconds() {
			continue
		}
		n := 0
		t := transaction{script: true, limit: 5 * time.Minute}
		err = s.transact(ctx, s.work, t, func(ctx context.Context, tx *unit) (err error) {
			n, err = dropPartition(ctx, tx, name)
			return err
		})
		if err != nil {
			return gone, fmt.Errorf("drop %s: %w", name, err)
		}
		gone += n
	}
	return gone, nil
}

func (s *Store) partitionsOf(ctx context.Context, table string) (names []string, now int64, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *unit) error {
		now = tx.Now()
		rows, err := tx.QueryContext(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`, "hookkeeper."+table)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names, now, err
}

// dropPartition counts before it takes the lock that keeps readers out.
func dropPartition(ctx context.Context, tx *unit, name string) (gone int, err error) {
	if err := tx.Lock(ctx, "partitions", sqlstore.RetentionLock); err != nil {
		return 0, err
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, "hookkeeper."+name).Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+name).Scan(&gone); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, `ALTER TABLE bodies DETACH PARTITION `+name); err != nil {
		return 0, err
	}
	moved, err := tx.ExecContext(ctx, `INSERT INTO bodies SELECT b.* FROM `+strconv.Quote(name)+` b WHERE `+sqlstore.Needed())
	if err != nil {
		return 0, err
	}
	kept, err := moved.RowsAffected()
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, `DROP TABLE `+name); err != nil {
		return 0, err
	}
	return gone - int(kept), dropWords(ctx, tx, strings.TrimPrefix(name, "bodies_"))
}

// dropWords drops the words of bodies whose partition is gone, except of those
// that were kept. It comes after the bodies, as when the index is filled.
func dropWords(ctx context.Context, tx *unit, day string) error {
	name := "event_words_" + day
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, "hookkeeper."+name).Scan(&there); err != nil || !there {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE event_words DETACH PARTITION %[1]s;
		INSERT INTO event_words SELECT w.* FROM %[1]s w WHERE EXISTS (SELECT 1 FROM bodies b WHERE b.seq = w.seq);
		DROP TABLE %[1]s`, strconv.Quote(name)))
	return err
}
