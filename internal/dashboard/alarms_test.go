package dashboard_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// book has one alarm that is raised and one that is over.
type book struct{}

func (book) Alarms(_ context.Context, language string, limit int) ([]*hook.Alarm, error) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	what := map[string]string{"en": "a thing is stuck", "ko": "멈춘 것이 있음"}[language]
	all := []*hook.Alarm{
		{ID: "al_1", Rule: "source_silent", Object: "stripe", Grave: true, Since: at, RaisedAt: at, What: what, Do: "free it " + hostile, Page: "sources"},
		{ID: "al_2", Rule: "stuck", Since: at, RaisedAt: at, ResolvedAt: &at, What: "was stuck " + hostile, Do: "-", Page: "jobs"},
	}
	return all[:min(limit, len(all))], nil
}

// TestAlarmsAreShown on a page of their own and on the overview, in the visitor's
// language; what is over is not shown among what wants a look.
func TestAlarmsAreShown(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	for language, want := range map[string]string{"en": "a thing is stuck", "ko": "멈춘 것이 있음"} {
		for path, over := range map[string]bool{"": false, "alarms": true} {
			resp, body := o.visit(path, nil, "Accept-Language", language)
			if resp.StatusCode != 200 || !strings.Contains(body, want) || !strings.Contains(body, `href="sources"`) ||
				strings.Contains(body, "was stuck") != over {
				t.Errorf("page %q in %s: %d, want the alarm, and what is over: %t", path, language, resp.StatusCode, over)
			}
			if r, ok := steering(body); ok || live.MatchString(values.ReplaceAllString(body, "")) {
				t.Errorf("page %q: a text steers (%q) or would run", path, r)
			}
		}
	}
}
