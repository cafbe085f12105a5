package hooktest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// EncryptionKey gives the n-th key for tests of encryption at rest, the same in
// every run.
func EncryptionKey(n byte) []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)*7 + n
	}
	return key
}

// Canaries are what no copy of an encrypted database may show: a card number, an
// e-mail address and a telephone number, in no other test.
func Canaries() []string {
	return []string{"4242424242424242", "canary.kim@example.com", "+821077771234"}
}

// Reopen opens the same database each time, with those keys.
type Reopen func(keys ...[]byte) (hook.Store, error)

// ExerciseVault shows that a store keeps the promises of hook.Vault. place makes an
// empty database, whose time is clock's; whoever opens it closes it before the next.
// What the suite of all stores says of bodies must hold with encryption on, too.
func ExerciseVault(t *testing.T, place func(t *testing.T, clock *Clock) Reopen) {
	for _, name := range []string{"BytesInAreBytesKept", "OtherBytesAreAConflict", "VolatileFieldsAreNoConflict",
		"KeysOutliveBodies", "HeadersWithoutCredentialsKept"} {
		f := recording()[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(setUp(t, func(t *testing.T, clock *Clock) hook.Store {
				s, err := place(t, clock)(EncryptionKey(1))
				if err != nil {
					t.Fatalf("open: %v", err)
				}
				return s
			}))
		})
	}
	for name, f := range map[string]func(*testing.T, Reopen){
		"OldRowsAreSealedAndReadAsBefore": oldRowsAreSealed,
		"KeysAreNeeded":                   keysAreNeeded,
		"KeysRotate":                      keysRotate,
		"ChangedBytesFailAlone":           changedBytesFailAlone,
		"SealedBodiesAreNoPayload":        sealedBodiesAreNoPayload,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, place(t, NewClock()))
		})
	}
}

// vault opens a store and closes it with the test, at the latest.
func vault(t *testing.T, open Reopen, keys ...[]byte) hook.Store {
	t.Helper()
	s, err := open(keys...)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := s.SetRoutes(t.Context(), []hook.Route{{Name: "h"}}); err != nil {
		t.Fatalf("set routes: %v", err)
	}
	return s
}

// FillCanaries records events whose bodies and headers hold the canaries, other
// bytes under one of their keys, and a rejection. It gives the number of events.
func FillCanaries(t *testing.T, s hook.Store, prefix string) int {
	t.Helper()
	hot := strings.Join(Canaries(), " ")
	const n = 3
	for i := range n {
		key := prefix + string(rune('a'+i))
		recordVault(t, s, key, `{"who":"`+hot+`","key":"`+key+`"}`)
	}
	if r := recordVault(t, s, prefix+"a", `{"other":"`+hot+`"}`); !r.Conflict {
		t.Error("other bytes under a key were no conflict")
	}
	s.Reject(hook.Delivery{Source: "shop", Header: http.Header{"X-Signature": {hot}}, Body: []byte(hot), ReceivedAt: time.Unix(1_800_000_000, 0)},
		hook.ReasonBadSignature, "")
	return n
}

func recordVault(t *testing.T, s hook.Store, key, body string) hook.Receipt {
	t.Helper()
	d := hook.Delivery{Source: "shop", Header: http.Header{"X-Buyer": Canaries()}, Body: []byte(body), ReceivedAt: time.Unix(1_800_000_000, 0)}
	r, err := s.Record(t.Context(), d, hook.Identity{Key: key, Type: "t", Trust: hook.TrustSignature}, []string{"h"})
	if err != nil {
		t.Fatalf("record %s: %v", key, err)
	}
	return r
}

// seen is what a store shows of its bodies and headers.
type seen struct {
	Bodies  map[string]string
	Headers map[string]map[string][]string
	Sums    [][3]string // kind, stored and recomputed
	Refused []string
}

func look(t *testing.T, s hook.Store) seen {
	t.Helper()
	all := seen{Bodies: map[string]string{}, Headers: map[string]map[string][]string{}}
	page, _, err := s.Events(t.Context(), hook.Filter{})
	if err != nil {
		t.Fatalf("list events: %v", err)
	}
	for _, e := range page {
		d, err := s.Event(t.Context(), e.ID)
		if err != nil {
			t.Fatalf("show %s: %v", e.Key, err)
		}
		all.Bodies[e.Key], all.Headers[e.Key] = string(d.Body), d.Headers
	}
	err = s.History(t.Context(), func(l hook.HistoryLine) error {
		if l.Kind != "transition" {
			all.Sums = append(all.Sums, [3]string{l.Kind, l.SHA256, l.Recomputed})
		}
		return nil
	})
	if err != nil {
		t.Fatalf("history: %v", err)
	}
	notes, err := s.Rejections(t.Context(), "", 100)
	if err != nil {
		t.Fatalf("rejections: %v", err)
	}
	for _, n := range notes {
		all.Refused = append(all.Refused, string(n.Body)+n.Headers["X-Signature"][0])
	}
	return all
}

// SealAll seals all old rows and gives how many there were.
func SealAll(t *testing.T, s hook.Store) (sealed int) {
	t.Helper()
	for cursor := ""; ; {
		step, err := s.(hook.Vault).SealStep(t.Context(), cursor)
		if err != nil {
			t.Fatalf("seal old rows: %v", err)
		}
		sealed += step.Sealed
		if cursor = step.Next; cursor == "" {
			return sealed
		}
	}
}

func oldRowsAreSealed(t *testing.T, open Reopen) {
	s := vault(t, open)
	n := FillCanaries(t, s, "old-")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = vault(t, open, EncryptionKey(1))
	n += FillCanaries(t, s, "new-")
	before := look(t, s)
	if len(before.Bodies) != n || !strings.Contains(before.Bodies["new-a"], Canaries()[0]) {
		t.Fatalf("bodies before: %v", before.Bodies)
	}
	if got, want := SealAll(t, s), 3+1+1; got != want {
		t.Errorf("sealed %d old rows, want %d", got, want)
	}
	if got := SealAll(t, s); got != 0 {
		t.Errorf("sealed %d rows again", got)
	}
	if diff := cmp.Diff(before.Bodies, look(t, s).Bodies); diff != "" {
		t.Errorf("bodies have changed: %s", diff)
	}
	if err := s.Close(); err != nil { // rejections are on disk now
		t.Fatal(err)
	}
	s = vault(t, open, EncryptionKey(1))
	SealAll(t, s)
	after := look(t, s)
	for _, sum := range after.Sums {
		if sum[1] != sum[2] {
			t.Errorf("%s: the hash of the bytes is %s, of the opened ones %s", sum[0], sum[1], sum[2])
		}
	}
	before.Refused, after.Refused = nil, nil // their order follows when they reached the disk
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what is read has changed: %s", diff)
	}
	jobs, err := s.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: lease, Max: 10, MaxAttempts: 3, Node: "n"})
	if err != nil || len(jobs) != n {
		t.Fatalf("claimed %d jobs, %v; want %d", len(jobs), err, n)
	}
	for _, j := range jobs {
		if got := string(j.Event.Body); got != before.Bodies[j.Event.Key] || j.Event.Header.Get("X-Buyer") != Canaries()[0] {
			t.Errorf("the handler of %s was given %q, %v", j.Event.Key, got, j.Event.Header)
		}
	}
}

func keysAreNeeded(t *testing.T, open Reopen) {
	s := vault(t, open)
	if _, err := s.(hook.Vault).RotateKeys(t.Context(), "me"); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("rotate without encryption: %v, want ErrRefused", err)
	}
	if _, err := s.(hook.Vault).SealStep(t.Context(), ""); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("seal without encryption: %v, want ErrRefused", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = vault(t, open, EncryptionKey(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][][]byte{"no key": nil, "another key": {EncryptionKey(2)}} {
		s, err := open(keys...)
		if err == nil {
			t.Errorf("%s opens the database", name)
			s.Close()
		} else if !strings.Contains(err.Error(), "encrypt") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one line that says what is missing", name, err)
		}
	}
	if _, err := open(make([]byte, 32)); err == nil {
		t.Error("a key of zeros passes")
	}
}

func keysRotate(t *testing.T, open Reopen) {
	s := vault(t, open, EncryptionKey(1))
	FillCanaries(t, s, "one-")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = vault(t, open, EncryptionKey(2), EncryptionKey(1))
	id, err := s.(hook.Vault).RotateKeys(t.Context(), "kim")
	if err != nil || id != 2 {
		t.Fatalf("rotate: data key %d, %v; want 2", id, err)
	}
	FillCanaries(t, s, "two-")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := open(EncryptionKey(1)); err == nil {
		t.Error("the old key alone still opens the database")
		s.Close()
	}
	s = vault(t, open, EncryptionKey(2))
	if got := look(t, s); len(got.Bodies) != 6 {
		t.Errorf("bodies after the rotation: %d, want 6", len(got.Bodies))
	}
	keys, err := s.(hook.Vault).DataKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].ID != 2 || !keys[0].Opens || !keys[1].Opens || keys[0].Master != keys[1].Master {
		t.Errorf("data keys: %+v, %v", keys, err)
	}
}

// What was changed, or put in another's place, does not reach a handler; its
// neighbours do.
func changedBytesFailAlone(t *testing.T, open Reopen) {
	s := vault(t, open, EncryptionKey(1))
	FillCanaries(t, s, "e-")
	recordVault(t, s, "same", `{"who":"x"}`)
	err := s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE bodies SET body = (SELECT o.body FROM bodies o
				JOIN event_keys n ON n.seq = o.seq WHERE n.key = 'e-b')
			WHERE seq = (SELECT k.seq FROM event_keys k WHERE k.key = 'e-a')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: lease, Max: 10, MaxAttempts: 3, Node: "n"})
	if err != nil || len(jobs) != 4 {
		t.Fatalf("claimed %d jobs, %v; want 4", len(jobs), err)
	}
	for _, j := range jobs {
		bad := j.Event.Key == "e-a"
		if (j.Event.Unreadable != nil) != bad || (j.Event.Body == nil) != bad {
			t.Errorf("%s: unreadable %v, %d bytes", j.Event.Key, j.Event.Unreadable, len(j.Event.Body))
		}
		if bad {
			if _, err := s.Event(t.Context(), j.Event.ID); err == nil || strings.Contains(err.Error(), Canaries()[0]) {
				t.Errorf("show %s: %v; want an error that quotes nothing", j.Event.Key, err)
			}
		}
	}
	off := 0
	err = s.History(t.Context(), func(l hook.HistoryLine) error {
		if l.Kind == "event" && l.SHA256 != l.Recomputed {
			off++
		}
		return nil
	})
	if err != nil || off != 1 {
		t.Errorf("history: %d events whose bytes have changed, %v; want 1", off, err)
	}
}

func sealedBodiesAreNoPayload(t *testing.T, open Reopen) {
	s := vault(t, open, EncryptionKey(1))
	FillCanaries(t, s, "e-")
	var payloads, rows int
	err := s.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*), count(payload) FROM webhook_events`).Scan(&rows, &payloads)
	})
	if err != nil || rows != 3 || payloads != 0 {
		t.Errorf("webhook_events: %d rows, %d payloads, %v; want 3, 0", rows, payloads, err)
	}
}

// ShownCanaries gives the canaries that stand in some bytes, as they are, in
// hexadecimal, or as UTF-16.
func ShownCanaries(data []byte) (found []string) {
	for _, canary := range Canaries() {
		var wide bytes.Buffer
		for i := range len(canary) {
			wide.Write([]byte{canary[i], 0})
		}
		coded := []byte(hex.EncodeToString([]byte(canary)))
		if bytes.Contains(data, []byte(canary)) || bytes.Contains(bytes.ToLower(data), coded) || bytes.Contains(data, wide.Bytes()) {
			found = append(found, canary)
		}
	}
	return found
}
