// Package secretref resolves values that live elsewhere: a vault may hold a
// reference in place of a secret.
//
//	env:NAME     a variable of kb's own environment
//	file:/path   a file; its trailing line break is dropped
//
// References into other managers (AWS Secrets Manager, 1Password, HashiCorp
// Vault and their like) are not supported yet, and refused by name.
package secretref

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"kb/internal/secret"
)

// maxFile bounds a referenced file, in bytes: the largest real one is a service
// account's JSON of some 3 KiB.
const maxFile = 64 << 10

// Errors of a reference.
var (
	ErrSyntax  = errors.New("not a reference that kb knows (env:NAME, file:/path)")
	ErrMissing = errors.New("nothing is there")
	ErrTooLong = fmt.Errorf("longer than %d bytes", maxFile)
)

// Check reports whether ref has a form that Resolve knows.
func Check(ref string) error {
	scheme, rest, _ := strings.Cut(ref, ":")
	switch {
	case scheme == "env" && rest != "" && !strings.ContainsAny(rest, "=\x00"):
		return nil
	case scheme == "file" && filepath.IsAbs(rest):
		return nil
	case scheme == "file":
		return fmt.Errorf("use reference %q: the path must be absolute", ref)
	}
	return fmt.Errorf("use reference %q: %w", ref, ErrSyntax)
}

// Resolve fetches the value; getenv is kb's environment. Errors name the
// reference, never what it holds.
func Resolve(ref string, getenv func(string) string) (secret.Value, error) {
	if err := Check(ref); err != nil {
		return secret.Value{}, err
	}
	scheme, rest, _ := strings.Cut(ref, ":")
	if scheme == "env" {
		v := secret.New(getenv(rest))
		if v.IsZero() {
			return secret.Value{}, fmt.Errorf("resolve %q: %w", ref, ErrMissing)
		}
		return v, nil
	}
	f, err := os.Open(rest)
	if err != nil {
		return secret.Value{}, fmt.Errorf("resolve %q: %w", ref, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return secret.Value{}, fmt.Errorf("resolve %q: %w", ref, err)
	}
	if len(data) > maxFile {
		return secret.Value{}, fmt.Errorf("resolve %q: %w", ref, ErrTooLong)
	}
	v := secret.New(strings.TrimRight(string(data), "\r\n"))
	if v.IsZero() {
		return secret.Value{}, fmt.Errorf("resolve %q: %w", ref, ErrMissing)
	}
	return v, nil
}

// Variable returns the environment variable that a reference reads, "" when it
// reads none.
func Variable(ref string) string {
	name, ok := strings.CutPrefix(ref, "env:")
	if !ok {
		return ""
	}
	return name
}

// File returns the file that a reference reads, "" when it reads none. A file
// may change while a session runs.
func File(ref string) string {
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return ""
	}
	return path
}
