package vaultfile_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kb/vaultfile"
)

// oneOf names the error of a damaged file. It must be exactly one: someone has
// to be told what is wrong.
func oneOf(t *testing.T, what string, err error) string {
	t.Helper()
	var found []string
	for name, e := range map[string]error{
		"not a vault": vaultfile.ErrNotVault, "malformed": vaultfile.ErrMalformed, "non-canonical": vaultfile.ErrNonCanonical,
		"truncated": vaultfile.ErrTruncated, "tampered": vaultfile.ErrTampered, "too large": vaultfile.ErrTooLarge,
		"wrong key": vaultfile.ErrWrongKey, "foreign": vaultfile.ErrForeignVault, "unknown signer": vaultfile.ErrUnknownSigner,
		"bad signature": vaultfile.ErrBadSignature, "rollback": vaultfile.ErrRollback, "forked": vaultfile.ErrForked,
	} {
		if errors.Is(err, e) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Errorf("%s: %v is named %q", what, err, found)
		return ""
	}
	return found[0]
}

func TestEveryFlipAndEveryTruncationIsNamed(t *testing.T) {
	w := newWorld(t)
	whole, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	crlf := bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n"))
	try := func(b []byte) (*vaultfile.File, error) {
		if err := os.WriteFile(w.path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return vaultfile.Open(context.Background(), w.path, w.id, w.mem)
	}
	names := map[string]int{}
	refuse := func(what string, b []byte) {
		f, err := try(b)
		if f != nil || err == nil {
			t.Fatalf("%s: opened", what)
		}
		names[oneOf(t, what, err)]++
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		refuse("flip in "+string(whole[max(0, i-8):i]), b)
		refuse("truncation", whole[:i])
	}
	for i := range crlf {
		refuse("truncation with CRLF", crlf[:i])
	}
	for what, b := range map[string][]byte{
		"something after it": append(bytes.Clone(whole), "x"...), "a newline after it": append(bytes.Clone(whole), '\n'),
		"something before it": append([]byte("\n"), whole...), "twice": append(bytes.Clone(whole), whole...),
		"one CRLF":                        bytes.Replace(whole, []byte("\n"), []byte("\r\n"), 1),
		"one CR at the end of the base64": bytes.Replace(whole, []byte("\n-----END"), []byte("\r\n-----END"), 1),
		"no vault":                        []byte("hello"),
		"conflict":                        []byte("<<<<<<< HEAD\n" + string(whole)),
	} {
		refuse(what, b)
	}
	if err := os.Truncate(w.path, 65<<20); err != nil {
		t.Fatal(err)
	}
	_, err = vaultfile.Open(context.Background(), w.path, w.id, w.mem)
	names[oneOf(t, "65 MiB", err)]++
	t.Logf("named: %v", names)
	for _, n := range []string{"not a vault", "malformed", "truncated", "tampered", "wrong key", "too large"} {
		if names[n] == 0 {
			t.Errorf("no damage was named %q: the test does not reach it", n)
		}
	}
	// Controls: the whole file opens, and so it does after a checkout with CRLF.
	for _, b := range [][]byte{whole, crlf, whole} {
		if _, err := try(b); err != nil {
			t.Errorf("the sound vault: %v", err)
		}
	}
}

func TestOtherFiles(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Dir(w.path)
	ctx := context.Background()
	if _, err := vaultfile.Open(ctx, filepath.Join(dir, "none"), w.id, w.mem); !vaultfile.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	if _, err := vaultfile.Open(ctx, dir, w.id, w.mem); !errors.Is(err, vaultfile.ErrNotVault) {
		t.Errorf("a directory: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Open(ctx, fifo, w.id, w.mem); !errors.Is(err, vaultfile.ErrNotVault) {
		t.Errorf("a FIFO: %v", err)
	}
	stranger, err := vaultfile.NewIdentity("stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Open(ctx, w.path, stranger, vaultfile.NewMemory()); !errors.Is(err, vaultfile.ErrWrongKey) {
		t.Errorf("another device: %v", err)
	}
	if _, err := vaultfile.Open(ctx, w.path, w.id, brokenMemory{}); err == nil || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("a memory that fails: %v", err)
	}
}

// brokenMemory fails: what cannot be compared must not be accepted.
type brokenMemory struct{}

var errNoMemory = errors.New("no memory")

func (brokenMemory) Lock(context.Context) (func() error, error)   { return nil, errNoMemory }
func (brokenMemory) Accepted(context.Context) ([]byte, error)     { return nil, errNoMemory }
func (brokenMemory) Accept(context.Context, []byte, []byte) error { return errNoMemory }
func (brokenMemory) Kept(context.Context) ([]byte, error)         { return nil, errNoMemory }
