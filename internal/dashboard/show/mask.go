package show

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// phoneForm is anchored: a search for it at every place of a large body would take
// seconds. A phone number needs a leading plus, or the form of a Korean one: other
// runs of digits are ids and amounts.
const phoneForm = `^(?:(?:\+|%2[Bb]|\\u002[Bb])[1-9](?:[ .\-()]{0,2}[0-9]){7,13}` + // anywhere
	`|01[016789][ .\-]?[0-9]{3,4}[ .\-]?[0-9]{4}` + // Korea, mobile
	`|0(?:2|[3-6][1-5]|70|80|50[0-9])[)]?[ .\-][0-9]{3,4}[ .\-][0-9]{4})\b` // Korea, at home and at work

// phoneLength is longer than any number of that form.
const phoneLength = 64

// Masker hides card numbers, e-mail addresses and phone numbers, as senders write
// them: plainly, in the escapes of JSON, or as a form is sent. It is safe for
// concurrent use.
type Masker struct{ phone *regexp.Regexp }

// NewMasker returns a Masker.
func NewMasker() *Masker { return &Masker{regexp.MustCompile(phoneForm)} }

// Mask hides what it knows and says how many places that were. Of an address it
// leaves the first sign and the domain, of a number the last four digits.
func (m *Masker) Mask(s string) (masked string, places int) {
	s, cards := hideCards(s)
	s, addresses := hideAddresses(s)
	s, phones := m.hidePhones(s)
	return s, cards + addresses + phones
}

// hidePhones looks at each place where a number may begin.
func (m *Masker) hidePhones(s string) (string, int) {
	var b strings.Builder
	places, done := 0, 0
	for i := 0; i < len(s); i++ {
		if !phoneMay(s, i) {
			continue
		}
		found := m.phone.FindString(s[i:min(i+phoneLength, len(s))])
		if found == "" {
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(lastFour(found))
		done, places = i+len(found), places+1
		i = done - 1
	}
	return b.String() + s[done:], places
}

// phoneMay rules out most places at a glance.
func phoneMay(s string, i int) bool {
	rest := s[i+1:]
	switch s[i] {
	case '+':
		return rest != "" && isDigit(rest[0])
	case '%':
		return strings.HasPrefix(rest, "2B") || strings.HasPrefix(rest, "2b")
	case '\\':
		return strings.HasPrefix(rest, "u002")
	case '0':
		return rest != "" && isDigit(rest[0]) && (i == 0 || !isWord(s[i-1]))
	}
	return false
}

// Bounds of an address.
const (
	maxName   = 64 * utf8.UTFMax
	maxDomain = 253
)

// atSign is the length of a spelling of @ at the beginning of s; 0 if there is none.
func atSign(s string) int {
	switch {
	case s[0] == '@':
		return 1
	case s[0] == '%' && strings.HasPrefix(s, "%40"):
		return len("%40")
	case s[0] == '\\' && strings.HasPrefix(s, `\u0040`):
		return len(`\u0040`)
	case s[0] == '&' && strings.HasPrefix(s, "&#64;"):
		return len("&#64;")
	}
	return 0
}

// hideAddresses goes from each @ in both directions.
func hideAddresses(s string) (string, int) {
	var b strings.Builder
	places, done := 0, 0
	for i := 0; i < len(s); i++ {
		sign := atSign(s[i:])
		if sign == 0 {
			continue
		}
		name, end := nameBefore(s[done:i]), domainAfter(s[i+sign:])
		if name == 0 || end == 0 {
			continue
		}
		_, first := utf8.DecodeRuneInString(s[i-name:])
		b.WriteString(s[done : i-name+first])
		b.WriteString("•••@")
		b.WriteString(s[i+sign : i+sign+end])
		done, places = i+sign+end, places+1
		i = done - 1
	}
	return b.String() + s[done:], places
}

// nameBefore is the length of the name of an address at the end of s.
func nameBefore(s string) int {
	i := len(s)
	for i > 0 && len(s)-i < maxName {
		r, n := utf8.DecodeLastRuneInString(s[:i])
		if !isName(r) && !strings.ContainsRune("._%+-", r) {
			break
		}
		i -= n
	}
	return len(s) - i
}

// domainAfter is the length of the domain of an address at the beginning of s; 0
// if it has no dot.
func domainAfter(s string) (end int) {
	label, labels := 0, 0
	for i, r := range s {
		switch {
		case i > maxDomain:
			return 0
		case isName(r) || r == '-':
			if label++; label == 1 {
				labels++
			}
			if labels > 1 {
				end = i + utf8.RuneLen(r)
			}
			continue
		case r == '.' && label > 0:
			label = 0
			continue
		}
		break
	}
	return end
}

func isName(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func isWord(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// partLength is the length of what groups of digits are parted by, at the beginning
// of s; 0 if there is nothing of the kind.
func partLength(s string) int {
	switch {
	case s == "":
		return 0
	case s[0] == ' ' || s[0] == '.' || s[0] == '-' || s[0] == '/':
		return 1
	case s[0] == '%' && strings.HasPrefix(s, "%20"):
		return len("%20")
	case s[0] == '\\' && strings.HasPrefix(s, `\u00a0`):
		return len(`\u00a0`)
	case s[0] < utf8.RuneSelf:
		return 0
	}
	if r, n := utf8.DecodeRuneInString(s); r == 0xa0 || r >= 0x2009 && r <= 0x2015 { // spaces and hyphens
		return n
	}
	return 0
}

// groups are the digits of a run: where each group begins and ends.
func groups(s string, i int) (all [][2]int) {
	for {
		begin := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		all = append(all, [2]int{begin, i})
		next := i + partLength(s[i:])
		if next == i || next >= len(s) || !isDigit(s[next]) || len(all) == maxRun {
			return all
		}
		i = next
	}
}

// hideCards hides the card numbers in the runs of digits.
func hideCards(s string) (string, int) {
	var b strings.Builder
	places, done := 0, 0
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			continue
		}
		run := groups(s, i)
		for g := 0; g < len(run); g++ {
			if last := cardFrom(s, run[g:]); last > 0 {
				b.WriteString(s[done:run[g][0]])
				done = run[g+last-1][1]
				b.WriteString(lastFour(s[run[g][0]:done]))
				g, places = g+last-1, places+1
			}
		}
		i = run[len(run)-1][1] - 1
	}
	return b.String() + s[done:], places
}

// Bounds of what is looked at together.
const (
	maxGroups = 19   // of a card
	maxRun    = 1000 // of a run
)

// cardFrom is how many groups at the beginning of a run are a card number; 0 if
// none. A card begins and ends where a group does, and its groups are of one length:
// within longer numbers, and in times and ids, any digits may happen to have the
// right check sum.
func cardFrom(s string, run [][2]int) (groups int) {
	var digits string
	var sizes []int
	for i, g := range run[:min(len(run), maxGroups)] {
		if len(digits)+g[1]-g[0] > 19 {
			break
		}
		digits, sizes = digits+s[g[0]:g[1]], append(sizes, g[1]-g[0])
		if len(digits) >= 13 && cardGroups(sizes) && luhn(digits) {
			groups = i + 1
		}
	}
	return groups
}

// cardGroups reports whether the digits of a card are written in groups of these
// sizes: one, equal ones of which the last may be shorter, or 4-6-5.
func cardGroups(sizes []int) bool {
	if len(sizes) == 3 && sizes[0] == 4 && sizes[1] == 6 {
		return sizes[2] == 5 || sizes[2] == 4
	}
	for _, n := range sizes[1:] {
		if n > sizes[0] {
			return false
		}
	}
	for _, n := range sizes[:len(sizes)-1] {
		if n != sizes[0] {
			return false
		}
	}
	return len(sizes) == 1 || sizes[0] <= 4
}

// lastFour hides all digits but the last four.
func lastFour(s string) string {
	left := -4
	for i := range len(s) {
		if isDigit(s[i]) {
			left++
		}
	}
	var b strings.Builder
	for i := range len(s) {
		if isDigit(s[i]) && left > 0 {
			b.WriteString("•")
			left--
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// luhn is the check sum of card numbers.
func luhn(s string) bool {
	sum, double := 0, false
	for i := len(s) - 1; i >= 0; i-- {
		if !isDigit(s[i]) {
			continue
		}
		n := int(s[i] - '0')
		if double {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum, double = sum+n, !double
	}
	return sum%10 == 0 && sum > 0
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func sortedNames(h map[string][]string) []string { return slices.Sorted(maps.Keys(h)) }
