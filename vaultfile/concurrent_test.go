package vaultfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"kb/internal/atomicfile"
	"kb/vaultfile"
)

// dirMemory is a Memory in plain files, for processes to share.
type dirMemory struct{ dir string }

func (m dirMemory) Lock(ctx context.Context) (func() error, error) {
	l := flock.New(filepath.Join(m.dir, "lock"))
	if _, err := l.TryLockContext(ctx, time.Millisecond); err != nil {
		return nil, err
	}
	return l.Close, nil
}

func (m dirMemory) Accepted(context.Context) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(m.dir, "note"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (m dirMemory) Accept(_ context.Context, note, file []byte) error {
	if file != nil {
		if err := atomicfile.Write(filepath.Join(m.dir, "kept"), file, atomicfile.Options{}); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(m.dir, "note"), note, atomicfile.Options{})
}

func (m dirMemory) Kept(context.Context) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(m.dir, "kept"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

const editorDir = "KB_TEST_EDITOR_DIR"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == vaultfile.TestPlugin {
		os.Exit(vaultfile.RunTestPlugin())
	}
	if dir := os.Getenv(writerDir); dir != "" {
		if err := writer(dir, os.Getenv(writerName), os.Getenv(writerRounds)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(editorDir); dir != "" {
		if err := editor(dir, os.Getenv("KB_TEST_EDITOR_NAME")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// editor edits until it is told to stop or killed, and prints what it saved.
func editor(dir, name string) error {
	text, err := os.ReadFile(filepath.Join(dir, "identity.txt"))
	if err != nil {
		return err
	}
	id, err := vaultfile.ParseIdentity(text)
	if err != nil {
		return err
	}
	if limit := os.Getenv("KB_TEST_EDITOR_FSIZE"); limit != "" {
		var n uint64
		if _, err := fmt.Sscan(limit, &n); err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	var rounds int
	if _, err := fmt.Sscan(os.Getenv("KB_TEST_EDITOR_ROUNDS"), &rounds); err != nil {
		return err
	}
	for i := range rounds {
		key := fmt.Sprintf("%s-%d", name, i)
		if _, err := vaultfile.Edit(context.Background(), filepath.Join(dir, "vault.age"), id, dirMemory{dir}, func(tx *vaultfile.Tx) error {
			return tx.PutSetting(vaultfile.Setting{Name: key, Value: "saved"})
		}); err != nil {
			return err
		}
		fmt.Println(key)
	}
	return nil
}

// shared is a vault that processes edit.
func shared(t *testing.T) (dir string, w *world) {
	t.Helper()
	dir = t.TempDir()
	id := newIdentity(t, "laptop")
	w = &world{path: filepath.Join(dir, "vault.age"), id: id, mem: dirMemory{dir}}
	if _, err := vaultfile.Create(context.Background(), w.path, id, w.mem, vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identity.txt"), []byte(id.Text().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, w
}

func editorCommand(dir, name string, rounds int) *exec.Cmd {
	c := exec.CommandContext(context.Background(), os.Args[0])
	c.Env = append(os.Environ(), editorDir+"="+dir, "KB_TEST_EDITOR_NAME="+name, fmt.Sprint("KB_TEST_EDITOR_ROUNDS=", rounds))
	return c
}

func TestManyWritersLoseNothing(t *testing.T) {
	dir, w := shared(t)
	const processes, goroutines, rounds = 10, 10, 4
	var wg sync.WaitGroup
	for p := range processes {
		wg.Go(func() {
			if out, err := editorCommand(dir, fmt.Sprintf("p%d", p), rounds).CombinedOutput(); err != nil {
				t.Errorf("process %d: %v: %s", p, err, out)
			}
		})
	}
	for g := range goroutines {
		wg.Go(func() {
			for i := range rounds {
				if _, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, func(tx *vaultfile.Tx) error {
					return tx.PutSetting(vaultfile.Setting{Name: fmt.Sprintf("g%d-%d", g, i), Value: "saved"})
				}); err != nil {
					t.Errorf("goroutine %d: %v", g, err)
				}
				// A reader at any moment sees a whole vault.
				if _, err := vaultfile.Open(context.Background(), w.path, w.id, w.mem); err != nil {
					t.Errorf("a reader: %v", err)
				}
			}
		})
	}
	wg.Wait()
	f := w.open(t)
	c := f.Contents()
	if want := (processes + goroutines) * rounds; len(c.Settings) != want {
		t.Errorf("%d of %d edits are there", len(c.Settings), want)
	}
	if got, want := f.Clock()[w.id.ID()], uint64(1+(processes+goroutines)*rounds); got != want {
		t.Errorf("the clock counts %d saves, want %d", got, want)
	}
}

// A save that the disk cuts short leaves the vault as it was, and nothing
// beside it. A limit on the size of files stands for a full disk.
func TestShortWriteKeepsTheVault(t *testing.T) {
	dir, w := shared(t)
	before, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, 500, len(before)} {
		c := editorCommand(dir, "full", 1)
		c.Env = append(c.Env, fmt.Sprint("KB_TEST_EDITOR_FSIZE=", limit))
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "file too large") {
			t.Errorf("limit %d: %v: %s", limit, err, out)
		}
		after, err := os.ReadFile(w.path)
		if err != nil || string(after) != string(before) {
			t.Errorf("limit %d: the vault changed: %v", limit, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".vault.age.*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	w.open(t)
	// Control: without the limit the same writer saves.
	if out, err := editorCommand(dir, "full", 1).CombinedOutput(); err != nil {
		t.Errorf("without a limit: %v: %s", err, out)
	}
}

// A lock that is held makes Edit wait as long as ctx lives, and no longer.
func TestEditHonoursItsContext(t *testing.T) {
	w := newWorld(t)
	unlock, err := w.mem.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unlock() }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := vaultfile.Edit(ctx, w.path, w.id, w.mem, func(*vaultfile.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Edit: %v", err)
	}
}
