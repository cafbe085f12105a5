package hookkeeper_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/hookkeeper/hookkeeper"

// room is one row of the floor plan: what a package may import. docs/floorplan.md
// shows the same table with its reasons.
type room struct {
	floor  int
	ours   []string
	others []string
}

var plan = map[string]room{
	"hook":                    {0, nil, nil},
	"internal/fault":          {0, nil, nil},
	"internal/seal":           {0, nil, nil},
	"source":                  {1, []string{"hook"}, []string{"github.com/tidwall/gjson"}},
	"forward":                 {1, []string{"hook"}, nil},
	"tracing":                 {1, []string{"hook"}, []string{"go.opentelemetry.io/otel"}},
	"hooktest":                {1, []string{"hook", "source"}, []string{"github.com/google/go-cmp"}},
	"toss":                    {1, []string{"hook", "internal/fault"}, []string{"github.com/tidwall/gjson"}},
	"tosstest":                {1, nil, nil},
	"stripe":                  {1, []string{"hook"}, []string{"github.com/tidwall/gjson"}},
	"stripetest":              {1, nil, nil},
	"stripe/channel":          {2, []string{"hook", "stripe"}, []string{"github.com/nicholas-fedor/shoutrrr"}},
	"internal/history":        {1, []string{"hook"}, nil},
	"internal/ingest":         {1, []string{"hook", "internal/fault"}, nil},
	"internal/alarm":          {1, []string{"hook"}, nil},
	"internal/worker":         {1, []string{"hook", "internal/fault"}, nil},
	"internal/dashboard/show": {0, nil, nil},
	"internal/dashboard":      {1, []string{"hook", "internal/dashboard/show"}, nil},
	"internal/words":          {0, nil, nil},
	"internal/sqlstore":       {1, []string{"hook", "internal/fault", "internal/words", "internal/seal"}, nil},
	"sqlite":                  {2, []string{"hook", "internal/sqlstore", "internal/fault", "internal/words"}, []string{"modernc.org/sqlite"}},
	"postgres":                {2, []string{"hook", "internal/sqlstore", "internal/fault", "internal/words"}, []string{"github.com/jackc/pgx/v5"}},
	"internal/fuzzing":        {3, nil, nil},
	"internal/pgtest":         {3, []string{"postgres", "internal/cluster"}, []string{"github.com/jackc/pgx/v5"}},
	"internal/dev":            {2, []string{"hook", "source", "forward"}, []string{"github.com/tidwall/gjson"}},
	"internal/bench": {2, []string{"source"},
		[]string{"github.com/HdrHistogram/hdrhistogram-go", "github.com/jackc/pgx/v5", "modernc.org/sqlite"}},
	"bench/compare":    {3, []string{"internal/bench", "internal/cluster"}, []string{"github.com/jackc/pgx/v5", "modernc.org/sqlite"}},
	"bench/hookkeeper": {3, []string{".", "hook", "source", "postgres", "sqlite"}, nil},
	"internal/cluster": {1, nil, []string{"github.com/jackc/pgx/v5"}},
	"internal/wire":    {1, nil, nil},
	"internal/torture": {2, []string{"hook", "internal/history", "internal/cluster", "internal/wire"}, nil},
	".": {2, []string{"hook", "internal/ingest", "internal/worker", "internal/alarm", "internal/dashboard", "internal/dashboard/show", "internal/fault"},
		[]string{"github.com/prometheus/client_golang"}},
	"cmd/hookkeeper": {3, []string{".", "hook", "source", "forward", "sqlite", "postgres", "internal/dev", "internal/bench", "internal/torture", "internal/cluster", "internal/history", "internal/seal", "internal/words", "internal/dashboard/show", "toss", "tosstest", "stripe", "stripetest", "stripe/channel", "tracing"},
		[]string{"github.com/alecthomas/kong", "github.com/goccy/go-yaml"}},
}

// sideways are the exceptions to "imports only go down": the test package signs
// with the senders' own code.
var sideways = map[[2]string]bool{{"hooktest", "source"}: true}

type pkg struct {
	ImportPath string
	Name       string
	Imports    []string
	Standard   bool
}

func TestFloorplan(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if name == "" {
			name = "."
		}
		if strings.HasPrefix(name, "examples/") {
			continue // small mains may use any public package
		}
		row, ok := plan[name]
		if !ok {
			t.Errorf("%s has no row in the floor plan", name)
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, name, row, imp)
		}
	}
}

func checkImport(t *testing.T, name string, row room, imp string) {
	t.Helper()
	if imp == module || strings.HasPrefix(imp, module+"/") {
		other := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
		if other == "" {
			other = "."
		}
		if !contains(row.ours, other) {
			t.Errorf("%s imports %s, which is not in its row", name, other)
		} else if plan[other].floor >= row.floor && !sideways[[2]string{name, other}] {
			t.Errorf("%s on floor %d imports %s on floor %d: imports only go down", name, row.floor, other, plan[other].floor)
		}
		if other == "hooktest" {
			t.Errorf("%s imports hooktest outside a test", name)
		}
		return
	}
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		if name != "hooktest" && (imp == "testing" || imp == "net/http/httptest") {
			t.Errorf("%s imports %s outside a test", name, imp)
		}
		return
	}
	for _, allowed := range row.others {
		if imp == allowed || strings.HasPrefix(imp, allowed+"/") {
			return
		}
	}
	t.Errorf("%s imports %s, which is not in its row", name, imp)
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Imports,Standard", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
