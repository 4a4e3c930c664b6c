package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kb/internal/state"
)

func key(b byte) (k [32]byte) {
	for i := range k {
		k[i] = b
	}
	return k
}

func open(t testing.TB, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(dir, key(1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newStore(t testing.TB) *state.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state"))
}

// files lists every file under the store that holds a blob.
func files(t *testing.T, s *state.Store) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(s.Dir(), func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Dir(p) != s.Dir() && filepath.Base(filepath.Dir(p)) != "locks" {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPutGetDeleteList(t *testing.T) {
	s := newStore(t)
	if _, ok, err := s.Get("token/none"); ok || err != nil {
		t.Errorf("what is not there: %v, %v", ok, err)
	}
	blobs := map[string]string{"token/work/github": "one", "token/work/slack": "", "token/oss/github": "three", "pin/x": "four"}
	for name, data := range blobs {
		if err := s.Put(name, []byte(data), name == "pin/x"); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, s.Dir()) // another process
	for name, want := range blobs {
		if got, ok, err := s.Get(name); string(got) != want || !ok || err != nil {
			t.Errorf("Get(%q) = %q, %v, %v", name, got, ok, err)
		}
	}
	for prefix, want := range map[string][]string{
		"token/": {"token/oss/github", "token/work/github", "token/work/slack"}, "token/work/": {"token/work/github", "token/work/slack"}, "none/": nil,
	} {
		if got, err := s.List(prefix); err != nil || !cmp.Equal(got, want) {
			t.Errorf("List(%q) = %q, %v", prefix, got, err)
		}
	}
	for range 2 {
		if err := s.Delete("token/work/slack"); err != nil {
			t.Error(err)
		}
	}
	if _, ok, err := s.Get("token/work/slack"); ok || err != nil {
		t.Errorf("deleted: %v, %v", ok, err)
	}
	for _, bad := range []string{"", "x", "/x", "x/", "Token/x", "../x", "a.b/x", "locks/x", "x/" + strings.Repeat("y", 5000)} {
		if err := s.Put(bad, nil, false); !errors.Is(err, state.ErrBadName) {
			t.Errorf("Put(%.20q): %v", bad, err)
		}
	}
	// Any text after the class is a name like another.
	for _, odd := range []string{"pin/../../etc/passwd", "pin//", "pin/\x00", "pin/" + strings.Repeat("é", 2000)} {
		if err := s.Put(odd, []byte("x"), false); err != nil {
			t.Errorf("Put(%.20q): %v", odd, err)
		}
		if got, ok, err := s.Get(odd); string(got) != "x" || !ok || err != nil {
			t.Errorf("Get(%.20q) = %q, %v, %v", odd, got, ok, err)
		}
	}
}

// On the disk are neither data nor names, and only the owner reads it.
func TestNothingIsReadableOnDisk(t *testing.T) {
	s := newStore(t)
	if err := s.Put("token/work-canary/github", []byte("kb-canary"), true); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(s.Dir(), func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
		if strings.Contains(p, "canary") {
			t.Errorf("%s tells a name", p)
		}
		if !d.IsDir() {
			found++
			if b, err := os.ReadFile(p); err != nil || bytes.Contains(b, []byte("canary")) {
				t.Errorf("%s can be read: %v", p, err)
			}
		}
		return nil
	})
	if err != nil || found != 2 {
		t.Errorf("%d files, %v", found, err)
	}
}

func TestTamperedBlobsAreNamed(t *testing.T) {
	s := newStore(t)
	if err := s.Put("token/a", []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	file := files(t, s)[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get("token/a"); !errors.Is(err, state.ErrTampered) {
			t.Errorf("%s: Get: %v", what, err)
		}
		if _, err := s.List("token/"); !errors.Is(err, state.ErrTampered) {
			t.Errorf("%s: List: %v", what, err)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("flip at %d", i), b)
		try(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	try("something after it", append(bytes.Clone(whole), 0))
	// Another blob of the same store in its place.
	if err := s.Put("token/b", []byte("two"), false); err != nil {
		t.Fatal(err)
	}
	for _, f := range files(t, s) {
		if f != file {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			try("swapped", b)
		}
	}
	// A link to a sound blob elsewhere.
	if err := os.WriteFile(file+"x", whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file+"x", file); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Get("token/a"); ok || err == nil {
		t.Error("a link was followed")
	}
	// Control: put back, it is read.
	if err := os.Rename(file+"x", file); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Get("token/a"); string(got) != "one" || !ok || err != nil {
		t.Errorf("the sound blob: %q, %v, %v", got, ok, err)
	}
}

func TestForeignStore(t *testing.T) {
	s := newStore(t)
	if _, err := state.Open(s.Dir(), key(2)); !errors.Is(err, state.ErrForeignStore) {
		t.Errorf("another key: %v", err)
	}
	// Even without its mark, blobs of another key are no content.
	if err := s.Put("token/a", []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.Dir(), "store")); err != nil {
		t.Fatal(err)
	}
	other, err := state.Open(s.Dir(), key(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.List("token/"); !errors.Is(err, state.ErrTampered) {
		t.Errorf("List with another key: %v", err)
	}
}

func TestInsecureDirectory(t *testing.T) {
	for _, mode := range []os.FileMode{0o770, 0o707, 0o720, 0o777} {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		var insecure *state.InsecureDirError
		if _, err := state.Open(dir, key(1)); !errors.As(err, &insecure) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("what others could read stays %v, %v", fi.Mode(), err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(file, key(1)); err == nil {
		t.Error("a file was opened as a store")
	}
	if os.Geteuid() == 0 {
		theirs := filepath.Join(t.TempDir(), "theirs")
		if err := os.Mkdir(theirs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		var insecure *state.InsecureDirError
		if _, err := state.Open(theirs, key(1)); !errors.As(err, &insecure) {
			t.Errorf("another user's directory: %v", err)
		}
	}
}

func TestLock(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	unlock, err := s.Lock(ctx, "login/work/github")
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, s.Dir())
	busy, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := other.Lock(busy, "login/work/github"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock: %v", err)
	}
	free, err := other.Lock(ctx, "login/oss/github")
	if err != nil {
		t.Fatalf("another lock: %v", err)
	}
	if err := errors.Join(free(), unlock(), unlock()); err != nil {
		t.Error(err)
	}
	n := 0 // guarded by the lock alone: -race tells
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				unlock, err := s.Lock(ctx, "counter")
				if err != nil {
					t.Error(err)
					return
				}
				n++
				if err := unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n != 100 {
		t.Errorf("counted %d of 100", n)
	}
}

// Readers see old data or new while writers replace it.
func TestReadersSeeWholeBlobs(t *testing.T) {
	s := newStore(t)
	a, b := bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 50_000)
	if err := s.Put("token/x", a, false); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 100 {
			if err := s.Put("token/x", [][]byte{a, b}[i%2], false); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for {
				got, ok, err := s.Get("token/x")
				if err != nil || !ok || !bytes.Equal(got, a) && !bytes.Equal(got, b) {
					t.Errorf("read %d bytes, %v, %v", len(got), ok, err)
					return
				}
				if _, err := s.List("token/"); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkOpenAndGet(b *testing.B) {
	s := newStore(b)
	if err := s.Put("token/x", make([]byte, 4096), false); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok, err := open(b, s.Dir()).Get("token/x"); !ok || err != nil {
			b.Fatal(err)
		}
	}
}
