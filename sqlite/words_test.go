package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/words"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// shelf is a store whose bodies are searched.
type shelf struct {
	*sqlite.Store
	t     *testing.T
	path  string
	clock *hooktest.Clock
}

func openShelf(t *testing.T, path string, search *hook.Search) *shelf {
	t.Helper()
	s := &shelf{t: t, path: path, clock: hooktest.NewClock()}
	var err error
	if s.Store, err = sqlite.Open(path, sqlite.Options{Now: s.clock.Now, Search: search}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *shelf) record(key, text string) {
	s.t.Helper()
	d := hook.Delivery{Source: "shop", Header: http.Header{}, Body: []byte(`{"text":"` + text + `"}`), ReceivedAt: s.clock.Now()}
	if _, err := s.Record(s.t.Context(), d, hook.Identity{Key: key, Type: "a", Trust: hook.TrustSignature}, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) index() {
	s.t.Helper()
	for range 1000 {
		busy, err := s.IndexWords(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if n, err := s.Indexed(s.t.Context()); err == nil && n.Behind == 0 && !busy {
			return
		}
	}
	s.t.Fatal("the index does not get on")
}

// erase lets retention remove every body that is there.
func (s *shelf) erase() {
	s.t.Helper()
	s.clock.Advance(48 * time.Hour)
	r, err := s.Sweep(s.t.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: time.Hour}}})
	if err != nil || r.Pruned == 0 {
		s.t.Fatalf("pruned %d, %v", r.Pruned, err)
	}
}

func find(t *testing.T, l hook.Ledger, text string) string {
	t.Helper()
	page, _, err := l.Events(t.Context(), hook.Filter{Words: text})
	if err != nil {
		t.Fatalf("search %s: %v", text, err)
	}
	keys := make([]string, len(page))
	for i, e := range page {
		keys[i] = e.Key
	}
	return strings.Join(keys, " ")
}

// rowsOf counts what the index itself has of a word.
func (s *shelf) rowsOf(word string) (n int) {
	s.t.Helper()
	rows, err := sqlite.Side(s.Store).QueryContext(s.t.Context(), sqlite.CandidatesSQL, `"`+word+`"`, 0, 1<<60, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n
}

// An index that is broken, missing, or of another lexicon, database or past is made
// anew, and nothing that was recorded is missing from it.
func TestIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	search := &hook.Search{Words: true}
	for name, harm := range map[string]func(t *testing.T, path string) *hook.Search{
		"missing": func(t *testing.T, path string) *hook.Search { remove(t, path+".search"); return search },
		"garbage": func(t *testing.T, path string) *hook.Search {
			write(t, path+".search", bytes.Repeat([]byte("garbage "), 4096))
			return search
		},
		"broken inside": func(t *testing.T, path string) *hook.Search {
			b := read(t, path+".search")
			const page = 8192 // the first two hold the schema and the state
			write(t, path+".search", append(b[:2*page:2*page], bytes.Repeat([]byte{0xff}, len(b)-2*page)...))
			return search
		},
		"empty":           func(t *testing.T, path string) *hook.Search { write(t, path+".search", nil); return search },
		"another lexicon": func(*testing.T, string) *hook.Search { return &hook.Search{Words: true, Paths: []string{"text"}} },
		"another database": func(t *testing.T, path string) *hook.Search {
			other := openShelf(t, filepath.Join(t.TempDir(), "other.db"), search)
			other.record("x", "foreign")
			other.record("y", "foreign")
			other.index()
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			write(t, path+".search", read(t, other.path+".search"))
			return search
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hook.db")
			s := openShelf(t, path, search)
			s.record("a", "first common")
			s.record("b", "second common")
			s.index()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openShelf(t, path, harm(t, path))
			s.record("c", "third common")
			s.index()
			if got := find(t, s, "common"); got != "c b a" {
				t.Errorf("found %q, want c b a", got)
			}
			if n := s.rowsOf("foreign"); n != 0 {
				t.Errorf("%d rows of another database", n)
			}
		})
	}
}

// A database that was put back to an earlier state numbers other events with the
// numbers that the index knows.
func TestIndexOfARestoredDatabaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	s := openShelf(t, path, &hook.Search{Words: true})
	s.record("a", "first")
	s.index()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup := read(t, path)
	s = openShelf(t, path, &hook.Search{Words: true})
	s.record("lost", "lost")
	s.index()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, backup)
	remove(t, path+"-wal")
	off, err := sqlite.Open(path, sqlite.Options{}) // so that the other event is there before the index is looked at
	if err != nil {
		t.Fatal(err)
	}
	(&shelf{Store: off, t: t, clock: hooktest.NewClock()}).record("other", "other")
	if err := off.Close(); err != nil {
		t.Fatal(err)
	}
	s = openShelf(t, path, &hook.Search{Words: true})
	s.index()
	if n := s.rowsOf("lost"); n != 0 {
		t.Errorf("the index still has what the database never recorded")
	}
	if got := find(t, s, "other"); got != "other" {
		t.Errorf("found %q, want other", got)
	}
}

// What is erased leaves the index, and soon its file; also if the body was being
// indexed at that moment.
func TestErasedWordsLeaveTheIndex(t *testing.T) {
	t.Parallel()
	s := openShelf(t, filepath.Join(t.TempDir(), "hook.db"), &hook.Search{Words: true})
	s.record("early", "zzcanaryone")
	s.index()
	if !s.onDisk("zzcanaryone") {
		t.Fatal("the word never was in the file: this test cannot fail")
	}
	s.record("late", "zzcanarytwo")
	if err := sqlite.Step(t.Context(), s.Store, s.erase); err != nil {
		t.Fatal(err)
	}
	if n := s.rowsOf("zzcanarytwo"); n != 1 {
		t.Fatalf("%d rows: the step did not read the body before it was erased", n)
	}
	s.index()
	for _, word := range []string{"zzcanaryone", "zzcanarytwo"} {
		if n := s.rowsOf(word); n != 0 {
			t.Errorf("%s: the index still has it", word)
		}
		if s.onDisk(word) {
			t.Errorf("%s is still in the file", word)
		}
	}
	s.record("again", "zzcanaryone")
	s.index()
	if got := find(t, s, "zzcanaryone"); got != "again" {
		t.Errorf("found %q, want again", got)
	}
}

func (s *shelf) onDisk(word string) bool {
	s.t.Helper()
	return bytes.Contains(read(s.t, s.path+".search"), []byte(word)) || bytes.Contains(read(s.t, s.path+".search-wal"), []byte(word))
}

// Erasing without an index leaves no list behind, and switching the search off
// removes what it has left.
func TestSearchIsSwitchedOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	s := openShelf(t, path, &hook.Search{Words: true})
	s.record("a", "word")
	s.index()
	s.erase()
	if n := s.listed(); n != 1 {
		t.Errorf("%d events to forget, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openShelf(t, path, &hook.Search{})
	if busy, err := s.IndexWords(t.Context()); err != nil || busy {
		t.Errorf("busy %t, %v", busy, err)
	}
	if _, err := os.Stat(path + ".search"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the index is still there: %v", err)
	}
	if _, _, err := s.Events(t.Context(), hook.Filter{Words: "word"}); !errors.Is(err, hook.ErrBadFilter) {
		t.Errorf("a search without an index: %v", err)
	}
	s.record("b", "word")
	s.erase()
	if n := s.listed(); n != 0 {
		t.Errorf("%d events are listed for an index that is not there", n)
	}
}

// listed counts the events that the index has to forget.
func (s *shelf) listed() (n int) {
	s.t.Helper()
	err := s.View(s.t.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM unindexed`).Scan(&n)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// A command that only reads searches beside the server, and says what it lacks.
func TestReadersSearch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	s := openShelf(t, path, &hook.Search{Words: true, Paths: []string{"text"}})
	s.record("a", "Word")
	refused := func(want string) {
		t.Helper()
		r, err := sqlite.OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, _, err := r.Events(t.Context(), hook.Filter{Words: "word"}); !errors.Is(err, hook.ErrBadFilter) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	refused("no index of words")
	s.index()
	r, err := sqlite.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := find(t, r, "word"); got != "a" {
		t.Errorf("found %q, want a", got)
	}
	page, _, err := r.Events(t.Context(), hook.Filter{Path: "text", Value: "Word"})
	if err != nil || len(page) != 1 {
		t.Errorf("by a named path: %d events, %v", len(page), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openShelf(t, path, &hook.Search{Paths: []string{"text"}, Key: []byte("secret")})
	s.index()
	refused("a key that only the server has")
}

// The store closes while its index is being filled and searched.
func TestCloseBesideTheIndex(t *testing.T) {
	t.Parallel()
	s := openShelf(t, filepath.Join(t.TempDir(), "hook.db"), &hook.Search{Words: true})
	for i := range 50 {
		s.record(fmt.Sprint(i), "word")
	}
	var all sync.WaitGroup
	begun := make(chan struct{}, 2)
	for _, do := range []func() error{
		func() error { _, err := s.IndexWords(context.Background()); return err },
		func() error { _, _, err := s.Events(context.Background(), hook.Filter{Words: "word"}); return err },
	} {
		all.Go(func() {
			for i := 0; ; i++ {
				if err := do(); err != nil && i > 3 {
					return
				}
				if i == 3 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	<-begun
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	all.Wait()
}

// The index is gone through by numbers, backwards, and nothing is sorted.
func TestTheIndexIsAskedBackwards(t *testing.T) {
	t.Parallel()
	s := openShelf(t, filepath.Join(t.TempDir(), "hook.db"), &hook.Search{Words: true})
	s.record("a", "word")
	s.index()
	rows, err := sqlite.Side(s.Store).QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+sqlite.CandidatesSQL, `"word"`, 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if len(plan) != 1 || !strings.Contains(plan[0], "VIRTUAL TABLE INDEX") || !strings.Contains(plan[0], "M1") {
		t.Errorf("the plan is %q", plan)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// Encrypted bodies give no words, only hashes of named paths that cannot be made
// without the key.
func TestEncryptedBodiesGiveNoWords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	store, err := sqlite.Open(path, sqlite.Options{EncryptionKeys: [][]byte{key}, Search: &hook.Search{Words: true, Paths: []string{"text"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{Store: store, t: t, path: path, clock: hooktest.NewClock()}
	defer s.Close()
	s.record("a", "zzcanary")
	s.index()
	if s.onDisk("zzcanary") {
		t.Error("the index tells a word of an encrypted body")
	}
	if _, _, err := s.Events(t.Context(), hook.Filter{Words: "zzcanary"}); !errors.Is(err, hook.ErrBadFilter) {
		t.Errorf("words of encrypted bodies: %v", err)
	}
	reader, err := sqlite.OpenReadOnly(path, key)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, l := range []hook.Ledger{s, reader} {
		page, _, err := l.Events(t.Context(), hook.Filter{Path: "text", Value: "zzcanary"})
		if err != nil || len(page) != 1 {
			t.Errorf("by a named path: %d events, %v", len(page), err)
		}
	}
	plain, err := words.New(false, []string{"text"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.onDisk(plain.Terms([]byte(`{"text":"zzcanary"}`))[0]) {
		t.Error("the hash of a value can be made without the key")
	}
}

// A search whose time is up says how far it came, and its pages still find all.
func TestASearchEndsEarlyAndGoesOn(t *testing.T) {
	t.Parallel()
	s := openShelf(t, filepath.Join(t.TempDir(), "hook.db"), &hook.Search{Words: true, Paths: []string{"text"}})
	for i := range 30 {
		s.record(fmt.Sprint(i), []string{"one two", "two one"}[i%2])
	}
	s.index()
	sqlite.Hurry(s.Store)
	for _, f := range []hook.Filter{{Words: "two", Path: "a", Value: "one"}, {Words: "two one"}, {Path: "text", Value: "one two"}} {
		found, short := 0, 0
		for page := 0; ; page++ {
			list, next, err := s.Events(t.Context(), f)
			if err != nil || page > 100 {
				t.Fatalf("%+v: page %d, %v", f, page, err)
			}
			if found += len(list); next == "" {
				break
			}
			if f.Cursor = next; len(list) < 30 {
				short++
			}
		}
		if want := map[string]int{"two": 0, "two one": 30, "": 15}[f.Words]; found != want || short == 0 {
			t.Errorf("%+v: %d events, want %d; %d short pages, want some", f, found, want, short)
		}
	}
}
