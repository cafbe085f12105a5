//go:build linux || darwin || freebsd

package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.Spacer = (*Store)(nil)

// Space implements hook.Spacer.
func (s *Store) Space() (free, total int64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(s.path), &fs); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space of %s: %w", filepath.Dir(s.path), err)
	}
	size := int64(fs.Bsize)
	return int64(fs.Bavail) * size, int64(fs.Blocks) * size, nil
}
