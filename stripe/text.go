package stripe

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed texts/*.json
var textFiles embed.FS

// text is a notice in one language.
type text struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// languages of the catalogues.
func languages() []string { return []string{"ko", "en"} }

// catalogue reads the texts of a language by kind.
func catalogue(language string) (map[string]text, error) {
	data, err := textFiles.ReadFile("texts/" + language + ".json")
	if err != nil {
		return nil, err
	}
	all := map[string]text{}
	return all, json.Unmarshal(data, &all)
}

// textsOf writes a notice in every language.
func textsOf(n notice) (map[string]text, error) {
	out := map[string]text{}
	for _, language := range languages() {
		all, err := catalogue(language)
		if err != nil {
			return nil, fmt.Errorf("read the texts of notices: %w", err)
		}
		t, ok := all[n.kind]
		if !ok {
			return nil, fmt.Errorf("no text in %s for notices of kind %s", language, n.kind)
		}
		fill := strings.NewReplacer("{plan}", textIn(n.data, "plan"), "{amount}", moneyIn(n.data),
			"{period_end}", dayIn(n.data, "period_end"), "{trial_end}", dayIn(n.data, "trial_end"),
			"{next_attempt}", dayIn(n.data, "next_attempt"))
		out[language] = text{Title: fill.Replace(t.Title), Body: fill.Replace(t.Body)}
	}
	return out, nil
}

func textIn(data map[string]any, key string) string {
	s, _ := data[key].(string)
	return s
}

// dayIn is a date as both languages write it.
func dayIn(data map[string]any, key string) string {
	n, ok := data[key].(int64)
	if !ok || n <= 0 {
		return "–"
	}
	return time.Unix(n, 0).UTC().Format(time.DateOnly)
}

// moneyIn writes an amount with its currency; amounts are in the smallest unit.
func moneyIn(data map[string]any) string {
	amount, _ := data["amount"].(int64)
	currency := strings.ToUpper(textIn(data, "currency"))
	digits := strconv.FormatInt(amount, 10)
	fraction := ""
	if n := fractionDigits(currency); n > 0 {
		digits = strings.Repeat("0", max(0, n+1-len(digits))) + digits
		fraction = "." + digits[len(digits)-n:]
		digits = digits[:len(digits)-n]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return strings.TrimSpace(digits + fraction + " " + currency)
}

// fractionDigits of a currency as Stripe counts them.
func fractionDigits(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF", "":
		return 0
	case "BHD", "JOD", "KWD", "OMR", "TND":
		return 3
	}
	return 2
}
