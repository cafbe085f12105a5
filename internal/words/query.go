package words

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what can be looked for.
const (
	maxWords       = 16
	maxQueryBytes  = 1 << 10
	minPrefixBytes = 3 // one syllable of Korean
)

// Term is something to look up in an index.
type Term struct {
	Text   string
	Prefix bool // every term that begins so
}

// Query is what somebody looks for. It is safe for concurrent use.
type Query struct {
	terms []Term
	spans []span
	path  path   // empty: none
	value string // with path
}

// span is what stands together in a question, such as a word or an address.
type span struct {
	text   string // lower-cased, from the first word to the last
	prefix bool
}

// Query reads what somebody looks for: words that must all occur, and a path with
// its value. What stands together in the text must stand together in a value, too.
// Every error is an ErrQuery and says what to do.
func (l *Lexicon) Query(text, at, value string) (*Query, error) {
	q := &Query{value: value}
	if strings.TrimSpace(text) != "" {
		if err := l.queryText(q, text); err != nil {
			return nil, err
		}
	}
	if at != "" || value != "" {
		if err := l.queryPath(q, at, value); err != nil {
			return nil, err
		}
	}
	if len(q.terms) == 0 {
		return nil, fmt.Errorf("an empty text %w", ErrQuery)
	}
	return q, nil
}

func (l *Lexicon) queryText(q *Query, text string) error {
	if !l.words {
		return fmt.Errorf("words of bodies are not indexed here, so a text %w: %s", ErrQuery, l.named())
	}
	if len(text) > maxQueryBytes || !utf8.ValidString(text) {
		return fmt.Errorf("a text of more than %d bytes, or that is not UTF-8, %w", maxQueryBytes, ErrQuery)
	}
	for piece := range strings.FieldsFuncSeq(text, unicode.IsSpace) {
		s := spanOf(piece)
		if s.text == "" {
			continue
		}
		terms := termsOf(s)
		if last := terms[len(terms)-1]; last.Prefix && len(last.Text) < minPrefixBytes {
			if len(terms) == 1 {
				return fmt.Errorf("%.40q %w: at least %d letters before *", piece, ErrQuery, minPrefixBytes)
			}
			terms = terms[:len(terms)-1] // the words before it lead there
		}
		q.spans, q.terms = append(q.spans, s), append(q.terms, terms...)
	}
	switch {
	case len(q.terms) == 0:
		return fmt.Errorf("%.40q %w: it holds no word", text, ErrQuery)
	case len(q.terms) > maxWords:
		return fmt.Errorf("%d words at once %w: at most %d", len(q.terms), ErrQuery, maxWords)
	}
	return nil
}

func (l *Lexicon) queryPath(q *Query, at, value string) (err error) {
	if q.path, err = parsePath(at); err != nil {
		return fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if slices.Contains(l.names, at) {
		q.terms = append(q.terms, Term{Text: l.pathTerm(at, value)})
		return nil
	}
	if !l.words {
		return fmt.Errorf("path %.80q %w: %s", at, ErrQuery, l.named())
	}
	g := gathering{seen: map[string]bool{}, left: maxQueryBytes}
	g.text(value)
	if len(g.terms) == 0 || value == "true" || value == "false" || value == "null" {
		return fmt.Errorf("path %.80q %w: this value holds no word to find it by: %s", at, ErrQuery, l.named())
	}
	// The last word may have been cut where the reading ended: without it the rest
	// still leads there.
	list := g.terms[:min(len(g.terms), maxWords)]
	if len(value) > maxQueryBytes && len(list) == len(g.terms) && len(list) > 1 {
		list = list[:len(list)-1]
	}
	for _, term := range list {
		q.terms = append(q.terms, Term{Text: term})
	}
	return nil
}

// named says what could be looked for instead.
func (l *Lexicon) named() string {
	if len(l.names) == 0 {
		return "name paths under search.paths in the configuration"
	}
	return "the named paths are " + strings.Join(l.names, ", ")
}

// spanOf cuts off what is no word on both sides.
func spanOf(piece string) span {
	s := span{prefix: strings.HasSuffix(strings.TrimRightFunc(piece, func(r rune) bool { return r == '"' || r == '\'' }), "*")}
	begin, end, within := -1, 0, false
	for i, r := range piece {
		if within = inWord(r, within); within {
			if begin < 0 {
				begin = i
			}
			end = i + utf8.RuneLen(r)
		}
	}
	if begin >= 0 {
		s.text = lower(piece[begin:end])
	}
	return s
}

// termsOf are the words of a span.
func termsOf(s span) []Term {
	g := gathering{seen: map[string]bool{}, left: maxQueryBytes}
	g.text(s.text)
	terms := make([]Term, len(g.terms))
	for i, text := range g.terms {
		terms[i].Text = text
	}
	if s.prefix { // the last word, which may have occurred before
		last := s.text[lastWord(s.text):]
		if utf8.RuneCountInString(last) < MaxTermRunes {
			terms = append(slices.DeleteFunc(terms, func(t Term) bool { return t.Text == last }), Term{last, true})
		}
	}
	return terms
}

// lastWord is where the last word of a span begins.
func lastWord(s string) int {
	begin, within := 0, false
	for i, r := range s {
		was := within
		if within = inWord(r, within); within && !was {
			begin = i
		}
	}
	return begin
}

func lower(s string) string { return strings.Map(unicode.ToLower, s) }

// Terms are what a body must have to be worth a look.
func (q *Query) Terms() []Term { return slices.Clone(q.terms) }

// Match reports whether a body is what is looked for.
func (q *Query) Match(body []byte) bool {
	found, left := make([]bool, len(q.spans)), len(q.spans)
	pathFound := len(q.path) == 0
	leaves(body, func(v *leaf) {
		if !pathFound && v.text == q.value && v.at(q.path) {
			pathFound = true
		}
		if left > 0 && !v.literal {
			text := lower(v.text)
			for i, s := range q.spans {
				if !found[i] && s.in(text) {
					found[i] = true
					left--
				}
			}
		}
	}, func() { // all of a body has to be gone through to know what it is

		clear(found)
		left, pathFound = len(q.spans), len(q.path) == 0
	})
	return left == 0 && pathFound
}

// in reports whether the span stands in a text, not within other words.
func (s span) in(text string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], s.text)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(s.text)
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !wordEnds(text[:i]) && (s.prefix || end == len(text) || !inWord(after, true)) {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		from = i + size
	}
}

// wordEnds reports whether a text ends within a word.
func wordEnds(text string) bool {
	for text != "" {
		r, size := utf8.DecodeLastRuneInString(text)
		if inWord(r, false) {
			return true
		}
		if !inWord(r, true) {
			return false
		}
		text = text[:len(text)-size]
	}
	return false
}
