package demo

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// seams are the fields of broker.Options that lead kb elsewhere than to the
// Internet and its certificates, or make it predictable. The installed program
// sets none of them, but for the demo's own throw-away broker.
var seams = []string{"Resolver", "Roots", "Bundle", "Dial", "Now", "Random"}

// goFile is one file that is installed: no test, not the demo's.
type goFile struct {
	path string // from the module's root
	text []byte
	ast  *ast.File
}

// installed reads every Go file of the module but tests and testdata. Modules
// inside it (bench, tools) are not kb.
func installed(t *testing.T) []goFile {
	t.Helper()
	root := "../.."
	var files []goFile
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if rel == "." {
				return nil
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || name == "testdata" || name == "node_modules" || name[0] == '.' || name[0] == '_' {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, parse(t, filepath.ToSlash(rel), string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parse(t *testing.T, path, text string) goFile {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return goFile{path, []byte(text), file}
}

// nameOf is what a file calls an import; "" when it does not import it.
func (f goFile) nameOf(path string) string {
	for _, i := range f.ast.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == path {
			if i.Name != nil {
				return i.Name.Name
			}
			return path[strings.LastIndexByte(path, '/')+1:]
		}
	}
	return ""
}

// forTests are packages that cmd/kb does not install (archtest says so).
var forTests = []string{"internal/testkit/", "internal/golden/", "internal/archtest/", "internal/e2e/"}

// others are assignments to fields that have a seam's name and are of other
// types: a clock of a room's own options, a text on the screen.
var others = map[string]bool{
	"internal/desk/desk.go: assigns to a field: o.Now":       true, // desk.Options
	"internal/doctor/doctor.go: assigns to a field: o.Now":   true, // doctor.Options
	"internal/desk/profiles.go: assigns to a field: out.Now": true, // tui.Pin
}

// setsSeams finds what could set a seam: a composite literal of the broker's
// options with such a field or without field names, an assignment to such a
// field or its address taken, in the broker's package or one that imports it.
func setsSeams(f goFile) (complaints []string) {
	inside := strings.HasPrefix(f.path, "internal/broker/")
	name := f.nameOf("kb/internal/broker")
	if name == "." || name == "_" {
		return []string{f.path + ": imports the broker under no name"}
	}
	isOptions := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return inside && (e.Name == "Options" || e.Name == "InitOptions")
		case *ast.SelectorExpr:
			x, ok := e.X.(*ast.Ident)
			return ok && name != "" && x.Name == name && (e.Sel.Name == "Options" || e.Sel.Name == "InitOptions")
		}
		return false
	}
	seam := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		return ok && slices.Contains(seams, s.Sel.Name)
	}
	complain := func(format string, args ...any) {
		complaints = append(complaints, f.path+": "+fmt.Sprintf(format, args...))
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if !isOptions(n.Type) {
				return true
			}
			for _, element := range n.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					complain("sets the broker's options without naming them")
					break
				}
				if key, ok := pair.Key.(*ast.Ident); ok && slices.Contains(seams, key.Name) {
					complain("sets %s of the broker's options", key.Name)
				}
			}
		case *ast.TypeSpec:
			if isOptions(n.Type) {
				complain("gives the broker's options another name, %s", n.Name.Name)
			}
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if seam(left) {
					complain("assigns to a field: %s", types.ExprString(left))
				}
			}
		case *ast.RangeStmt:
			if n.Key != nil && seam(n.Key) || n.Value != nil && seam(n.Value) {
				complain("ranges into a seam")
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && seam(n.X) {
				complain("takes the address of a field %s", n.X.(*ast.SelectorExpr).Sel.Name)
			}
		}
		return true
	})
	return complaints
}

// TestNothingInstalledSetsTheSeams holds what README and the threat model say:
// no variable, flag, setting or build tag of the installed program leads the
// broker to another resolver, other roots or another dialler.
func TestNothingInstalledSetsTheSeams(t *testing.T) {
	files := installed(t)
	openers := map[string]int{}
	setters := map[string]bool{}
	near := map[string]bool{"internal/broker": true} // folders that can hold the options
	for _, f := range files {
		if f.nameOf("kb/internal/broker") != "" {
			near[path.Dir(f.path)] = true
		}
	}
	for _, f := range files {
		if slices.ContainsFunc(forTests, func(dir string) bool { return strings.HasPrefix(f.path, dir) }) {
			continue
		}
		if !near[path.Dir(f.path)] {
			continue // cannot hold a value of the type
		}
		for _, why := range setsSeams(f) {
			if strings.HasPrefix(f.path, "internal/demo/") {
				setters[f.path] = true
				continue
			}
			if !others[why] {
				t.Error(why)
			}
		}
		if name := f.nameOf("kb/internal/broker"); name != "" {
			openers[f.path] += calls(f, name, "Open") + calls(f, name, "Init")
		}
	}
	// Positive control: the search finds the one file that does set them.
	if len(setters) != 1 || !setters["internal/demo/home.go"] {
		t.Errorf("the demo's setters are %v, want internal/demo/home.go alone", setters)
	}
	// The broker is opened in one place for the verbs, in one for the words that a
	// shell completes, made in one, both and once more for another vault by the
	// dashboard's desk with the options that cmd/kb gives it, and by the demo.
	for path, n := range openers {
		want := map[string]int{
			"cmd/kb/app.go": 1, "cmd/kb/complete.go": 1, "cmd/kb/init.go": 1, "internal/demo/home.go": 2,
			"internal/desk/desk.go": 1, "internal/desk/identity.go": 1, "internal/desk/providers.go": 1,
		}[path]
		if n != want {
			t.Errorf("%s opens or makes a broker %d times, want %d", path, n, want)
		}
	}
	if openers["cmd/kb/app.go"] != 1 {
		t.Error("cmd/kb/app.go does not open the broker: this test looks in the wrong place")
	}
}

func calls(f goFile, pkg, function string) (n int) {
	ast.Inspect(f.ast, func(node ast.Node) bool {
		if s, ok := node.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg && s.Sel.Name == function {
				n++
			}
		}
		return true
	})
	return n
}

// TestTheProxyIsMadeByTheBroker: the proxy has seams of the same names, which
// only the broker fills in, from its own.
func TestTheProxyIsMadeByTheBroker(t *testing.T) {
	makers := map[string]bool{}
	for _, f := range installed(t) {
		if slices.ContainsFunc(forTests, func(dir string) bool { return strings.HasPrefix(f.path, dir) }) {
			continue
		}
		if name := f.nameOf("kb/proxy"); name != "" && calls(f, name, "New")+calls(f, name, "Options") > 0 {
			makers[f.path] = true
		}
	}
	if len(makers) != 1 || !makers["internal/broker/session.go"] {
		t.Errorf("the proxy is made in %v, want internal/broker/session.go alone", makers)
	}
}

// platforms are the build tags that kb's files may ask for: which system and
// processor it is built for, nothing that a builder chooses.
var platforms = []string{"linux", "darwin", "unix", "amd64", "arm64"}

// strangeTags are the build tags of a file that are no platforms.
func strangeTags(f goFile) (tags []string) {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if !constraint.IsGoBuild(c.Text) && !constraint.IsPlusBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				return append(tags, c.Text)
			}
			var walk func(constraint.Expr)
			walk = func(e constraint.Expr) {
				switch e := e.(type) {
				case *constraint.AndExpr:
					walk(e.X)
					walk(e.Y)
				case *constraint.OrExpr:
					walk(e.X)
					walk(e.Y)
				case *constraint.NotExpr:
					walk(e.X)
				case *constraint.TagExpr:
					if !slices.Contains(platforms, e.Tag) {
						tags = append(tags, e.Tag)
					}
				}
			}
			walk(expr)
		}
	}
	return tags
}

func TestNoBuildTagsButPlatforms(t *testing.T) {
	found := 0
	for _, f := range installed(t) {
		testing := slices.ContainsFunc(forTests, func(dir string) bool { return strings.HasPrefix(f.path, dir) }) // in no kb
		if tags := strangeTags(f); len(tags) > 0 && !testing {
			t.Errorf("%s: build tags %q; kb is built one way on each platform", f.path, tags)
		}
		if strings.Contains(string(f.text), "//go:build ") {
			found++
		}
		if strings.Contains(string(f.text), "//go:"+"linkname") {
			t.Errorf("%s: go:linkname reaches past a package's doors", f.path)
		}
	}
	if found == 0 {
		t.Error("found no build tag at all: this test looks in the wrong place")
	}
}

// TestDemoReadsNoEnvironment: what the demo uses of the environment is in its
// Options, but for TMPDIR, which os.MkdirTemp reads.
func TestDemoReadsNoEnvironment(t *testing.T) {
	for _, f := range installed(t) {
		if strings.HasPrefix(f.path, "internal/demo/") {
			for _, function := range []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "UserHomeDir", "UserConfigDir", "UserCacheDir"} {
				if calls(f, "os", function) > 0 {
					t.Errorf("%s uses os.%s", f.path, function)
				}
			}
		}
	}
}

func TestTheSeamChecksCanFail(t *testing.T) {
	bad := parse(t, "cmd/kb/bad.go", `//go:build insecure && linux

package main

import b "kb/internal/broker"

type other b.Options

func f(r []int) {
	_ = b.Options{Paths: p, Resolver: r}
	_ = b.Options{p, nil}
	var o b.InitOptions
	o.Roots = pool
	o.Options.Dial, o.Name = dial, "x"
	flags.BytesVar(&o.Bundle)
	for o.Now = range r {
	}
	_ = b.InitOptions{Options: b.Options{Random: zero}}
}`)
	if got := setsSeams(bad); len(got) != 8 {
		t.Errorf("setsSeams found %d of 8: %q", len(got), got)
	}
	if got := strangeTags(bad); !slices.Equal(got, []string{"insecure"}) {
		t.Errorf("strangeTags = %q", got)
	}
	good := parse(t, "cmd/kb/good.go", `package main
import "kb/internal/broker"
func f() {
	_ = broker.Options{Paths: p, Getenv: g}
	var o broker.InitOptions
	o.Paths, o.Getenv = p, g
}`)
	if got := setsSeams(good); len(got) != 0 {
		t.Errorf("setsSeams refuses %q", got)
	}
	inside := parse(t, "internal/broker/x.go", `package broker
func f() { _ = Options{Now: nil} }`)
	if got := setsSeams(inside); len(got) != 1 {
		t.Errorf("setsSeams inside the broker = %q", got)
	}
}
