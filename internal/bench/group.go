package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Groups are CPU groups, one for each part of a measurement. A kernel that shares
// the CPU out by session gives each process of a database server as much as the
// whole of a receiver; in groups of their own the parts have equal shares,
// whatever they are made of. The zero value groups nothing.
type Groups struct {
	root string
	made []string
}

// NewGroups finds out whether this process may make groups. The error says why
// not; the returned Groups can be used all the same and leave everything where
// it is.
//
// Version 1 shows a tree for the CPU alone, version 2 one for everything.
func NewGroups() (*Groups, error) { return newGroups("/sys/fs/cgroup/cpu", "/sys/fs/cgroup") }

func newGroups(roots ...string) (*Groups, error) {
	var why error
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			why = errors.Join(why, err)
			continue
		}
		g := &Groups{root: filepath.Join(root, "hookkeeper-bench-"+strconv.Itoa(os.Getpid()))}
		if err := g.makeRoot(root); err != nil {
			why = errors.Join(why, err)
			continue
		}
		return g, nil
	}
	return &Groups{}, fmt.Errorf("no CPU group of its own for each part: %w", why)
}

func (g *Groups) makeRoot(parent string) error {
	// On version 2 the controller is passed on from level to level.
	pass := func(dir string) error {
		err := tell(filepath.Join(dir, "cgroup.subtree_control"), "+cpu")
		if errors.Is(err, os.ErrNotExist) {
			return nil // version 1
		}
		return err
	}
	if err := pass(parent); err != nil {
		return err
	}
	if err := os.Mkdir(g.root, 0o755); err != nil {
		return err
	}
	g.made = append(g.made, g.root)
	return pass(g.root)
}

// Put moves a process, with what it will start from then on, into the group of
// that name. One that has ended meanwhile, as those of a database's background do,
// is no error.
func (g *Groups) Put(name string, pid int) error {
	if g.root == "" {
		return nil
	}
	dir := filepath.Join(g.root, name)
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		g.made = append(g.made, dir)
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("make the CPU group %s: %w", name, err)
	}
	if err := tell(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("put a process into the CPU group %s: %w", name, err)
	}
	return nil
}

// Close removes the groups. Processes in them must have ended; the caller's own
// goes back to where everything is by default.
func (g *Groups) Close() error {
	if g.root == "" {
		return nil
	}
	back := tell(filepath.Join(filepath.Dir(g.root), "cgroup.procs"), strconv.Itoa(os.Getpid()))
	var errs []error
	for i := len(g.made) - 1; i >= 0; i-- {
		errs = append(errs, os.Remove(g.made[i]))
	}
	g.made = nil
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, back)
	}
	return nil
}

// tell writes into a file that the kernel has made.
func tell(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
