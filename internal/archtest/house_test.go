package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines: a file is a room with one purpose; past this it is two.
const maxLines = 600

// vague are names that say nothing of what is inside.
var vague = []string{"utils", "util", "common", "helpers", "helper", "types", "misc", "base", "lib", "shared"}

// exits are the files that may end the process.
var exits = map[string]string{
	"cmd/kb/main.go":    "the one place that turns an error into an exit code",
	"cmd/kb/environ.go": "before anything else runs: an environment that cannot be cleaned is not used",
}

func TestHouseRules(t *testing.T) {
	files := allSources(t)
	for _, check := range []func([]*source) []string{tooLong, vagueNames, noPackageDoc, endings, unfinished, templates} {
		for _, why := range check(files) {
			t.Error(why)
		}
	}
}

func tooLong(files []*source) (complaints []string) {
	for _, s := range files {
		if n := bytes.Count(s.text, []byte("\n")); n > maxLines && !s.generated() {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines, the ceiling is %d", s.path, n, maxLines))
		}
	}
	return complaints
}

func vagueNames(files []*source) (complaints []string) {
	seen := map[string]bool{}
	for _, s := range files {
		name := strings.TrimSuffix(s.file.Name.Name, "_test")
		if slices.Contains(vague, name) && !seen[s.folder()] {
			seen[s.folder()] = true
			complaints = append(complaints, s.folder()+": package "+name+" has no noun of its own")
		}
	}
	return complaints
}

// templating are cobra's methods that execute a template. A program that can reach
// one keeps every exported method of every type, since a template may name any: 2.5 MB
// of kb.
var templating = []string{"SetVersionTemplate", "SetUsageTemplate", "SetHelpTemplate", "AddTemplateFunc", "AddTemplateFuncs"}

func templates(files []*source) (complaints []string) {
	for _, s := range files {
		if !strings.HasPrefix(s.path, "cmd/") || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(templating, sel.Sel.Name) {
				complaints = append(complaints, s.path+": "+sel.Sel.Name+" makes the program 2.5 MB larger; write the text by a function")
			}
			return true
		})
	}
	return complaints
}

// noPackageDoc wants a package comment, the manual page, in each package.
func noPackageDoc(files []*source) (complaints []string) {
	documented := map[string]bool{}
	for _, s := range files {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		documented[s.folder()] = documented[s.folder()] || s.file.Doc != nil && names(s, s.file.Doc.Text())
	}
	for folder, ok := range documented {
		if !ok {
			complaints = append(complaints, folder+": no package comment that begins with the package's name")
		}
	}
	slices.Sort(complaints)
	return complaints
}

// names reports whether a package comment begins as go.dev/doc/comment has it:
// "Package profile ...", and for a command "Command kb ..." or "Gen ...".
func names(s *source, doc string) bool {
	words := strings.Fields(doc)
	if len(words) < 3 {
		return false
	}
	if s.file.Name.Name != "main" {
		return words[0] == "Package" && words[1] == s.file.Name.Name
	}
	name := filepath.Base(s.folder())
	return words[0] == "Command" && words[1] == name || strings.EqualFold(words[0], name)
}

// unfinished finds comments that put work off: it is done, or it is an issue.
func unfinished(files []*source) (complaints []string) {
	mark := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	for _, s := range files {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if m := mark.FindString(c.Text); m != "" && s.folder() != "internal/archtest" {
					complaints = append(complaints, s.at(c)+": "+m)
				}
			}
		}
	}
	return complaints
}

// endings finds what ends the process, other than a panic, outside main.
func endings(files []*source) (complaints []string) {
	for _, s := range files {
		if s.test() || exits[s.path] != "" {
			continue
		}
		std, logs := localName(s.file, "os", "os"), localName(s.file, "log", "log")
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := sel.Sel.Name
			if std != "" && x.Name == std && name == "Exit" ||
				logs != "" && x.Name == logs && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")) {
				complaints = append(complaints, s.at(n)+": ends the process; return an error to main")
			}
			return true
		})
	}
	return complaints
}

// TestEachDependencyIsExplained wants a word in docs/dependencies.md on every
// module that a package of kb imports.
func TestEachDependencyIsExplained(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range unexplained(directModules(t), string(doc)) {
		t.Error(why)
	}
}

// TestTheMapIsWhole wants each package of kb in docs/architecture.md.
func TestTheMapIsWhole(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range listPackages(t, "linux") {
		path := strings.TrimPrefix(p.ImportPath, "kb/")
		if name, _, ok := roomOf(floors, path); ok {
			path = name
		}
		if !bytes.Contains(doc, []byte("`"+path+"`")) {
			t.Errorf("docs/architecture.md has no word on `%s`", path)
		}
	}
}

// TestThreatModelNamesRealTests wants each test that docs/threat-model.md names.
func TestThreatModelNamesRealTests(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)").FindAllSubmatch(doc, -1)
	if len(named) < 10 {
		t.Fatalf("docs/threat-model.md names %d tests", len(named))
	}
	have := testNames(allSources(t))
	for _, m := range named {
		if !have[string(m[1])] {
			t.Errorf("docs/threat-model.md names %s, which is no test", m[1])
		}
	}
}

// testNames are the tests and fuzz targets of all packages.
func testNames(files []*source) map[string]bool {
	names := map[string]bool{}
	for _, s := range files {
		if !strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// directModules maps each module that kb imports, also in tests, to one
// importer.
func directModules(t *testing.T) map[string]string {
	t.Helper()
	modules := map[string]string{}
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range listPackages(t, goos) {
			for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if host, _, ok := strings.Cut(path, "/"); ok && strings.Contains(host, ".") {
					modules[modulePath(path)] = p.ImportPath
				}
			}
		}
	}
	return modules
}

// modulePath cuts an import path to what its module is called: three elements
// on a code host, two elsewhere, and a major version.
func modulePath(path string) string {
	parts := strings.Split(path, "/")
	n := 2
	if parts[0] == "github.com" || parts[0] == "golang.org" {
		n = 3
	}
	n = min(n, len(parts))
	if len(parts) > n && len(parts[n]) > 1 && parts[n][0] == 'v' && strings.Trim(parts[n][1:], "0123456789") == "" {
		n++
	}
	return strings.Join(parts[:n], "/")
}

func unexplained(modules map[string]string, doc string) (complaints []string) {
	for module, importer := range modules {
		if !strings.Contains(doc, module+"`") {
			complaints = append(complaints, fmt.Sprintf("docs/dependencies.md has no line on `%s`, which %s imports", module, importer))
		}
	}
	slices.Sort(complaints)
	return complaints
}

func TestTheHouseChecksCanFail(t *testing.T) {
	long := mustParse(t, "proxy/long.go", "// Package proxy is long.\npackage proxy\n"+strings.Repeat("\n", maxLines))
	generated := mustParse(t, "proxy/gen.go", "// Code generated by x. DO NOT EDIT.\n\npackage proxy\n"+strings.Repeat("\n", maxLines))
	exit := mustParse(t, "internal/utils/exit.go", `package utils
// TODO: everything
import ("log"; sys "os")
func f() { sys.Exit(1); log.Fatalf("x"); log.Print("fine") }`)
	main := mustParse(t, "cmd/kb/main.go", `// Command kb is one.
package main
import "os"
func main() { os.Exit(0) }`)
	files := []*source{long, generated, exit, main}
	for name, c := range map[string]struct {
		check func([]*source) []string
		want  int
	}{
		"tooLong":      {tooLong, 1},
		"vagueNames":   {vagueNames, 1},
		"noPackageDoc": {noPackageDoc, 1},
		"endings":      {endings, 2},
		"unfinished":   {unfinished, 1},
	} {
		if got := c.check(files); len(got) != c.want {
			t.Errorf("%s = %q, want %d complaints", name, got, c.want)
		}
	}
	modules := map[string]string{"github.com/acme/known": "kb/a", "github.com/acme/new": "kb/b"}
	if got := unexplained(modules, "| `github.com/acme/known` | why |"); len(got) != 1 || !strings.Contains(got[0], "acme/new") {
		t.Errorf("unexplained = %q", got)
	}
	for path, want := range map[string]string{
		"github.com/go-git/go-git/v5/plumbing": "github.com/go-git/go-git/v5",
		"filippo.io/age/armor":                 "filippo.io/age",
		"golang.org/x/net/http2":               "golang.org/x/net",
		"pgregory.net/rapid":                   "pgregory.net/rapid",
		"github.com/fsnotify/fsnotify":         "github.com/fsnotify/fsnotify",
	} {
		if got := modulePath(path); got != want {
			t.Errorf("modulePath(%q) = %q, want %q", path, got, want)
		}
	}
}
