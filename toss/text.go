package toss

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The one catalogue for pages and script, Korean and English.
//
//go:embed texts.json
var textFile []byte

const (
	langKorean  = "ko"
	langEnglish = "en"
)

func readTexts() (map[string]map[string]string, error) {
	var all map[string]map[string]string
	if err := json.Unmarshal(textFile, &all); err != nil {
		return nil, fmt.Errorf("toss: texts.json: %w", err)
	}
	return all, nil
}

// langOf is the language of an answer: what the address asks for, what the
// purchase was begun in, what the browser likes, Korean.
func (d *Desk) langOf(r *http.Request, begun string) string {
	for _, one := range []string{r.URL.Query().Get("lang"), begun} {
		if one == langKorean || one == langEnglish {
			return one
		}
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if primary == langKorean || primary == langEnglish {
			return primary
		}
	}
	return langKorean
}

// moneyText writes an amount for people.
func moneyText(amount int64, currency, lang string) string {
	digits := fmt.Sprint(amount)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	switch {
	case currency != "KRW":
		return digits + " " + currency
	case lang == langEnglish:
		return "₩" + digits
	}
	return digits + "원"
}

// dueText is the last moment of a deposit, in Korean time.
func dueText(t hook.Timestamp) string {
	if !t.Valid {
		return "-"
	}
	return t.Time.In(kst()).Format("2006-01-02 15:04 (KST)")
}

func fill(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

func receiptPath(cid string) string { return "/checkout/" + cid + "/receipt" }
