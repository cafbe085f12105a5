package sqlstore

import (
	"context"
	"fmt"
)

// within leaves out jobs from the first one on with which the bodies of all
// would be larger than most: they are all in memory at the same time. One is
// always left, however large.
func (c *Core) within(ctx context.Context, tx Tx, ids []int64, most int64) ([]int64, error) {
	if most <= 0 || len(ids) < 2 {
		return ids, nil
	}
	sizes := make(map[int64]int64, len(ids))
	err := parts(c, ids, func(part []int64) error {
		cond, args := c.in(part)
		rows, err := tx.QueryContext(ctx, `SELECT j.id, e.size FROM jobs j JOIN events e ON e.seq = j.seq WHERE j.id `+cond, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, size int64
			if err := rows.Scan(&id, &size); err != nil {
				return err
			}
			sizes[id] = size
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look at the sizes of due jobs: %w", err)
	}
	return fitting(ids, sizes, most), nil
}

// fitting is the beginning of ids whose bodies fit, at least the first; most 0 is
// no bound.
func fitting(ids []int64, sizes map[int64]int64, most int64) []int64 {
	sum := int64(0)
	for i, id := range ids {
		if sum += sizes[id]; most > 0 && sum > most && i > 0 {
			return ids[:i]
		}
	}
	return ids
}
