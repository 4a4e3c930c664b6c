package secretref_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secretref"
)

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, []byte(strings.Repeat("x", 70<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"TOKEN": "from-env"}[name] }
	for ref, want := range map[string]string{"env:TOKEN": "from-env", "file:" + file: "from-file"} {
		v, err := secretref.Resolve(ref, getenv)
		if err != nil || v.Reveal() != want {
			t.Errorf("Resolve(%q) = %q, %v", ref, v.Reveal(), err)
		}
	}
	for ref, want := range map[string]error{
		"env:NONE": secretref.ErrMissing, "file:/no/such/file": os.ErrNotExist, "file:" + long: secretref.ErrTooLong,
		"awssm://name": secretref.ErrSyntax, "plain": secretref.ErrSyntax, "env:": secretref.ErrSyntax, "": secretref.ErrSyntax,
	} {
		if _, err := secretref.Resolve(ref, getenv); !errors.Is(err, want) {
			t.Errorf("Resolve(%q) = %v, want %v", ref, err, want)
		}
	}
	if _, err := secretref.Resolve("file:relative", getenv); err == nil {
		t.Error("a relative path was accepted")
	}
}
