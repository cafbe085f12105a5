package words_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/internal/words"
)

func lexicon(t testing.TB, all bool, key string, paths ...string) *words.Lexicon {
	t.Helper()
	l, err := words.New(all, paths, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTermsAreTheWordsOfValues(t *testing.T) {
	t.Parallel()
	l := lexicon(t, true, "")
	long := strings.Repeat("é", 70)
	for body, want := range map[string]string{
		`{"Key":"Some_Value","n":-12.5e3,"b":true,"z":null,"l":["a-b",{"deep":"A"}]}`: "some_value 12 5e3 a b",
		`"top"`:                "top",
		"{\"a\":1}\n{\"a\":2}": "1 2",
		`{"a":"\u00c9t\u00e9 \ud83d\ude00 x\u0000y"}`: "été x y",
		`{"a":"결제 완료"}`:                               "결제 완료",
		`{"a":"` + long + `"}`:                        strings.Repeat("é", 64),
		`{"a":"b"`:                                    "a b", // no JSON: a text
		`{"a" "b"}`:                                   "a b",
		`[1,]x`:                                       "1 x",
		`a=1&b=two+three%21`:                          "1 two three",
		`plain = text`:                                "plain text",
		"\ufeff[7]":                                   "7",
		"\xff":                                        "",
		"":                                            "",
		`{"a":"e` + "\u0301" + ` ` + "\u0301" + `x"}`: "e\u0301 x",
	} {
		if got := strings.Join(l.Terms([]byte(body)), " "); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// No body costs more than its bounds, and none is descended into by recursion.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	l := lexicon(t, true, "", "a")
	for i, body := range []string{strings.Repeat("[", 1001) + strings.Repeat("]", 1001), strings.Repeat(`{"a":`, 1<<20)} {
		if got := l.Terms([]byte(body)); len(got) != 0 {
			t.Errorf("%d: %d terms of a body that is too deep", i, len(got))
		}
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "w%d ", i)
	}
	if got := l.Terms([]byte(many.String())); len(got) != words.MaxTerms {
		t.Errorf("%d terms, want %d", len(got), words.MaxTerms)
	}
	behind := `{"text":"` + strings.Repeat("x ", words.MaxTextBytes) + `","a":"late"}`
	got := l.Terms([]byte(behind))
	if len(got) != 2 || !strings.HasPrefix(got[1], "=") {
		t.Errorf("%q: want one word, and the named path however late it comes", got)
	}
}

func TestPathsAreHashed(t *testing.T) {
	t.Parallel()
	body := []byte(`{"data":{"id":"secret","list":[{"sku":"secret"}],"a.b":"secret"}}`)
	one := lexicon(t, false, "", "data.id").Terms(body)
	if len(one) != 1 || strings.Contains(one[0], "secret") {
		t.Fatalf("%q: want one hash", one)
	}
	for name, other := range map[string][]string{
		"another key":   lexicon(t, false, "k", "data.id").Terms(body),
		"another path":  lexicon(t, false, "", "data.list.#.sku").Terms(body),
		"another value": lexicon(t, false, "", "data.id").Terms([]byte(`{"data":{"id":"Secret"}}`)),
		"a dotted key":  lexicon(t, false, "", `data.a\.b`).Terms(body),
	} {
		if len(other) != 1 || other[0] == one[0] {
			t.Errorf("%s: %q beside %q", name, other, one)
		}
	}
	if lexicon(t, false, "", "data.id").Tag("source", "x") == lexicon(t, false, "k", "data.id").Tag("source", "x") {
		t.Error("the tag of a source does not depend on the key")
	}
}

func TestLexiconsAreToldApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, l := range map[string]*words.Lexicon{
		"none": lexicon(t, false, ""), "words": lexicon(t, true, ""), "a": lexicon(t, true, "", "a"), "ab": lexicon(t, true, "", "a", "b"),
		"a.b": lexicon(t, true, "", "a.b"), "keyed": lexicon(t, true, "k"), "paths only": lexicon(t, false, "", "a"),
	} {
		if other, ok := seen[string(l.ID())]; ok {
			t.Errorf("%s and %s have one id", name, other)
		}
		seen[string(l.ID())] = name
	}
	if diff := cmp.Diff(lexicon(t, true, "", "a", "b").ID(), lexicon(t, true, "", "b", "a").ID()); diff != "" {
		t.Error("the order of paths changes the id")
	}
	for _, bad := range []string{"", ".", "a..b", "a.", strings.Repeat("a", 201), "\xff", strings.Repeat("a.", 40) + "a"} {
		if _, err := words.New(true, []string{bad}, nil); err == nil {
			t.Errorf("path %q passed", bad)
		}
	}
	if _, err := words.New(true, []string{"a", "a"}, nil); err == nil {
		t.Error("a path that is named twice passed")
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	all, few := lexicon(t, true, "", "id"), lexicon(t, false, "", "id")
	body := []byte(`{"id":"X-1","text":"He said: \"Well-known, twice known.\" foo_bar","n":7}`)
	for _, c := range []struct {
		text, path, value string
		match             bool
	}{
		{"well-known", "", "", true}, {"WELL known", "", "", true}, {"known-well", "", "", false}, {"ell-known", "", "", false},
		{"well-kno", "", "", false}, {"well-kno*", "", "", true}, {"(twice", "", "", true}, {"foo", "", "", false}, {"foo*", "", "", true},
		{"7", "", "", true}, {"id", "", "", false}, {"x-1 twice", "", "", true}, {"", "id", "X-1", true}, {"", "id", "x-1", false},
		{"twice", "n", "7", true}, {"thrice", "n", "7", false}, {"well-k*", "", "", true},
	} {
		q, err := all.Query(c.text, c.path, c.value)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if q.Match(body) != c.match {
			t.Errorf("%+v: match %t", c, !c.match)
		}
	}
	for _, c := range [][3]string{{"word", "", ""}, {"", "n", "7"}, {"", "", "v"}, {"", "", ""}} {
		_, err := few.Query(c[0], c[1], c[2])
		if !errors.Is(err, words.ErrQuery) {
			t.Errorf("%q: %v, want it refused", c, err)
		} else if (c[0] != "" || c[1] == "n") && !strings.Contains(err.Error(), "named paths are id") {
			t.Errorf("%q: %v does not say what can be searched", c, err)
		}
	}
	if _, err := few.Query("", "id", "X-1"); err != nil {
		t.Errorf("a named path: %v", err)
	}
}

// FuzzTerms: whatever matches has all the terms by which it would be looked up, so
// that an index never hides it.
func FuzzTerms(f *testing.F) {
	for _, seed := range [][3]string{
		{`{"a":"one two","b":[1,{"c":"x-y"}]}`, "one x-y", "b.#.c"}, {`a=1&b=%2541`, "1", "a"}, {"plain text", "text", "a"},
		{`{"a":"\u0041\ud800"}`, "a*", `a`}, {"[[[", "[", "0"}, {`"İstanbul ǅ ſ"`, "istanbul", "a"}, {`{"\u0061":"v"}`, "v", "a"},
		{`{"a":"` + strings.Repeat("é", 70) + `"}`, strings.Repeat("É", 70), "a"}, {"é́x", "é́*", "x"}, {"1 2", "1", "a"}, {`{"a":1}}`, "1", "a"},
	} {
		f.Add([]byte(seed[0]), seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, body []byte, text, at string) {
		l, err := words.New(true, []string{at}, nil)
		if err != nil {
			return
		}
		terms := l.Terms(body)
		for _, value := range []string{text, ""} {
			asked := text
			if value != "" {
				asked = ""
			}
			path := at
			if asked != "" {
				path = ""
			}
			q, err := l.Query(asked, path, value)
			if err != nil || !q.Match(body) || len(terms) >= words.MaxTerms || len(body) > words.MaxTextBytes {
				continue
			}
			for _, term := range q.Terms() {
				if !slices.ContainsFunc(terms, func(s string) bool { return s == term.Text || term.Prefix && strings.HasPrefix(s, term.Text) }) {
					t.Errorf("%q matches %q %q, but has no term %q: %q", body, text, at, term.Text, terms)
				}
			}
		}
	})
}
