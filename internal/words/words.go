// Package words says what an event can be found by. A [Lexicon] turns a body into
// terms: the lower-cased words of its values and, for each path that was named, a
// hash of the path and the value there. It turns what a person looks for into terms
// too, and says of a body whether it is really meant: an index may promise too much,
// a [Query] does not.
//
// It promises the same terms for the same body everywhere, takes no more than
// bounded time and memory for any body, and never recurses. It knows nothing of
// databases, and a path's value cannot be read out of its hash.
package words

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a body gives. Paths are looked for in all of it.
const (
	MaxTerms     = 2000     // words of one body
	MaxTextBytes = 64 << 10 // of values that words are taken from
	MaxTermRunes = 64       // a longer word is cut
)

// version changes whenever a body may give other terms than before: every index is
// then built anew.
const version = "hookkeeper words 1"

// Lexicon turns bodies and questions into terms. It is safe for concurrent use.
type Lexicon struct {
	words bool
	names []string
	paths []path
	key   []byte
}

// New returns a Lexicon for all words, or for none, and for the named paths. A key
// goes into the hashes, so that without it nobody can tell what they stand for.
func New(all bool, paths []string, key []byte) (*Lexicon, error) {
	if len(paths) > maxPaths {
		return nil, fmt.Errorf("%d paths to search by: at most %d", len(paths), maxPaths)
	}
	l := &Lexicon{words: all, key: slices.Clone(key)}
	for _, name := range paths {
		p, err := parsePath(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(l.names, name) {
			return nil, fmt.Errorf("path %q is named twice", name)
		}
		l.names, l.paths = append(l.names, name), append(l.paths, p)
	}
	return l, nil
}

// Words reports whether all words are terms.
func (l *Lexicon) Words() bool { return l.words }

// Paths are the named paths.
func (l *Lexicon) Paths() []string { return slices.Clone(l.names) }

// Empty reports whether no body has any term.
func (l *Lexicon) Empty() bool { return !l.words && len(l.names) == 0 }

// ID tells lexicons apart: two with one ID give the same terms.
func (l *Lexicon) ID() []byte {
	h := l.hash()
	fmt.Fprintf(h, "%s\x00%t\x00%s", version, l.words, strings.Join(slices.Sorted(slices.Values(l.names)), "\x00"))
	return h.Sum(nil)[:16]
}

func (l *Lexicon) hash() hash.Hash {
	if len(l.key) == 0 {
		return sha256.New()
	}
	return hmac.New(sha256.New, l.key)
}

// Lengths of hashes, in bytes. Two values may share one: what is found is looked at.
const (
	pathBytes = 10
	tagBytes  = 5
)

// term is a hash as a term: it begins with a sign that no word has.
func (l *Lexicon) term(kind, name, value string, size int) string {
	h := l.hash()
	h.Write([]byte("hookkeeper " + kind + "\x00" + name + "\x00" + value))
	return "=" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:size]))
}

func (l *Lexicon) pathTerm(name, value string) string { return l.term("path", name, value, pathBytes) }

// Tag is the term of what is known of an event besides its body, such as its
// source: an index finds both together.
func (l *Lexicon) Tag(name, value string) Term {
	return Term{Text: l.term("tag", name, value, tagBytes)}
}

// Terms gives the terms of a body, each once. A body that is not UTF-8, or JSON
// nested too deeply, has none.
func (l *Lexicon) Terms(body []byte) []string {
	if l.Empty() {
		return nil
	}
	g := gathering{seen: map[string]bool{}, left: MaxTextBytes}
	leaves(body, func(v *leaf) {
		for i, p := range l.paths {
			if v.at(p) {
				g.add(l.pathTerm(l.names[i], v.text))
			}
		}
		if l.words && !v.literal {
			g.text(v.text)
		}
	}, g.reset)
	return g.terms
}

// gathering collects the terms of one body.
type gathering struct {
	terms []string
	seen  map[string]bool
	words int
	left  int    // bytes of text that may still be read
	run   []byte // the word that is being read
}

func (g *gathering) reset() {
	g.terms, g.words, g.left = g.terms[:0], 0, MaxTextBytes
	clear(g.seen)
}

func (g *gathering) add(term string) {
	if !g.seen[term] {
		g.seen[term] = true
		g.terms = append(g.terms, term)
	}
}

// text takes the words of one value.
func (g *gathering) text(s string) {
	if len(s) > g.left {
		s = s[:g.left]
		for s != "" && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) { // in the midst of a character
			s = s[:len(s)-1]
		}
	}
	g.left -= len(s)
	runes := 0
	for _, r := range s {
		if !inWord(r, runes > 0) {
			g.word()
			runes = 0
			continue
		}
		if runes++; runes <= MaxTermRunes {
			g.run = utf8.AppendRune(g.run, unicode.ToLower(r))
		}
	}
	g.word()
}

// word ends the word that was being read.
func (g *gathering) word() {
	if len(g.run) > 0 && g.words < MaxTerms && !g.seen[string(g.run)] {
		g.words++
		g.add(string(g.run))
	}
	g.run = g.run[:0]
}

// inWord reports whether a character belongs to a word: letters, digits and _,
// and within a word what is written above or below its letters.
func inWord(r rune, within bool) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || within && unicode.IsMark(r)
}

// ErrQuery is inside every error about what somebody looks for.
var ErrQuery = errors.New("cannot be searched")
