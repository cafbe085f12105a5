package hooktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// Search is what ExerciseStore expects to be able to search by; a store that is
// opened without it passes, too.
func Search() *hook.Search {
	return &hook.Search{Words: true, Paths: []string{"object.customer", "items.#.sku", "n"}}
}

// bodySearches: events are found by what is in their bodies. A store that is no
// hook.Searcher, or was opened without Search, passes.
func bodySearches() map[string]func(*bench) {
	cases := map[string]func(*bench, hook.Searcher){
		"BodiesAreFoundByWordsAndPaths":           findBodies,
		"ASearchOfBodiesIsAWalkThroughTheLog":     findByAnyFilter,
		"HostileQuestionsFindNothingOrAreRefused": findHostile,
		"TheIndexSaysHowFarItIs":                  findLag,
		"ABodyThatIsGoneIsNotFound":               findPruned,
	}
	out := map[string]func(*bench){}
	for name, f := range cases {
		out[name] = func(b *bench) {
			searcher, ok := b.store.(hook.Searcher)
			if !ok {
				b.Skip("this store does not search bodies")
			}
			if n, err := searcher.Indexed(b.Context()); err != nil || !n.Words {
				b.Skip("this store was opened without Search")
			}
			f(b, searcher)
		}
	}
	return out
}

// index brings the index of words up to date.
func (b *bench) index(searcher hook.Searcher) {
	b.Helper()
	for range 1000 {
		if _, err := searcher.IndexWords(b.Context()); err != nil {
			b.Fatalf("index words: %v", err)
		}
		if n, err := searcher.Indexed(b.Context()); err != nil {
			b.Fatalf("read how far the index is: %v", err)
		} else if n.Behind == 0 {
			return
		}
	}
	b.Fatal("the index does not get on")
}

// keysOf gives the keys of the events that all pages of a filter hold.
func (b *bench) keysOf(f hook.Filter) string {
	b.Helper()
	var keys []string
	for _, id := range b.pagesOf(f) {
		e, err := b.store.Event(b.Context(), id)
		if err != nil {
			b.Fatalf("event %s: %v", id, err)
		}
		keys = append(keys, e.Key)
	}
	return strings.Join(keys, " ")
}

func findBodies(b *bench, searcher hook.Searcher) {
	long := strings.Repeat("x", 70)
	for _, e := range []event{
		{key: "1", body: `{"object":{"customer":"cus_Ab1","email":"Jane.Doe@example.com","amount":1200},"n":1.50,"live":true}`},
		{key: "2", body: `{"object":{"customer":"cus_Ab2","note":"it was \"refused\" by 홍길동님"},"items":[{"sku":"A-1"},{"sku":"B 2"}]}`},
		{key: "3", body: `id=7&email=jane%40example.com&payload=%7B%22a%22%3A%22inner%22%7D`},
		{key: "4", body: `<xml><customer>cus_Ab1</customer></xml>`},
		{key: "5", body: "\xff\xfe cus_Ab1 refused"},
		{key: "6", body: `{"object":{"customer":"cus_ab1"},"` + long + `":"key only","text":"` + long + `y"}`},
		{key: "7", source: "other", body: `{"object":{"customer":null},"text":"example.com jane"}`},
		{key: "8", body: strings.Repeat("[", 2000) + strings.Repeat("]", 2000)},
	} {
		b.record(e)
	}
	b.index(searcher)
	for _, c := range []struct {
		f    hook.Filter
		want string
	}{
		{hook.Filter{Words: "CUS_AB1"}, "6 4 1"},
		{hook.Filter{Words: "cus_ab*"}, "6 4 2 1"},
		{hook.Filter{Words: "jane example"}, "7 3 1"},
		{hook.Filter{Words: "jane@example.com"}, "3"},
		{hook.Filter{Words: `"doe@example.co*"`}, "1"},
		{hook.Filter{Words: "jane", Source: "other"}, "7"},
		{hook.Filter{Words: "홍길동*"}, "2"},
		{hook.Filter{Words: "홍길동"}, ""},
		{hook.Filter{Words: "refused"}, "2"},
		{hook.Filter{Words: "inner"}, "3"},
		{hook.Filter{Words: "customer"}, "4"},
		{hook.Filter{Words: "true"}, ""},
		{hook.Filter{Words: long + "y"}, "6"},
		{hook.Filter{Words: long + "z"}, ""},
		{hook.Filter{Words: "ane"}, ""},
		{hook.Filter{Path: "object.customer", Value: "cus_Ab1"}, "1"},
		{hook.Filter{Path: "object.customer", Value: "cus_ab1"}, "6"},
		{hook.Filter{Path: "object.customer", Value: "null"}, "7"},
		{hook.Filter{Path: "items.#.sku", Value: "B 2"}, "2"},
		{hook.Filter{Path: "items.1.sku", Value: "B 2"}, "2"},
		{hook.Filter{Path: "items.0.sku", Value: "B 2"}, ""},
		{hook.Filter{Path: "n", Value: "1.50"}, "1"},
		{hook.Filter{Path: "n", Value: "1.5"}, ""},
		{hook.Filter{Path: "object.email", Value: "Jane.Doe@example.com"}, "1"},
		{hook.Filter{Path: "object.amount", Value: "1200"}, "1"},
		{hook.Filter{Path: "id", Value: "7"}, "3"},
		{hook.Filter{Path: "object.customer", Value: "cus_Ab1", Words: "jane"}, "1"},
		{hook.Filter{Path: "object.customer", Value: "cus_Ab2", Words: "jane"}, ""},
		{hook.Filter{Words: "jane", Key: "3"}, "3"},
		{hook.Filter{Words: "jane", Key: "4"}, ""},
	} {
		if got := b.keysOf(c.f); got != c.want {
			b.Errorf("%+v: found %q, want %q", c.f, got, c.want)
		}
	}
}

// piecesOf are what must stand in values of a body.
func piecesOf(text string) (all []*regexp.Regexp) {
	for _, piece := range strings.Fields(strings.ToLower(text)) {
		end := `($|[^\p{L}\p{Nd}_])`
		if prefix, ok := strings.CutSuffix(piece, "*"); ok {
			piece, end = prefix, ""
		}
		all = append(all, regexp.MustCompile(`(^|[^\p{L}\p{Nd}_])`+regexp.QuoteMeta(strings.TrimFunc(piece, unicode.IsPunct))+end))
	}
	return all
}

// naive says of a body what a search of bodies means, in the plainest way.
func naive(f hook.Filter, pieces []*regexp.Regexp, body string) bool {
	type value struct {
		at, text string
		word     bool
	}
	var values []value
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, one := range v {
				walk(at+"."+k, one)
			}
		case []any:
			for i, one := range v {
				walk(fmt.Sprint(at, ".", i), one)
				walk(at+".#", one)
			}
		case string:
			values = append(values, value{at, v, true})
		case json.Number:
			values = append(values, value{at, v.String(), true})
		default:
			values = append(values, value{at, strings.Replace(fmt.Sprint(v), "<nil>", "null", 1), false})
		}
	}
	var parsed any
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	if form, err := url.ParseQuery(body); decoder.Decode(&parsed) == nil {
		walk("", parsed)
	} else if err == nil && strings.Contains(body, "=") && !strings.ContainsAny(body, " <") {
		for k, all := range form {
			for _, v := range all {
				values = append(values, value{"." + k, v, true})
			}
		}
	} else {
		values = append(values, value{"", body, true})
	}
	pathFound := f.Path == ""
	for _, v := range values {
		pathFound = pathFound || v.at == "."+f.Path && v.text == f.Value
	}
	for _, re := range pieces {
		found := false
		for _, v := range values {
			found = found || v.word && re.MatchString(strings.ToLower(v.text))
		}
		if !found {
			return false
		}
	}
	return pathFound
}

// findByAnyFilter: whatever a search of bodies is combined with, its pages are what
// a walk through the whole log would find.
func findByAnyFilter(b *bench, searcher hook.Searcher) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pick := func(all ...string) string { return all[rnd.IntN(len(all))] }
	word := func() string {
		return pick("alpha", "Beta", "beta", "gamma", "often", "often", "often", "rare7", "결제", "결제완료", "3", "1.5", "é_é")
	}
	bodies := map[string]string{}
	start := b.clock.Now()
	for i := range 120 {
		customer, _ := json.Marshal(word() + pick("", "", "-") + word())
		body := fmt.Sprintf(`{"object":{"customer":%s,"x":[%q,%q,{"deep":%q}]},"items":[{"sku":%q},{"sku":%q}],"n":%d,"b":true}`,
			customer, word(), word()+" "+word(), word(), word(), word(), rnd.IntN(5))
		switch rnd.IntN(6) {
		case 0:
			body = "n=" + pick("1", "2") + "&text=" + url.QueryEscape(word()+" "+word())
		case 1:
			body = "plain " + word() + ", " + word() + ". " + word()
		}
		key := fmt.Sprint("k", i)
		bodies[key] = body
		b.record(event{key: key, source: pick("shop", "shop", "rare"), kind: pick("a.x", "a.y", "b"), subject: pick("", "s1"), body: body})
		b.clock.Advance(time.Minute)
	}
	for i, j := range b.claim("h", 40) {
		if i%2 == 0 {
			b.bury(j)
		} else {
			b.finish(j)
		}
	}
	b.index(searcher)
	whole := b.list(hook.Filter{Limit: 1000})
	for i := range 60 {
		f := randomSearch(rnd, word, start)
		var want []string
		pieces := piecesOf(f.Words)
		for _, e := range whole {
			if selects(f, e) && naive(f, pieces, bodies[e.Key]) {
				want = append(want, e.ID)
			}
		}
		if diff := cmp.Diff(want, b.pagesOf(f)); diff != "" {
			b.Errorf("%d: %+v (-walk +search):\n%s", i, f, diff)
		}
	}
}

// randomSearch combines words, a path and other conditions.
func randomSearch(rnd *rand.Rand, word func() string, start time.Time) hook.Filter {
	pick := func(all ...string) string { return all[rnd.IntN(len(all))] }
	f := hook.Filter{Limit: 5 + rnd.IntN(40)}
	if rnd.IntN(3) > 0 {
		f.Words = word()
		for range rnd.IntN(3) {
			f.Words += pick(" ", "  ", "-") + word()
		}
		f.Words += pick("", "", "*")
		if strings.HasSuffix(f.Words, "3*") || strings.HasSuffix(f.Words, "5*") {
			f.Words = "oft*"
		}
	}
	if f.Words == "" || rnd.IntN(4) == 0 {
		f.Path = pick("object.customer", "items.#.sku", "items.1.sku", "object.x.0", "n", "text", "nowhere")
		f.Value = pick("1", "2", word(), word()+"-"+word())
	}
	switch rnd.IntN(8) {
	case 0:
		f.Source = pick("shop", "rare", "nobody")
	case 1:
		f.Type = pick("a.*", "b", "*.x,b")
	case 2:
		f.Subject = "s1"
	case 3:
		f.State = hook.Worst[rnd.IntN(len(hook.Worst))]
	case 4:
		f.Since = start.Add(time.Duration(rnd.IntN(120)) * time.Minute)
	case 5:
		f.Until = start.Add(time.Duration(rnd.IntN(120)) * time.Minute)
	}
	return f
}

// findHostile: whatever is asked, the answer is a page or a refusal, and never
// somebody else's event.
func findHostile(b *bench, searcher hook.Searcher) {
	b.record(event{key: "a", body: `{"text":"words AND rowid NEAR"}`})
	b.index(searcher)
	hostile := []string{`"`, `""`, `'`, `\`, `\'`, `'\''`, `*`, `**`, `a*b`, `" OR "`, `words" OR "x`, `words' | 'x`, `terms : x`, `-x`, `+x`, `^x`,
		`{terms} : x`, `NEAR(a b, 2)`, `x:*`, `x:A`, `!x`, `x <-> y`, `x & !y`, `(x`, `x)`, `&`, `|`, `x'::text`, `$1`, `%`, `_`, "a\x00b", "\x00",
		"\xff", "x\u202ey", strings.Repeat("a", 5000), strings.Repeat("a ", 400), strings.Repeat("(", 300), strings.Repeat("é", 64) + "*",
		strings.Repeat("é", 65) + "*", `a*`, `=0123`, "\ufeff", "🙂", "🙂x", "‿", "́", "xx́", "; DROP TABLE words"}
	for _, s := range hostile {
		for _, f := range []hook.Filter{{Words: s}, {Path: s, Value: "zzz"}, {Path: "text", Value: s}, {Path: "n", Value: s}, {Path: "n", Value: "x", Words: s}} {
			page, _, err := b.store.Events(b.Context(), f)
			if err != nil && !errors.Is(err, hook.ErrBadFilter) {
				b.Errorf("%+v: %v", f, err)
			}
			if len(page) > 0 {
				b.Errorf("%+v: found an event", f)
			}
		}
	}
	for _, f := range []hook.Filter{{Value: "x"}, {Path: "a..b", Value: "x"}, {Path: "nowhere", Value: "--"}, {Words: "--"}} {
		if _, _, err := b.store.Events(b.Context(), f); !errors.Is(err, hook.ErrBadFilter) {
			b.Errorf("%+v: %v, want it refused", f, err)
		}
	}
}

func findLag(b *bench, searcher hook.Searcher) {
	b.index(searcher)
	for i := range 3 {
		b.record(event{key: fmt.Sprint(i), body: `{"text":"late"}`})
	}
	n, err := searcher.Indexed(b.Context())
	if err != nil || n.Behind != 3 || cmp.Diff(n.Paths, Search().Paths) != "" {
		b.Errorf("%+v, %v; want 3 events behind", n, err)
	}
	at := b.clock.Now()
	b.clock.Advance(time.Hour)
	b.index(searcher)
	if n, err = searcher.Indexed(b.Context()); err != nil || n.Behind != 0 || !n.Through.Equal(at) {
		b.Errorf("%+v, %v; want nothing behind, through %s", n, err, at)
	}
	if busy, err := searcher.IndexWords(b.Context()); err != nil || busy {
		b.Errorf("with nothing to do: busy %t, %v", busy, err)
	}
	page, next, err := b.store.Events(b.Context(), hook.Filter{Words: "late", Limit: 2})
	if err != nil || len(page) != 2 || next == "" {
		b.Fatalf("%d events, next %q, %v", len(page), next, err)
	}
	if got, err := searcher.SearchedTo(b.Context(), next); err != nil || !got.Equal(at) {
		b.Errorf("searched to %s, %v; want %s", got, err, at)
	}
	if got, err := searcher.SearchedTo(b.Context(), "nonsense"); err != nil || !got.IsZero() {
		b.Errorf("a cursor that means nothing: %s, %v", got, err)
	}
}

func findPruned(b *bench, searcher hook.Searcher) {
	b.record(event{key: "gone", body: `{"text":"secretword"}`})
	b.index(searcher)
	b.finish(b.one("h", "gone"))
	b.clock.Advance(48 * time.Hour)
	b.record(event{key: "kept", body: `{"text":"secretword"}`})
	if _, err := b.store.Sweep(b.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: 24 * time.Hour}}}); err != nil {
		b.Fatal(err)
	}
	b.index(searcher)
	if got := b.keysOf(hook.Filter{Words: "secretword"}); got != "kept" {
		b.Errorf("found %q, want kept", got)
	}
}
