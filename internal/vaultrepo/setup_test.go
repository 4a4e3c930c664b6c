package vaultrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAttributesOfStrangePaths: the line matches the vault's path, whatever is
// in it, and no other; git is the judge.
func TestAttributesOfStrangePaths(t *testing.T) {
	for _, path := range []string{
		"vault.age", "kb/vault.age", "a b/vault.age", "*.age", "[ab]?/v.age", `back\slash/vault.age`, `"quoted".age`,
		"#hash.age", "!not.age", " leading.age", "tab\there.age", "line\nmerge=evil.age", "ü/välve.age",
		"vault.age merge=evil", "$(touch x).age", "-rf.age",
	} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t)
			w.run("", "init", "-q", w.path("dot"))
			w.write("dot/"+path, "x")
			w.write("dot/.gitattributes", "*.txt text")
			r := w.find("dot/" + path)
			kb := "/opt/it's 100% kb/kb"
			s, err := r.SetUp(t.Context(), kb)
			if err != nil || !s.Changed {
				t.Fatalf("SetUp = %+v, %v", s, err)
			}
			if again, err := r.SetUp(t.Context(), kb); err != nil || again.Changed {
				t.Errorf("second SetUp = %+v, %v", again, err)
			}
			text := w.read("dot/.gitattributes")
			if !strings.HasPrefix(text, "*.txt text\n") || strings.Count(text, "\n") != 2 {
				t.Errorf(".gitattributes = %q", text)
			}
			attribute := func(path string) string {
				out := w.run("dot", "check-attr", "-z", "merge", "--", path)
				return strings.Split(out, "\x00")[2]
			}
			if got := attribute(path); got != DriverName {
				t.Errorf("the vault's merge attribute = %q in %q", got, text)
			}
			for _, other := range []string{"other.age", "x.age", "a/v.age", "b", "evil.age", "sub/" + path, "hash.age", "not.age", "x/vault.age", path + "x"} {
				if got := attribute(other); other != path && got != "unspecified" {
					t.Errorf("%q has merge attribute %q", other, got)
				}
			}
		})
	}
}

// TestSetUpDriver: git starts the program that was named, however its path is
// written, with the three files.
func TestSetUpDriver(t *testing.T) {
	w := newWorld(t)
	w.pair()
	kb := w.path("it's 100% $(touch evil) kb/kb")
	w.write(kb, "#!/bin/sh\nif [ \"$2\" = show ]; then echo shown; exit; fi\n[ \"$1 $2 $#\" = 'vault merge 5' ] || exit 9\ncat \"$4\" \"$5\" >merged && mv merged \"$4\"\n")
	if err := os.Chmod(kb, 0o700); err != nil {
		t.Fatal(err)
	}
	r := w.find("laptop/kb/vault.age")
	if _, err := r.SetUp(t.Context(), kb); err != nil {
		t.Fatal(err)
	}
	w.write("desk/kb/vault.age", "two\n")
	w.commitAll("desk", "two")
	w.run("desk", "push", "-q")
	w.write("laptop/kb/vault.age", "three\n")
	w.commitAll("laptop", "three")
	w.run("laptop", "pull", "-q", "--no-rebase", "--no-edit")
	if got := w.read("laptop/kb/vault.age"); got != "three\ntwo\n" {
		t.Errorf("merged = %q", got)
	}
	if _, err := os.Stat(w.path("laptop/evil")); err == nil {
		t.Error("the driver's path was run as a command")
	}
	if out := w.run("laptop", "diff", "HEAD~1", "--", "kb/vault.age"); out != "" {
		t.Errorf("git diff of what kb shows alike = %q", out)
	}
}

// TestSetUpOverridden: attributes nearer to the vault win, and that is said.
func TestSetUpOverridden(t *testing.T) {
	w := newWorld(t)
	w.repo("dot")
	w.write("dot/kb/.gitattributes", "*.age merge=other\n")
	r := w.find("dot/kb/vault.age")
	if _, err := r.SetUp(t.Context(), "/usr/bin/kb"); !errors.Is(err, ErrOverridden) {
		t.Errorf("SetUp = %v", err)
	}
}

// TestSetUpKeepsMode: the file stays as readable as it was.
func TestSetUpKeepsMode(t *testing.T) {
	w := newWorld(t)
	w.repo("dot")
	r := w.find("dot/kb/vault.age")
	if _, err := r.SetUp(t.Context(), "/usr/bin/kb"); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(r.Root, ".gitattributes"))
	if err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("mode = %v, %v", fi.Mode(), err)
	}
}
