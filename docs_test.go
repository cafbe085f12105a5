package hookkeeper_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// TestDocuments holds the documents and the code together: whoever changes one
// of them alone fails here.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("reads files and builds a command: the race detector has nothing to see here")
	}
	t.Parallel()
	for name, f := range map[string]func(*testing.T){
		"Floorplan": floorplanDocument, "States": statesDocument, "Errors": errorsDocument,
		"Glossary": glossaryDocument, "Example": exampleInReadme, "Commands": commandsInDocuments,
		"Settings": settingsDocument, "Tables": tablesInDesign, "Routes": routesInReadme,
		"Tests": testsThatAreNamed, "Links": linksLeadSomewhere, "Changelog": changelogFiles,
		"Metrics": metricsDocument,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); f(t) })
	}
}

// documents are all texts for people.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "internal/*/DESIGN.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			texts[path] = readText(t, path)
		}
	}
	if len(texts) < 9 {
		t.Fatalf("found only %d documents", len(texts))
	}
	return texts
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table gives the rows of the first table after a line that begins with head,
// or whose own first row begins so; without the two lines of its head.
func table(t *testing.T, text, head string) [][]string {
	t.Helper()
	_, rest, found := strings.Cut("\n"+text, "\n"+head)
	var rows [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	rule := slices.IndexFunc(rows, func(cells []string) bool { return strings.HasPrefix(cells[0], "---") })
	if !found || rule < 0 || len(rows) < rule+2 {
		t.Fatalf("no table after %q", head)
	}
	return rows[rule+1:]
}

var quoted = regexp.MustCompile("`([^`]+)`")

// codes are the words of a text that stand in back quotes.
func codes(text string) []string {
	var words []string
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
	}
	return words
}

func floorplanDocument(t *testing.T) {
	type row struct {
		Floor        int
		Ours, Others []string
	}
	got, want := map[string]row{}, map[string]row{}
	for _, cells := range table(t, readText(t, "docs/floorplan.md"), "| package | floor |") {
		floor, err := strconv.Atoi(cells[1])
		if err != nil || len(cells) != 5 || cells[4] == "" {
			t.Errorf("row %q: want package, floor, ours, others, what it is", cells)
		}
		got[strings.Trim(cells[0], "`")] = row{floor, codes(cells[2]), codes(cells[3])}
	}
	for name, r := range plan {
		want[name] = row{r.floor, r.ours, r.others}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/floorplan.md differs from floorplan_test.go (-test +document):\n%s", diff)
	}
}

func statesDocument(t *testing.T) {
	text := readText(t, "docs/states.md")
	_, picture, _ := strings.Cut(text, "```text\n")
	picture, _, _ = strings.Cut(picture, "```")
	arrows := map[hook.State][]string{}
	for _, cells := range table(t, text, "| from | to |") {
		arrows[hook.State(strings.Trim(cells[0], "`"))] = codes(cells[1])
	}
	arrows[""] = arrows["(no such job)"]
	described := table(t, text, "| state | of |")
	for _, s := range hook.Worst {
		if !regexp.MustCompile(`\b` + string(s) + `\b`).MatchString(picture) {
			t.Errorf("the picture does not show %s", s)
		}
		if !slices.ContainsFunc(described, func(cells []string) bool { return cells[0] == "`"+string(s)+"`" }) {
			t.Errorf("the table does not describe %s", s)
		}
	}
	for _, from := range append(hook.Worst[:], "") {
		for _, to := range hook.Worst {
			if got, want := slices.Contains(arrows[from], string(to)), hook.Next(from, to); got != want {
				t.Errorf("from %q to %q: the document says %v, hook.Next %v", from, to, got, want)
			}
		}
	}
	worst := make([]string, len(hook.Worst))
	for i, s := range hook.Worst {
		worst[i] = "`" + string(s) + "`"
	}
	if !strings.Contains(text, strings.Join(worst, ", ")) {
		t.Errorf("the document does not give the order %s", strings.Join(worst, ", "))
	}
}

// parsed gives the syntax of a package's files, tests left out.
func parsed(t *testing.T, folder string) []*ast.File {
	t.Helper()
	var files []*ast.File
	for _, path := range goFiles(t) {
		if filepath.Dir(path) != folder || strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// constants gives the values of all constants of a type in package hook.
func constants(t *testing.T, typeName string) []string {
	t.Helper()
	var values []string
	for _, f := range parsed(t, "hook") {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := v.Type.(*ast.Ident); ok && id.Name == typeName {
				values = append(values, literals(v)...)
			}
			return true
		})
	}
	if len(values) < 5 {
		t.Fatalf("found only %d constants of type %s", len(values), typeName)
	}
	return values
}

// literals gives the string literals below a node.
func literals(n ast.Node) []string {
	var values []string
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				values = append(values, text)
			}
		}
		return true
	})
	return values
}

func errorsDocument(t *testing.T) {
	text := readText(t, "docs/errors.md")
	for typeName, head := range map[string]string{"Reason": "### Reasons", "Quarantine": "### Quarantine"} {
		var got []string
		for _, cells := range table(t, text, head) {
			got = append(got, strings.Trim(cells[0], "`"))
		}
		want := constants(t, typeName)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/errors.md, every hook.%s (-code +document):\n%s", typeName, diff)
		}
	}
	for _, name := range exported(t, "hook", token.VAR) {
		if strings.HasPrefix(name, "Err") && !slices.Contains(codes(text), name) {
			t.Errorf("docs/errors.md does not name hook.%s", name)
		}
	}
	for code, row := range []string{"| 0 | done |", "| 1 | failed", "| 2 | wrong usage"} {
		if !strings.Contains(text, row) {
			t.Errorf("docs/errors.md does not explain exit code %d", code)
		}
	}
}

// exported gives the exported names that a package declares with that keyword.
func exported(t *testing.T, folder string, keyword token.Token) []string {
	t.Helper()
	var names []string
	for _, f := range parsed(t, folder) {
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != keyword {
				continue
			}
			for _, spec := range g.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !ast.IsExported(name) })
}

// metricsDocument: every metric of the house and its departments is in
// docs/operations.md, and no other.
func metricsDocument(t *testing.T) {
	ours := regexp.MustCompile(`^hookkeeper_[a-z_]+[a-z]$`)
	var want, got []string
	for _, folder := range []string{".", "toss", "stripe"} {
		for _, f := range parsed(t, folder) {
			for _, value := range literals(f) {
				if ours.MatchString(value) {
					want = append(want, value)
				}
			}
		}
	}
	for _, cells := range table(t, readText(t, "docs/operations.md"), "## Metrics") {
		got = append(got, codes(cells[0])[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("docs/operations.md, the metrics (-code +document):\n%s", diff)
	}
}

func glossaryDocument(t *testing.T) {
	words := codes(readText(t, "docs/glossary.md"))
	for _, folder := range []string{"hook", "."} {
		names := exported(t, folder, token.TYPE)
		if len(names) < 2 {
			t.Fatalf("%s exports only %v", folder, names)
		}
		for _, name := range names {
			if !slices.Contains(words, name) {
				t.Errorf("docs/glossary.md does not name the type %s of package %s", name, folder)
			}
		}
	}
}

// exampleInReadme: the Go of the README is that of the example, which compiles,
// runs and has its output compared.
func exampleInReadme(t *testing.T) {
	var example []string
	for line := range strings.Lines(readText(t, "example_test.go")) {
		example = append(example, strings.TrimSpace(line))
	}
	blocks := strings.Split(readText(t, "README.md"), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the README has no Go")
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			if !slices.Contains(example, strings.TrimSpace(line)) {
				t.Errorf("the README's line is not in example_test.go: %s", line)
			}
		}
	}
}

// helpOf gives the help of every command by its name, and of all its groups.
func helpOf(t *testing.T) map[string]string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hookkeeper")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/hookkeeper").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	help := map[string]string{}
	var ask func(words ...string)
	ask = func(words ...string) {
		out, err := exec.CommandContext(t.Context(), binary, append(words, "--help")...).Output()
		if err != nil {
			t.Fatalf("%v --help: %v", words, err)
		}
		help[strings.Join(words, " ")] = string(out)
		_, list, _ := strings.Cut(string(out), "\nCommands:\n")
		for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  `).FindAllStringSubmatch(list, -1) {
			ask(strings.Fields(m[1])...)
		}
	}
	ask()
	if len(help) < 10 {
		t.Fatalf("found the help of only %d commands", len(help))
	}
	return help
}

var flagWord = regexp.MustCompile(`--[a-z][a-z-]+`)

// leaves are the commands that do something, with their help.
func leaves(help map[string]string) map[string]string {
	leaf := maps.Clone(help)
	maps.DeleteFunc(leaf, func(_, text string) bool { return strings.Contains(text, "\nCommands:\n") })
	return leaf
}

func commandsInDocuments(t *testing.T) {
	help := helpOf(t)
	leaf := leaves(help)
	listed := map[string]bool{}
	for _, cells := range table(t, readText(t, "README.md"), "## Commands") {
		line := codes(cells[0])[0]
		name := commandOf(line, leaf)
		listed[name] = true
		knownFlags(t, "README.md", name, cells[1], leaf[name])
	}
	for name := range leaf {
		if !listed[name] {
			t.Errorf("the README's commands do not list %q", name)
		}
	}
	for path, text := range documents(t) {
		for line := range strings.Lines(text) {
			_, typed, ok := strings.Cut(line, "bin/hookkeeper ")
			if !ok || !strings.HasPrefix(line, "bin/hookkeeper ") {
				continue
			}
			typed, _, _ = strings.Cut(typed, "#")
			name := commandOf("hookkeeper "+typed, leaf)
			if name == "" {
				t.Errorf("%s: no such command: %s", path, line)
			}
			knownFlags(t, path, name, typed, leaf[name])
		}
	}
}

// commandOf gives the command that a line calls, or nothing.
func commandOf(line string, leaf map[string]string) string {
	words := strings.Fields(strings.TrimPrefix(line, "hookkeeper "))
	for n := min(2, len(words)); n > 0; n-- {
		if name := strings.Join(words[:n], " "); leaf[name] != "" {
			return name
		}
	}
	return ""
}

func knownFlags(t *testing.T, path, name, text, help string) {
	t.Helper()
	for _, flag := range flagWord.FindAllString(text, -1) {
		if !slices.Contains(flagWord.FindAllString(help, -1), flag) {
			t.Errorf("%s: %s has no flag %s", path, name, flag)
		}
	}
}

// settingsDocument: every flag, key and variable is in docs/configuration.md.
func settingsDocument(t *testing.T) {
	text := readText(t, "docs/configuration.md")
	flags := map[string]string{}
	for _, cells := range table(t, text, "| command | flags |") {
		flags[strings.Trim(cells[0], "`")] = cells[1]
	}
	leaf := leaves(helpOf(t))
	for name, help := range leaf {
		documented := flagWord.FindAllString(flags[name], -1)
		for _, m := range regexp.MustCompile(`(?m)^ {2,6}(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(help, -1) {
			if m[1] != "--help" && !slices.Contains(documented, m[1]) {
				t.Errorf("docs/configuration.md: %s also has %s", name, m[1])
			}
		}
	}
	for name, documented := range flags {
		knownFlags(t, "docs/configuration.md", name, documented, leaf[name])
	}
	words := codes(text)
	variable := regexp.MustCompile(`^(HOOKKEEPER|STRIPE|TOSS|GITHUB|STANDARD_WEBHOOKS|LISTEN)_[A-Z_]+[A-Z]$|^NO_COLOR$|^TERM$`)
	keys, variables := 0, 0
	for _, f := range parsed(t, "cmd/hookkeeper") {
		for _, value := range literals(f) {
			if variable.MatchString(value) {
				variables++
				if !slices.Contains(words, value) {
					t.Errorf("docs/configuration.md does not name the variable %s", value)
				}
			}
		}
		for _, key := range keysOf(f) {
			keys++
			if !slices.ContainsFunc(words, func(w string) bool { return w == key || strings.HasSuffix(w, "."+key) || strings.HasPrefix(w, key+".") }) {
				t.Errorf("docs/configuration.md does not name the key %s", key)
			}
		}
	}
	if keys < 30 || variables < 10 {
		t.Fatalf("found only %d keys and %d variables in the code", keys, variables)
	}
}

// keysOf gives the keys of a configuration file that a source file of
// cmd/hookkeeper knows: those of literals of type keys, and those of the one map
// of texts in the reader's method hmac.
func keysOf(f *ast.File) []string {
	var known []string
	add := func(c *ast.CompositeLit) {
		for _, e := range c.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				known = append(known, literals(kv.Key)...)
			}
		}
	}
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(d, func(n ast.Node) bool {
			c, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			id, named := c.Type.(*ast.Ident)
			_, isMap := c.Type.(*ast.MapType)
			if named && id.Name == "keys" || isMap && d.Name.Name == "hmac" {
				add(c)
			}
			return true
		})
	}
	return known
}

func tablesInDesign(t *testing.T) {
	paths, err := filepath.Glob("internal/sqlstore/schema/*/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	var got []string
	for _, cells := range table(t, readText(t, "internal/sqlstore/DESIGN.md"), "## Tables") {
		got = append(got, strings.Trim(cells[0], "`"))
	}
	want := map[string]bool{}
	for _, path := range paths {
		for _, m := range regexp.MustCompile(`(?m)^CREATE TABLE (\w+) \(`).FindAllStringSubmatch(readText(t, path), -1) {
			want[m[1]] = true
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Errorf("internal/sqlstore/DESIGN.md, every table (-schema +document):\n%s", diff)
	}
}

func routesInReadme(t *testing.T) {
	route := regexp.MustCompile(`^(GET|POST|PUT|DELETE) /api/v1/`)
	want := map[string]bool{}
	for _, f := range parsed(t, "internal/dashboard") {
		for _, value := range literals(f) {
			if route.MatchString(value) {
				want[value] = true
			}
		}
	}
	var got []string
	for _, cells := range table(t, readText(t, "README.md"), "| route | gives |") {
		got = append(got, strings.Trim(cells[0], "`"))
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Errorf("README.md, every route of the API (-code +document):\n%s", diff)
	}
}

// testsThatAreNamed: a promise whose test is gone is only a sentence.
func testsThatAreNamed(t *testing.T) {
	declared := map[string]bool{}
	cases := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, path := range goFiles(t) {
		if !strings.HasSuffix(path, "_test.go") && filepath.Dir(path) != "hooktest" {
			continue
		}
		text := readText(t, path)
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			declared[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`"([A-Z]\w+)":`).FindAllStringSubmatch(text, -1) {
			cases[m[1]] = true
		}
	}
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile(`\b(Test[A-Z]\w+)(?:/(\w+))?`).FindAllStringSubmatch(text, -1) {
			if !declared[m[1]] || m[2] != "" && !cases[m[2]] {
				t.Errorf("%s names the test %s, which does not exist", path, m[0])
			}
		}
	}
}

func linksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
			}
		}
	}
}

func changelogFiles(t *testing.T) {
	paths, err := filepath.Glob("changelog/unreleased/*")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^(Bugfix|Enhancement|Change): [^\n]+\n\n(?s:.*)hookkeeper now|^(Bugfix|Enhancement|Change): [^\n]+\n\n(?s:.*) now `)
	for _, path := range paths {
		if text := readText(t, path); !form.MatchString(text) {
			t.Errorf("%s: want a first line such as Bugfix: what, then what was wrong and what is so now", path)
		}
	}
}
