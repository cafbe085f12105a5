package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// key gives an operator's key that is the same in every run.
func key(n byte) []byte {
	b := make([]byte, seal.KeySize)
	for i := range b {
		b[i] = byte(i)*7 + n
	}
	return b
}

// ring gives a Ring that seals with data keys 1 to n.
func ring(t *testing.T, n int64, masters ...[]byte) (*seal.Ring, []seal.DataKey) {
	t.Helper()
	r, err := seal.NewRing(masters...)
	if err != nil {
		t.Fatal(err)
	}
	var all []seal.DataKey
	for id := range n {
		k, err := r.Begin(id + 1)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	if err := r.Use(all); err != nil {
		t.Fatal(err)
	}
	r.Allow(seal.Grant)
	return r, all
}

func TestSealedValuesOpenAtTheirPlaceOnly(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 2, key(1))
	for _, plain := range [][]byte{{}, []byte("4242 4242 4242 4242"), bytes.Repeat([]byte{0, 1, 0xff}, 5000)} {
		id, sealed, err := r.Seal("body", []byte("a"), plain)
		if err != nil || id != 2 {
			t.Fatalf("seal: key %d, %v; want key 2", id, err)
		}
		if len(plain) > 0 && bytes.Contains(sealed, plain) {
			t.Fatal("the sealed value shows the plain one")
		}
		got, err := r.Open("body", []byte("a"), sealed)
		if err != nil || got == nil || !bytes.Equal(got, plain) {
			t.Fatalf("open: %d bytes, %v; want %d", len(got), err, len(plain))
		}
		for _, place := range []struct{ what, bind string }{{"body", "b"}, {"headers", "a"}, {"bod", "ya"}, {"bodya", ""}} {
			if _, err := r.Open(place.what, []byte(place.bind), sealed); !errors.Is(err, seal.ErrDamaged) {
				t.Errorf("open as %v: %v, want ErrDamaged", place, err)
			}
		}
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 1, key(1))
	_, sealed, err := r.Seal("body", nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) * 8 {
		other := bytes.Clone(sealed)
		other[i/8] ^= 1 << (i % 8)
		if _, err := r.Open("body", nil, other); err == nil {
			t.Errorf("bit %d was changed and the value opens", i)
		}
	}
	for n := range sealed {
		if _, err := r.Open("body", nil, sealed[:n]); err == nil {
			t.Errorf("the first %d bytes open", n)
		}
	}
}

func TestNoTwoSealsAreAlike(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 1, key(1))
	seen := map[string]bool{}
	for range 1000 {
		_, sealed, err := r.Seal("body", nil, nil)
		if err != nil || seen[string(sealed)] {
			t.Fatalf("the same twice, or %v", err)
		}
		seen[string(sealed)] = true
	}
}

func TestOperatorsKeysRotate(t *testing.T) {
	t.Parallel()
	old, all := ring(t, 2, key(1))
	_, sealed, err := old.Seal("body", nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	lookup, derived := old.TextIndex("users.email", "kim@example.com"), old.Derive("search")
	both, err := seal.NewRing(key(2), key(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i], err = both.Rewrap(all[i]); err != nil {
			t.Fatal(err)
		}
	}
	next, err := seal.NewRing(key(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Use(all); err != nil {
		t.Fatal("the new key alone:", err)
	}
	if got, err := next.Open("body", nil, sealed); err != nil || string(got) != "hello" {
		t.Errorf("open after the rotation: %q, %v", got, err)
	}
	if next.TextIndex("users.email", "kim@example.com") != lookup || !bytes.Equal(next.Derive("search"), derived) {
		t.Error("what is looked up by has changed with the rotation")
	}
	if err := old.Use(all); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("the old key alone: %v, want ErrNoKey", err)
	}
	if got, err := old.Open("body", nil, sealed); err != nil || string(got) != "hello" {
		t.Errorf("a failed Use took the keys away: %q, %v", got, err)
	}
}

func TestWrappedKeysKeepTheirNumber(t *testing.T) {
	t.Parallel()
	r, all := ring(t, 2, key(1))
	all[0].Wrapped, all[1].Wrapped = all[1].Wrapped, all[0].Wrapped
	if err := r.Use(all); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("two data keys changed places: %v, want ErrNoKey", err)
	}
}

func TestNothingIsSealedWithoutLeave(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 1, key(1))
	r.Allow(1 - seal.Grant)
	if !r.Low() {
		t.Error("one seal is left and the ring is not low")
	}
	if _, _, err := r.Seal("body", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Seal("body", nil, nil); !errors.Is(err, seal.ErrSpent) {
		t.Errorf("beyond what was granted: %v, want ErrSpent", err)
	}
	if _, err := r.SealText("users.email", "a"); !errors.Is(err, seal.ErrSpent) {
		t.Errorf("text beyond what was granted: %v, want ErrSpent", err)
	}
	r.Allow(1)
	if _, _, err := r.Seal("body", nil, nil); err != nil {
		t.Errorf("granted again: %v", err)
	}
	fresh, err := seal.NewRing(key(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*seal.Ring{"before Use": fresh, "nil": nil} {
		if _, _, err := r.Seal("body", nil, nil); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("%s: %v, want ErrNoKey", name, err)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 1, key(1))
	for _, text := range []string{"kim@example.com", "김민지", "hk1:1:", "hk0:x", "hk1:no", "\x00\xff"} {
		stored, err := r.SealText("users.email", text)
		if err != nil || strings.Contains(stored, text) && text != "hk1:1:" || !strings.HasPrefix(stored, "hk1:1:") {
			t.Fatalf("seal %q: %q, %v", text, stored, err)
		}
		if got, err := r.OpenText("users.email", stored); err != nil || got != text {
			t.Errorf("open %q: %q, %v", text, got, err)
		}
		if _, err := r.OpenText("users.name", stored); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%q at another column: %v, want ErrDamaged", text, err)
		}
	}
	for stored, want := range map[string]string{"": "", "plain": "plain", "hk0:hk1:1:x": "hk1:1:x"} {
		if got, err := r.OpenText("users.email", stored); err != nil || got != want {
			t.Errorf("open %q: %q, %v; want %q", stored, got, err, want)
		}
	}
	for _, stored := range []string{"hk1:", "hk1:1", "hk1:1:", "hk1:1:====", "hk1:1:AAAA"} {
		if got, err := r.OpenText("users.email", stored); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("open %q: %q, %v; want ErrDamaged", stored, got, err)
		}
	}
	if a, b := r.TextIndex("users.email", "a"), r.TextIndex("orders.buyer", "a"); a == "" || a == b {
		t.Errorf("the index of two columns: %q and %q, want two", a, b)
	}
}

func TestKeysAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := seal.NewRing(); err == nil {
		t.Error("no key passed")
	}
	if _, err := seal.NewRing(key(1), key(1)); err == nil {
		t.Error("the same key twice passed")
	}
	for name, k := range map[string][]byte{"short": key(1)[:31], "zeros": make([]byte, 32),
		"typed": []byte("abcabcabcabcabcabcabcabcabcabcab")} {
		_, err := seal.NewRing(k)
		if err == nil {
			t.Errorf("%s passed", name)
		} else if strings.Contains(err.Error(), string(k)) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	k := key(200)
	for _, text := range []string{hex.EncodeToString(k), strings.ToUpper(hex.EncodeToString(k)), base64.StdEncoding.EncodeToString(k),
		base64.RawStdEncoding.EncodeToString(k), base64.URLEncoding.EncodeToString(k), " " + hex.EncodeToString(k) + "\n"} {
		if got, err := seal.ParseKey(text); err != nil || !bytes.Equal(got, k) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "changeme", hex.EncodeToString(k)[:62], base64.StdEncoding.EncodeToString(k[:31]),
		base64.StdEncoding.EncodeToString(append(k, 1)), "zz" + hex.EncodeToString(k)[2:]} {
		if _, err := seal.ParseKey(text); err == nil {
			t.Errorf("%q passed", text)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error quotes it", text)
		}
	}
}

func TestNoPrintShowsAKey(t *testing.T) {
	t.Parallel()
	r, _ := ring(t, 1, key(1))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ring", r)
	holder := struct{ R *seal.Ring }{r}
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %x %s %d", r, r, r, r, r, r), fmt.Sprintf("%+v %#v", holder, holder), log.String()} {
		if strings.Contains(text, "aead") || strings.Contains(text, "0x") && !strings.Contains(text, "struct") || len(text) > 200 {
			t.Errorf("printed: %.200s", text)
		}
	}
}
