package hookkeeper_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// metricRow is a metric as docs/operations.md has it, which TestDocuments holds
// against the code.
type metricRow struct {
	labels    []string
	histogram bool
}

func metricRows(t *testing.T) map[string]metricRow {
	t.Helper()
	rows := map[string]metricRow{}
	for _, cells := range table(t, readText(t, "docs/operations.md"), "## Metrics") {
		rows[codes(cells[0])[0]] = metricRow{codes(cells[1]), strings.HasPrefix(cells[2], "histogram")}
	}
	return rows
}

var (
	named    = regexp.MustCompile(`\bhookkeeper_[a-z_]+`)
	selector = regexp.MustCompile(`(hookkeeper_[a-z_]+)(?:\{([^}]*)\})?`)
	label    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouped  = regexp.MustCompile(`by \(([^)]*)\)`)
)

// checkQuery wants every metric of a query to be one that /metrics gives, and
// every label to be one of its.
func checkQuery(t *testing.T, where, query string, known map[string]metricRow) {
	t.Helper()
	var labels []string
	for _, m := range selector.FindAllStringSubmatch(query, -1) {
		name, part := m[1], ""
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && known[base].histogram {
				name, part = base, suffix
			}
		}
		row, ok := known[name]
		if !ok || row.histogram != (part != "") {
			t.Errorf("%s: /metrics gives no %s", where, m[1])
		}
		labels = append(labels, row.labels...)
		if part == "_bucket" {
			labels = append(labels, "le")
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(row.labels, l[1]) {
				t.Errorf("%s: %s has no label %s", where, name, l[1])
			}
		}
	}
	for _, m := range grouped.FindAllStringSubmatch(query, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(l)) {
				t.Errorf("%s: grouped by %s, which none of its metrics has", where, l)
			}
		}
	}
	if open := strings.Count(query, "(") - strings.Count(query, ")"); open != 0 || strings.Count(query, `"`)%2 != 0 {
		t.Errorf("%s: brackets or quotes are left open: %s", where, query)
	}
}

// TestPrometheusRulesFitTheMetrics: the file parses, and its rules look at what
// there is.
func TestPrometheusRulesFitTheMetrics(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("packaging/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	known, names := metricRows(t), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || names[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("rule %q: wants a name of its own, a severity, a summary and a description", r.Alert)
			}
			names[r.Alert] = true
			if !named.MatchString(r.Expr) {
				t.Errorf("rule %s looks at nothing of ours", r.Alert)
			}
			checkQuery(t, "rule "+r.Alert, r.Expr, known)
			if r.For != "" && !regexp.MustCompile(`^\d+[smh]$`).MatchString(r.For) {
				t.Errorf("rule %s: for %q", r.Alert, r.For)
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d rules", len(names))
	}
}

// TestGrafanaDashboardFitsTheMetrics: likewise, and every metric of the house is
// on it.
func TestGrafanaDashboardFitsTheMetrics(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("packaging/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		UID, Title string
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	known, ids := metricRows(t), map[int]bool{}
	if file.UID == "" || file.Title == "" || len(file.Panels) < 10 {
		t.Errorf("uid %q, title %q, %d panels", file.UID, file.Title, len(file.Panels))
	}
	for _, p := range file.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: wants an id of its own, a title, a place and a query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkQuery(t, "panel "+p.Title, target.Expr, known)
		}
	}
	for _, v := range file.Templating.List {
		checkQuery(t, "variable "+v.Name, v.Definition, known)
	}
	for name := range known {
		if !strings.HasPrefix(name, "hookkeeper_checkout_widget") && !strings.HasPrefix(name, "hookkeeper_ledger_checked") &&
			!strings.HasPrefix(name, "hookkeeper_billing") && !strings.Contains(string(raw), name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
