package hookkeeper_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Limits of TestHabits. Whoever raises one says why in the commit.
const (
	maxFileLines     = 500
	maxTestFileLines = 800
	maxFuncLines     = 70
	maxMethods       = 7
)

// maySleep are the packages that play the outside world.
var maySleep = map[string]bool{"hooktest": true, "tosstest": true, "internal/dev": true}

// vague names say nothing of what happens in a package.
var vague = map[string]bool{"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "base": true,
	"misc": true, "models": true, "types": true, "shared": true, "manager": true, "service": true, "impl": true}

func TestHabits(t *testing.T) {
	t.Parallel()
	files := goFiles(t)
	if len(files) < 50 {
		t.Fatalf("found only %d Go files", len(files))
	}
	documented := map[string]bool{}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		h := habit{t: t, path: path, fset: fset, file: f, test: strings.HasSuffix(path, "_test.go")}
		h.checkFile(src)
		h.checkDecls()
		if f.Doc != nil {
			documented[filepath.Dir(path)] = true
		}
	}
	for _, path := range files {
		if dir := filepath.Dir(path); !documented[dir] && !strings.HasSuffix(path, "_test.go") {
			documented[dir] = true
			t.Errorf("package in %s has no comment", dir)
		}
	}
}

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

type habit struct {
	t    *testing.T
	path string
	fset *token.FileSet
	file *ast.File
	test bool
}

func (h *habit) errorf(n ast.Node, format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("%s: "+format, append([]any{h.fset.Position(n.Pos())}, args...)...)
}

func (h *habit) checkFile(src []byte) {
	limit := maxFileLines
	if h.test {
		limit = maxTestFileLines
	}
	if n := bytes.Count(src, []byte("\n")); n > limit {
		h.t.Errorf("%s has %d lines, the limit is %d", h.path, n, limit)
	}
	if vague[strings.TrimSuffix(h.file.Name.Name, "_test")] {
		h.errorf(h.file.Name, "package %s: name it after what happens there", h.file.Name.Name)
	}
	dir := filepath.ToSlash(filepath.Dir(h.path))
	ast.Inspect(h.file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && !maySleep[dir] {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && s.Sel.Name == "Sleep" {
				h.errorf(n, "time.Sleep: wait for a signal or a deadline")
			}
		}
		return true
	})
}

func (h *habit) checkDecls() {
	for _, decl := range h.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			h.checkFunc(d)
		case *ast.GenDecl:
			h.checkGen(d)
		}
	}
}

func (h *habit) checkFunc(d *ast.FuncDecl) {
	if n := h.fset.Position(d.End()).Line - h.fset.Position(d.Pos()).Line + 1; n > maxFuncLines {
		h.errorf(d, "%s has %d lines, the limit is %d", d.Name.Name, n, maxFuncLines)
	}
	if d.Recv == nil && d.Name.Name == "init" {
		h.errorf(d, "init: do it where it is used")
	}
	if h.test || !d.Name.IsExported() || d.Recv != nil && !exportedReceiver(d.Recv) {
		return
	}
	h.wantDoc(d, d.Name, d.Doc, true)
}

func exportedReceiver(recv *ast.FieldList) bool {
	expr := recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	id, ok := expr.(*ast.Ident)
	return ok && id.IsExported()
}

func (h *habit) wantDoc(n ast.Node, name *ast.Ident, doc *ast.CommentGroup, first bool) {
	h.t.Helper()
	text := strings.TrimSpace(doc.Text())
	if text == "" {
		h.errorf(n, "exported %s has no comment", name.Name)
		return
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "A "), "An ")
	if first && !strings.HasPrefix(text, name.Name) && !strings.HasPrefix(text, "Deprecated") {
		h.errorf(n, "the comment of %s does not begin with its name", name.Name)
	}
}

func (h *habit) checkGen(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if i, ok := s.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
				h.errorf(s, "interface %s has %d methods, the limit is %d", s.Name.Name, i.Methods.NumFields(), maxMethods)
			}
			if !h.test && s.Name.IsExported() {
				doc := s.Doc
				if doc == nil {
					doc = d.Doc
				}
				h.wantDoc(s, s.Name, doc, true)
			}
		case *ast.ValueSpec:
			h.checkValues(d, s)
		}
	}
}

// checkValues wants a comment on each exported constant or variable, or on the
// group that it stands in.
func (h *habit) checkValues(d *ast.GenDecl, s *ast.ValueSpec) {
	for _, name := range s.Names {
		if !h.test && name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
			h.errorf(s, "exported %s has no comment", name.Name)
		}
	}
}
