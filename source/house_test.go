package source_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/source"
)

// files parses the files of this package whose name has the suffix.
func files(t *testing.T, test bool) (*token.FileSet, []*ast.File) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var out []*ast.File
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && strings.HasSuffix(e.Name(), "_test.go") == test {
			f, err := parser.ParseFile(set, e.Name(), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, f)
		}
	}
	if len(out) < 5 {
		t.Fatalf("only %d files", len(out))
	}
	return set, out
}

func functions(fs []*ast.File) (names []string) {
	for _, f := range fs {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// TestEveryParserOfForeignBytesIsFuzzed: each sender, and each exported function
// that parses, verifies or explains, has a Fuzz target of its name.
func TestEveryParserOfForeignBytesIsFuzzed(t *testing.T) {
	_, tests := files(t, true)
	_, code := files(t, false)
	targets := map[string]bool{}
	for _, name := range functions(tests) {
		if what, ok := strings.CutPrefix(name, "Fuzz"); ok {
			targets[strings.ToLower(what)] = true
		}
	}
	want := source.Senders()
	for _, name := range functions(code) {
		if regexp.MustCompile(`^(Parse|Verify|Explain$|TossDepositSecret$)`).MatchString(name) {
			want = append(want, name)
		}
	}
	if len(want) != 8 {
		t.Errorf("expected six senders and two functions, found %q", want)
	}
	for _, name := range want {
		if !targets[strings.ToLower(strings.ReplaceAll(name, "-", ""))] {
			t.Errorf("%s has no Fuzz target", name)
		}
	}
}

// TestSecretsAreComparedInConstantTime refuses every comparison of signatures,
// MACs and secrets but hmac.Equal and the packages' own Verify.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	set, code := files(t, false)
	delicate := regexp.MustCompile(`(?i)^(sigs?|sum|macs?|signature|secrets?|stored|got|key|keys|expected|digest|decoded)$`)
	equals := 0
	for _, f := range code {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				pkg, _ := n.X.(*ast.Ident)
				if pkg == nil {
					return true
				}
				switch name := pkg.Name + "." + n.Sel.Name; name {
				case "bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Equal", "reflect.DeepEqual":
					t.Errorf("%s: %s", set.Position(n.Pos()), name)
				case "hmac.Equal":
					equals++
				}
			case *ast.BinaryExpr:
				if n.Op != token.EQL && n.Op != token.NEQ {
					return true
				}
				x, xIdent := n.X.(*ast.Ident)
				y, yIdent := n.Y.(*ast.Ident)
				if xIdent && yIdent && y.Name != "nil" && (delicate.MatchString(x.Name) || delicate.MatchString(y.Name)) {
					t.Errorf("%s: %s %s %s", set.Position(n.Pos()), x.Name, n.Op, y.Name)
				}
			}
			return true
		})
	}
	if equals < 2 {
		t.Errorf("hmac.Equal is used %d times: is this test looking in the right place?", equals)
	}
}
