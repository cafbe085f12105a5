package alarm

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed texts/*.json
var textFiles embed.FS

// The languages of alarms.
const (
	english = "en"
	korean  = "ko"
)

func languages() []string { return []string{english, korean} }

func readTexts() (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, language := range languages() {
		raw, err := textFiles.ReadFile("texts/" + language + ".json")
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("texts %s: %w", language, err)
		}
		all[language] = texts
	}
	return all, nil
}

// fill puts values where their names stand in braces.
func fill(text string, pairs ...string) string {
	list := make([]string, 0, len(pairs))
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, "{"+pairs[i]+"}", pairs[i+1])
	}
	return strings.NewReplacer(list...).Replace(text)
}

// text is what a rule says of an alarm; a language that we do not have is English.
// A rule that is gone, as of a department that is no longer there, shows its name.
func (w *Watch) text(language string, r *row, part string) string {
	texts := w.texts[language]
	if texts == nil {
		texts = w.texts[english]
	}
	text, ok := texts[r.about.rule+part]
	if !ok && part == "" {
		return strings.TrimSpace(r.about.rule + " " + r.about.object)
	}
	text = strings.Replace(text, "%d", "{n}", 1)
	return fill(text, "object", r.about.object, "n", fmt.Sprint(r.value))
}
