package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kb/internal/atomicfile"
)

func entries(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteReplacesAndLeavesNothingElse(t *testing.T) {
	for _, durable := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		for _, content := range []string{"one", "two", ""} {
			if err := atomicfile.Write(path, []byte(content), atomicfile.Options{Durable: durable}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != content {
				t.Fatalf("read %q, %v; want %q", got, err, content)
			}
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("mode is %v, want 0600", fi.Mode())
		}
		if got := entries(t, dir); len(got) != 1 {
			t.Errorf("directory holds %q", got)
		}
	}
}

func TestRefusedRenameKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	no := errors.New("replaced meanwhile")
	err := atomicfile.Write(path, []byte("new"), atomicfile.Options{BeforeRename: func() error { return no }})
	if !errors.Is(err, no) {
		t.Fatalf("Write = %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("file holds %q", got)
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("the temporary file stayed: %q", got)
	}
}

// What a killed writer left is gone with the next save of that file, so that
// kills do not pile it up; what a live one writes stays.
func TestWriteSweepsWhatADeadWriterLeft(t *testing.T) {
	dir := t.TempDir()
	left, other := filepath.Join(dir, ".f.kb-tmp-00"), filepath.Join(dir, ".g.kb-tmp-00")
	for _, p := range []string{left, other} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "f")
	write := func(content string, before func() error) {
		t.Helper()
		if err := atomicfile.Write(path, []byte(content), atomicfile.Options{Durable: true, BeforeRename: before}); err != nil {
			t.Fatal(err)
		}
	}
	// The outer writer is alive while the inner one sweeps.
	write("outer", func() error {
		if got := entries(t, dir); len(got) != 2 {
			t.Errorf("beside the live temporary file: %q", got)
		}
		write("inner", nil)
		return nil
	})
	if b, err := os.ReadFile(path); err != nil || string(b) != "outer" {
		t.Errorf("the outer write ended with %q, %v", b, err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error("the left-over is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is another file's was removed: %v", err)
	}
}

func TestTargetFollowsLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "dot", "files"), 0o700))
	must(os.Symlink("dot/files", filepath.Join(dir, "d")))
	must(os.Symlink("d/../vault", filepath.Join(dir, "updir"))) // dot/vault, not vault
	must(os.Symlink("dot/files/vault", filepath.Join(dir, "one")))
	must(os.Symlink(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	for link, want := range map[string]string{"one": "dot/files/vault", "two": "dot/files/vault", "plain": "plain"} {
		got, err := atomicfile.Target(filepath.Join(dir, link))
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("Target(%s) = %q, %v; want %q", link, got, err, want)
		}
	}
	if _, err := atomicfile.Target(filepath.Join(dir, "loop")); err == nil {
		t.Error("a loop was followed to an end")
	}
	// A link to "d/../vault" means the parent of what d points to.
	got, err := atomicfile.Target(filepath.Join(dir, "updir"))
	must(err)
	must(os.WriteFile(got, []byte("x"), 0o600))
	if b, err := os.ReadFile(filepath.Join(dir, "updir")); err != nil || string(b) != "x" {
		t.Errorf("Target(updir) = %q, which is not where the system looks: %v", got, err)
	}
}
