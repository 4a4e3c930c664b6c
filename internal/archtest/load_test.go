package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Name string
	Standard         bool
	Module           *struct{ Path string }
	Imports, Deps    []string
	TestImports      []string
	XTestImports     []string
}

// listed keeps go list's answer for each OS: it takes a second or two.
var (
	listedMu sync.Mutex
	listed   = map[string][]goPackage{}
)

// listPackages returns the packages of kb, as goos builds them, of which some
// may not compile.
func listPackages(t *testing.T, goos string) []goPackage {
	t.Helper()
	var ours []goPackage
	for _, p := range listAll(t, goos) {
		if p.ImportPath == "kb" || strings.HasPrefix(p.ImportPath, "kb/") {
			ours = append(ours, p)
		}
	}
	if len(ours) < 5 {
		t.Fatalf("go list found %d packages of kb: it looked at nothing", len(ours))
	}
	return ours
}

// listAll returns also what they depend on.
func listAll(t *testing.T, goos string) []goPackage {
	t.Helper()
	listedMu.Lock()
	defer listedMu.Unlock()
	if l, ok := listed[goos]; ok {
		return l
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps",
		"-json=ImportPath,Name,Standard,Module,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	listed[goos] = all
	return all
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("no go.mod two folders up: %v", err)
	}
	return dir
}

// source is one Go file of kb.
type source struct {
	path string // from the module's folder, with slashes
	fset *token.FileSet
	file *ast.File
	text []byte
}

// folder is where the file is.
func (s *source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

// test reports whether the file is never installed: a _test.go file, one of a
// room for tests, or of a generator, which is a command other than kb.
func (s *source) test() bool {
	if strings.HasSuffix(s.path, "_test.go") || s.file.Name.Name == "main" && s.folder() != "cmd/kb" {
		return true
	}
	_, r, ok := roomOf(floors, s.folder())
	return ok && r.test
}

// generated reports whether a program wrote the file.
func (s *source) generated() bool { return ast.IsGenerated(s.file) }

// at is where a node stands, for a message.
func (s *source) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return s.path + ":" + strconv.Itoa(p.Line)
}

// parseSource reads one file from text.
func parseSource(path string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{path: path, fset: fset, file: f, text: text}, nil
}

// sources parses every Go file of the module for all systems. Modules of their
// own (bench, tools) are left out.
var sources = sync.OnceValues(func() ([]*source, error) {
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	var out []*source
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if path != top && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
				name == "testdata" || name == "node_modules" || exists(filepath.Join(path, "go.mod"))) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(rel), text)
		if err != nil {
			return err
		}
		out = append(out, s)
		return nil
	})
	return out, err
})

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// allSources is sources for a test.
func allSources(t *testing.T) []*source {
	t.Helper()
	out, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("%d Go files found: the walk looked at nothing", len(out))
	}
	return out
}
