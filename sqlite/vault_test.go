package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func TestVault(t *testing.T) {
	hooktest.ExerciseVault(t, func(t *testing.T, clock *hooktest.Clock) hooktest.Reopen { return reopen(t.TempDir(), clock) })
}

func reopen(folder string, clock *hooktest.Clock) hooktest.Reopen {
	return func(keys ...[]byte) (hook.Store, error) {
		s, err := sqlite.Open(filepath.Join(folder, "hook.db"), sqlite.Options{Now: clock.Now, EncryptionKeys: keys})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// shown gives the canaries in all files of a folder.
func shown(t *testing.T, folder string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range hooktest.ShownCanaries(data) {
			found = append(found, f.Name()+": "+canary)
		}
	}
	return found
}

// No file of an encrypted database shows what it keeps, neither while it is worked
// nor afterwards; the same database without encryption shows it.
func TestNoFileShowsWhatIsSealed(t *testing.T) {
	t.Parallel()
	plain, sealed := t.TempDir(), t.TempDir()
	for folder, keys := range map[string][][]byte{plain: nil, sealed: {hooktest.EncryptionKey(1)}} {
		s, err := reopen(folder, hooktest.NewClock())(keys...)
		if err != nil {
			t.Fatal(err)
		}
		hooktest.FillCanaries(t, s, "e-")
		if found := shown(t, folder); (len(found) > 0) != (keys == nil) {
			t.Errorf("encrypted %t: while it is worked the files show %v", keys != nil, found)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if found := shown(t, plain); len(found) < len(hooktest.Canaries()) {
		t.Errorf("without encryption the files show only %v: this test could not fail", found)
	}
	if found := shown(t, sealed); len(found) > 0 {
		t.Errorf("with encryption the files show %v", found)
	}
}

// What was recorded before encryption was on leaves the files when it is sealed
// and they are written anew.
func TestSealingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := reopen(folder, hooktest.NewClock())()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // of many sizes: what is written over leaves some of them in holes
		hooktest.FillCanaries(t, s, fmt.Sprintf("%s%d-", strings.Repeat("e", i*17%300), i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = reopen(folder, hooktest.NewClock())(hooktest.EncryptionKey(1)); err != nil {
		t.Fatal(err)
	}
	if found := shown(t, folder); len(found) == 0 {
		t.Error("before it was sealed the files show nothing: this test could not fail")
	}
	hooktest.SealAll(t, s)
	if err := s.(*sqlite.Store).Scrub(t.Context()); err != nil {
		t.Errorf("scrub: %v", err)
	}
	if found := shown(t, folder); len(found) > 0 {
		t.Errorf("after it was sealed the files show %v", found)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found := shown(t, folder); len(found) > 0 {
		t.Errorf("after the end the files show %v", found)
	}
}

// Without a key all but bodies and headers can be looked at.
func TestReaderWithoutKey(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "hook.db")
	s, err := reopen(folder, hooktest.NewClock())(hooktest.EncryptionKey(1))
	if err != nil {
		t.Fatal(err)
	}
	hooktest.FillCanaries(t, s, "e-")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][][]byte{"without a key": nil, "with the key": {hooktest.EncryptionKey(1)}} {
		r, err := sqlite.OpenReadOnly(path, keys...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page, _, err := r.Events(t.Context(), hook.Filter{})
		if err != nil || len(page) != 3 {
			t.Fatalf("%s: %d events, %v; want 3", name, len(page), err)
		}
		if _, err := r.Event(t.Context(), page[0].ID); (err == nil) != (keys != nil) {
			t.Errorf("%s: show an event: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := sqlite.OpenReadOnly(path, hooktest.EncryptionKey(2)); err == nil {
		t.Error("another key opens the file")
	}
}

// A data key that has sealed as much as it may is followed by another.
func TestSpentDataKeyIsReplaced(t *testing.T) {
	t.Parallel()
	open := reopen(t.TempDir(), hooktest.NewClock())
	s, err := open(hooktest.EncryptionKey(1))
	if err != nil {
		t.Fatal(err)
	}
	n := hooktest.FillCanaries(t, s, "one-")
	err = s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE data_keys SET seals = $1`, int64(1)<<31-1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(hooktest.EncryptionKey(1)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n += hooktest.FillCanaries(t, s, "two-")
	keys, err := s.(hook.Vault).DataKeys(t.Context())
	if err != nil || len(keys) != 2 || !keys[0].Sealing || keys[0].Seals == 0 {
		t.Errorf("data keys: %+v, %v; want a second one that seals", keys, err)
	}
	page, _, err := s.Events(t.Context(), hook.Filter{})
	if err != nil || len(page) != n {
		t.Fatalf("%d events, %v; want %d", len(page), err, n)
	}
	for _, e := range page {
		if _, err := s.Event(t.Context(), e.ID); err != nil {
			t.Error(err)
		}
	}
}
