package show

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The forms of what is masked. A phone number needs a leading plus, or the form
// of a Korean one: other runs of digits are ids and amounts.
const (
	emailForm = `[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+`
	cardForm  = `\b[0-9](?:[ -]?[0-9]){12,18}\b`
	phoneForm = `\+[1-9][0-9](?:[ -]?[0-9]){6,12}\b|\b01[016789][ -]?[0-9]{3,4}[ -]?[0-9]{4}\b`
)

// Masker hides card numbers, e-mail addresses and phone numbers. It is safe for
// concurrent use.
type Masker struct{ email, card, phone *regexp.Regexp }

// NewMasker returns a Masker.
func NewMasker() *Masker {
	return &Masker{regexp.MustCompile(emailForm), regexp.MustCompile(cardForm), regexp.MustCompile(phoneForm)}
}

// Mask hides what it knows and says how many places that were. Of an address it
// leaves the first sign and the domain, of a number the last four digits.
func (m *Masker) Mask(s string) (masked string, places int) {
	hide := func(form *regexp.Regexp, with func(string) string) {
		s = form.ReplaceAllStringFunc(s, func(found string) string {
			hidden := with(found)
			if hidden != found {
				places++
			}
			return hidden
		})
	}
	hide(m.card, func(found string) string {
		if !luhn(found) {
			return found
		}
		return lastFour(found)
	})
	hide(m.email, func(found string) string {
		name, domain, _ := strings.Cut(found, "@")
		return name[:1] + "•••@" + domain
	})
	hide(m.phone, lastFour)
	return s, places
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
