package show_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

func TestWhatSteersIsMadeVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain\n\ttext 한글 😀":               "plain\n\ttext 한글 😀",
		"\x1b[31m\r\x00\u0085\u202e\u2028": "⟨U+001B⟩[31m⟨U+000D⟩⟨U+0000⟩⟨U+0085⟩⟨U+202E⟩⟨U+2028⟩",
		"\xff\xfe":                         "⟨FF⟩⟨FE⟩",
		"\U000e0001\ue000":                 "⟨U+E0001⟩⟨U+E000⟩",
	} {
		if got := string(show.Visible([]byte(text))); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestBodyKeepsWhatWasWritten(t *testing.T) {
	for _, c := range []struct {
		body, want string
		kind       show.Kind
	}{
		{`{"b":1.00,"a":12345678901234567890}`, "{\n  \"b\": 1.00,\n  \"a\": 12345678901234567890\n}", show.KindJSON},
		{`not { json`, `not { json`, show.KindText},
		{``, ``, show.KindEmpty},
		{"\xff\x00", "00000000  ff 00                                             |..|\n", show.KindHex},
		{`{"a":1}{`, `{"a":1}{`, show.KindText},
	} {
		got, kind, whole := show.Body([]byte(c.body))
		if got != c.want || kind != c.kind || !whole {
			t.Errorf("%q: got %q as %s, whole %t", c.body, got, kind, whole)
		}
	}
	if got, _, whole := show.Body([]byte(strings.Repeat("한", 1<<20))); whole || len(got) > show.MaxInlineBytes || !utf8.ValidString(got) {
		t.Errorf("of a long body %d bytes are shown, whole %t", len(got), whole)
	}
	if _, kind, _ := show.Body([]byte(strings.Repeat("[", 60000) + strings.Repeat("]", 4000))); kind != show.KindText {
		t.Errorf("a deep body is shown as %s", kind)
	}
}

func TestMasks(t *testing.T) {
	m := show.NewMasker()
	for text, want := range map[string]string{
		"minji.kim@shop.example":               "m•••@shop.example",
		"card 4242424242424242 end":            "card ••••••••••••4242 end",
		"4242-4242-4242-4242":                  "••••-••••-••••-4242",
		"4242424242424243":                     "4242424242424243", // no card: its check sum is wrong
		"call +82 10-1234-5678":                "call +•• ••-••••-5678",
		"01012345678":                          "•••••••5678",
		"order 20260301, 15000 KRW, evt_1Q9aB": "order 20260301, 15000 KRW, evt_1Q9aB",
		"card4242424242424242x, 4242 4242 4242 4242 4000056655665556": "card••••••••••••4242x, •••• •••• •••• 4242 ••••••••••••5556",
		"4242 4242 4242 4242 12/27 123":                               "•••• •••• •••• 4242 12/27 123",
		"4242\u00a04242\u20114242.4242":                               "••••\u00a0••••\u2011••••.4242",
		"3782 822463 10005":                                           "•••• •••••• •0005",
		"4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2":                             "• • • • • • • • • • • • 4 2 4 2",
		"email=kim%40example.com&tel=%2B821012345678":                 "email=k•••@example.com&tel=%•B••••••••5678",
		`{"email":"kim\u0040example.com"}`:                            `{"email":"k•••@example.com"}`,
		"김민지@예시.한국 <a+b@x.co>":                                        "김•••@예시.한국 <a•••@x.co>",
		"02-123-4567, (031) 123-4567, 010.1234.5678":                  "••-•••-4567, (•••) •••-4567, •••.••••.5678",
		"+1 (415) 555-0132":                                           "+• (•••) •••-0132",
		"1767225600.4242424242 2026-03-01 10-20-30":                   "1767225600.4242424242 2026-03-01 10-20-30", // no groups of a card
		"ev_8ubjdhvq0000000000006 a@b @ c":                            "ev_8ubjdhvq0000000000006 a@b @ c",
		"1767225600":                                                  "1767225600", // a time
	} {
		got, n := m.Mask(text)
		if got != want || (n > 0) != (text != want) {
			t.Errorf("%q: got %q in %d places, want %q", text, got, n, want)
		}
	}
}

// TestLogsAreMasked: whatever kind of value holds it, and nothing else changes.
func TestLogsAreMasked(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(show.MaskLog(show.MaskLog(slog.NewJSONHandler(&out, nil)))).With("at", "kim@example.com").WithGroup("g")
	log.Warn("card 4242424242424242", "error", fmt.Errorf("decode: %w", errors.New(`{"phone":"01012345678"}`)),
		slog.Group("deep", "s", "kim@example.com"), "list", []string{"4242424242424242"}, "n", int64(4242424242424242), "event", "ev_1")
	for _, canary := range []string{"kim@", `"card 4242424242`, "0101234", "[4242424242", `["4242`} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("the log shows %s: %s", canary, out.String())
		}
	}
	for _, kept := range []string{`"n":4242424242424242`, `"event":"ev_1"`, "decode: ", "k•••@example.com"} {
		if !strings.Contains(out.String(), kept) {
			t.Errorf("the log lacks %s: %s", kept, out.String())
		}
	}
}

func TestChanges(t *testing.T) {
	got, more, ok := show.Changes([]byte(`{"a":{"b":1,"c":"x"},"l":[1,2],"gone":true,"big":10000000000000001}`),
		[]byte(`{"a":{"b":2,"c":"x"},"l":[1,3],"new":null,"big":10000000000000002}`))
	want := []show.Change{{"a.b", "1", "2"}, {"big", "10000000000000001", "10000000000000002"}, {"gone", "true", ""},
		{"l[1]", "2", "3"}, {"new", "", "null"}}
	if diff := cmp.Diff(want, got); diff != "" || more || !ok {
		t.Errorf("more %t, ok %t (-want +got):\n%s", more, ok, diff)
	}
	many := func(value string) []byte {
		var b strings.Builder
		for i := range 900 {
			fmt.Fprintf(&b, `,"k%d":%s`, i, value)
		}
		return []byte("{" + b.String()[1:] + "}")
	}
	if got, more, ok := show.Changes(many("1"), many("2")); len(got) != show.MaxChanges || !more || !ok {
		t.Errorf("%d changes, more %t, ok %t", len(got), more, ok)
	}
	for _, bad := range []string{"", "x", `{"a":1}{}`, strings.Repeat("[", 2000), strings.Repeat(" ", 1<<17)} {
		if _, _, ok := show.Changes([]byte(bad), []byte(`{}`)); ok {
			t.Errorf("%.20q was compared", bad)
		}
	}
}

// TestCurlGivesTheExactBytes runs the command in a shell, with curl replaced by
// one that prints what it is given.
func TestCurlGivesTheExactBytes(t *testing.T) {
	body := "it's \x00 $(rm -rf /) `x` \"q\" \\ \n\r\xff"
	command := show.Curl("/hooks/stripe", map[string][]string{"X-It's": {"a'; echo broken $HOME `id`", "\x1b[31m"}, "Host": {"evil"}}, []byte(body))
	script := `URL=http://127.0.0.1; curl() { cat; for a; do printf '<%s>' "$a"; done; }; ` + command
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, command)
	}
	rest, ok := strings.CutPrefix(string(out), body)
	want := "<-sS><-X><POST><http://127.0.0.1/hooks/stripe><-H><X-It's: a'; echo broken $HOME `id`><-H><X-It's: ⟨U+001B⟩[31m><--data-binary><@->"
	if !ok || rest != want {
		t.Errorf("got %q, want the body and %q", out, want)
	}
}

func TestBars(t *testing.T) {
	at := time.Unix(0, 0)
	c := show.Bars("x", []show.Point{{At: at, Value: 10}, {At: at, Value: -1}, {At: at, Value: 5}, {At: at}})
	if c.Total != 15 || c.Most != 10 || len(c.Bars) != 3 || c.Bars[0].Height != "116.0" || c.Bars[1].X != "300.0" {
		t.Errorf("got %+v, want a gap between the bars", c)
	}
	if empty := show.Bars("x", nil); len(empty.Bars) != 0 || empty.Total != 0 {
		t.Errorf("of nothing: %+v", empty)
	}
}

func FuzzShow(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":[1,{"b":"c"}]}`, "\xff", "4242424242424242", "a@b.c", strings.Repeat("[", 1100)} {
		f.Add([]byte(s), []byte(`{"a":1}`))
	}
	m := show.NewMasker()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		text, _, _ := show.Body(a)
		for _, s := range []string{text, string(show.Visible(a)), show.Curl("/x", map[string][]string{"A": {string(b)}}, a)} {
			for _, r := range s {
				if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError && !utf8.Valid([]byte(s)) {
					t.Fatalf("%q holds %U", s, r)
				}
			}
		}
		m.Mask(text)
		show.Changes(a, b)
	})
}
