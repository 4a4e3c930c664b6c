package secretref_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secretref"
)

// environ makes an environment of its own.
func environ(pairs ...string) secretref.Options {
	values := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		values[name] = value
	}
	return secretref.Options{Getenv: func(name string) string { return values[name] }, Environ: pairs}
}

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, []byte(strings.Repeat("x", 70<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := secretref.New(environ("TOKEN=from-env"))
	for ref, want := range map[string]string{"env:TOKEN": "from-env", "file:" + file: "from-file"} {
		v, err := r.Resolve(context.Background(), ref, nil)
		if err != nil || v.Reveal() != want {
			t.Errorf("Resolve(%q) = %q, %v", ref, v.Reveal(), err)
		}
	}
	for ref, want := range map[string]error{
		"env:NONE": secretref.ErrMissing, "file:/no/such/file": os.ErrNotExist,
		"plain": secretref.ErrSyntax, "": secretref.ErrSyntax, "ftp://x": secretref.ErrSyntax,
	} {
		if _, err := r.Resolve(context.Background(), ref, nil); !errors.Is(err, want) {
			t.Errorf("Resolve(%q) = %v, want %v", ref, err, want)
		}
	}
	for _, ref := range []string{"file:relative", "env:", "file:", "cmd:", "env:A=B", "file:" + long} {
		if _, err := r.Resolve(context.Background(), ref, nil); err == nil {
			t.Errorf("%q was accepted", ref)
		}
	}
}
