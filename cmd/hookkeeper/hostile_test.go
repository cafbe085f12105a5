package main

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// TestNothingOfAStrangerSteersTheTerminal records an event whose every text is
// hostile and reads it back through every command that shows events.
func TestNothingOfAStrangerSteersTheTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hk.db")
	store, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hostile := strings.ToValidUTF8(steering, "?")
	receipt, err := store.Record(t.Context(), hook.Delivery{
		Source: "stripe", Header: http.Header{"User-Agent": {hostile}}, Body: []byte(`{"a":1}`), ReceivedAt: time.Now(),
	}, hook.Identity{Key: hostile, Type: hostile, Subject: hostile, Mode: hook.ModeTest, Trust: hook.TrustSignature}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"list"}, {"list", "--json"}, {"show", receipt.EventID}, {"show", receipt.EventID, "--json"},
		{"export"}, {"export", "--history"},
	} {
		got := call(t, nil, append(append([]string{"events"}, args...), "--database", "sqlite:"+path)...)
		if got.code != 0 || got.stdout == "" {
			t.Errorf("%v: exit code %d, stderr %q", args, got.code, got.stderr)
		}
		if bad := steers(got.stdout + got.stderr); bad != "" {
			t.Errorf("%v: prints %q", args, bad)
		}
		if args[0] == "list" && strings.Count(got.stdout, "\n") > 2 {
			t.Errorf("%v: one event takes more than its line: %q", args, got.stdout)
		}
	}
	got := call(t, nil, "events", "show", receipt.EventID, "--raw", "--database", "sqlite:"+path)
	if got.stdout != `{"a":1}` {
		t.Errorf("raw body is %q", got.stdout)
	}
}

// TestListPagesByItself: the limit has no cap, and a cursor goes on exactly
// where the list ended.
func TestListPagesByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hk.db")
	store, err := sqlite.Open(path, sqlite.Options{RecordTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	const events = 1203 // more than one page
	numbers := make(chan int)
	var group sync.WaitGroup
	for range 32 { // they share commits
		group.Go(func() {
			for i := range numbers {
				_, err := store.Record(t.Context(), hook.Delivery{
					Source: "s", Header: http.Header{}, Body: []byte{byte(i), byte(i >> 8)}, ReceivedAt: time.Now(),
				}, hook.Identity{Key: strconv.Itoa(i), Trust: hook.TrustSignature}, nil)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range events {
		numbers <- i
	}
	close(numbers)
	group.Wait()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	database := []string{"--database", "sqlite:" + path}
	for limit, want := range map[string]int{"0": events, "1100": 1100, "7": 7, "5000": events} {
		got := call(t, nil, append([]string{"events", "list", "--json", "--limit", limit}, database...)...)
		if n := strings.Count(got.stdout, "\n"); n != want || got.code != 0 {
			t.Errorf("--limit %s lists %d, want %d (%s)", limit, n, want, got.stderr)
		}
	}
	first := call(t, nil, append([]string{"events", "list", "--limit", "1200"}, database...)...)
	_, cursor, ok := strings.Cut(first.stdout, "more: --cursor ")
	cursor, _, _ = strings.Cut(cursor, ",")
	rest := call(t, nil, append([]string{"events", "list", "--json", "--cursor", cursor}, database...)...)
	if n := strings.Count(rest.stdout, "\n"); !ok || n != 3 {
		t.Errorf("after the cursor come %d events, want 3 (%s)", n, rest.stderr)
	}
	forged := call(t, nil, append([]string{"events", "list", "--cursor", "AAAA' OR 1=1"}, database...)...)
	if forged.code != exitFailed || !strings.Contains(forged.stderr, "cursor") {
		t.Errorf("a forged cursor gives %d, %q", forged.code, forged.stderr)
	}
}
