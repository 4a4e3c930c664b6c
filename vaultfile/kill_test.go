package vaultfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/state"
	"kb/vaultfile"
)

// thorough reports whether tests may take minutes (KB_THOROUGH=1, as in .ci/run vault).
func thorough() bool { return os.Getenv("KB_THOROUGH") == "1" }

// The writer is this test binary as a process of its own, with a device's real
// state.
const (
	writerDir    = "KB_TEST_WRITER_DIR"
	writerName   = "KB_TEST_WRITER_NAME"
	writerRounds = "KB_TEST_WRITER_ROUNDS"
)

// writer edits its two settings in a loop. Before each edit it prints "begin"
// and its number, and afterwards "saved"; both lines are written at once.
func writer(dir, name, rounds string) error {
	n, err := strconv.Atoi(rounds)
	if err != nil {
		return err
	}
	id, mem, err := device(dir)
	if err != nil {
		return err
	}
	for i := 1; i <= n; i++ {
		fmt.Println("begin", i)
		if _, err := vaultfile.Edit(context.Background(), filepath.Join(dir, "vault.age"), id, mem, func(tx *vaultfile.Tx) error {
			value := strconv.Itoa(i)
			return errors.Join(tx.PutSetting(vaultfile.Setting{Name: "a-" + name, Value: value}), tx.PutSetting(vaultfile.Setting{Name: "z-" + name, Value: value}))
		}); err != nil {
			return err
		}
		fmt.Println("saved", i)
	}
	return nil
}

// device opens the identity and the state in dir.
func device(dir string) (*vaultfile.Identity, vaultfile.Memory, error) {
	text, err := os.ReadFile(filepath.Join(dir, "identity.txt"))
	if err != nil {
		return nil, nil, err
	}
	id, err := vaultfile.ParseIdentity(text)
	if err != nil {
		return nil, nil, err
	}
	s, err := state.Open(filepath.Join(dir, "state"), id.DeriveKey("state"))
	if err != nil {
		return nil, nil, err
	}
	mem, err := s.VaultMemory("default")
	return id, mem, err
}

// desktop is a new vault with a device's real state, for writers to share.
func desktop(t *testing.T) (dir string, w *world) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "identity.txt"), []byte(newIdentity(t, "laptop").Text().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	id, mem, err := device(dir)
	if err != nil {
		t.Fatal(err)
	}
	w = &world{path: filepath.Join(dir, "vault.age"), id: id, mem: mem}
	if _, err := vaultfile.Create(t.Context(), w.path, id, mem, vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	return dir, w
}

func writerCommand(t *testing.T, dir, name string, rounds int) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), writerDir+"="+dir, writerName+"="+name, writerRounds+"="+strconv.Itoa(rounds))
	return c
}

// killed starts a writer, kills it a while after it reported some edits, and
// returns the last edit that it began and the last that it reported.
func killed(t *testing.T, dir, name string, edits int, after time.Duration) (begun, saved int) {
	t.Helper()
	c := writerCommand(t, dir, name, 1<<20)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a line that the kill cut off was not reported
		}
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscanf(line, "begin %d\n", &n); err == nil {
			begun = n
		} else if _, err := fmt.Sscanf(line, "saved %d\n", &n); err == nil {
			saved = n
		} else {
			t.Fatalf("the writer says %q", line)
		}
		if timer == nil && saved >= edits {
			timer = time.AfterFunc(after, func() { _ = c.Process.Kill() })
		}
	}
	if err := c.Wait(); err == nil || timer == nil {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return begun, saved
}

// kill -9 at random moments, over and over on one vault and one state: each
// time the vault opens, both halves of an edit are there or neither, all that
// was reported saved is there and stays, the lock is free, and at most one
// temporary file is left of each file that is written. 30 kills, and 1,000
// with KB_THOROUGH=1.
func TestRandomKillsLoseNothing(t *testing.T) {
	kills := 30
	if thorough() {
		kills = 1000
	}
	const vaults = 2 // at a time: one for each core
	var mu sync.Mutex
	inside, unreported, commits, left := 0, 0, 0, 0
	t.Run("vaults", func(t *testing.T) {
		for v := range vaults {
			t.Run(strconv.Itoa(v), func(t *testing.T) {
				t.Parallel()
				dir, w := desktop(t)
				want := map[string]string{}
				start := time.Now()
				w.edit(t, func(tx *vaultfile.Tx) error { return tx.PutSetting(vaultfile.Setting{Name: "first", Value: "1"}) })
				span := int64(2 * time.Since(start)) // of two edits
				for k := range kills / vaults {
					name := fmt.Sprintf("k%d", k)
					begun, saved := killed(t, dir, name, k%3, time.Duration(rand.Int64N(span)))
					c := w.open(t).Contents()
					got := 0
					if s := c.Setting("a-" + name); s != "" {
						var err error
						if got, err = strconv.Atoi(s); err != nil {
							t.Fatal(err)
						}
					}
					switch {
					case c.Setting("a-"+name) != c.Setting("z-"+name):
						t.Fatalf("kill %d: half an edit: %q and %q", k, c.Setting("a-"+name), c.Setting("z-"+name))
					case got < saved, got > begun:
						t.Fatalf("kill %d: edit %d was reported saved, %d begun, and the vault has %d", k, saved, begun, got)
					}
					want[name] = c.Setting("a-" + name)
					for n, value := range want {
						if c.Setting("a-"+n) != value || c.Setting("z-"+n) != value {
							t.Fatalf("kill %d: %s was %q and is %q", k, n, value, c.Setting("a-"+n))
						}
					}
					temps := temporary(t, dir)
					mu.Lock()
					commits += saved
					if begun > saved {
						inside++
					}
					if got > saved {
						unreported++
					}
					left = max(left, temps)
					mu.Unlock()
				}
				// A whole edit by whoever comes next leaves none of them.
				w.edit(t, func(tx *vaultfile.Tx) error { return tx.PutSetting(vaultfile.Setting{Name: "last", Value: "1"}) })
				if n := temporary(t, dir); n != 0 {
					t.Errorf("%d temporary files are left", n)
				}
			})
		}
	})
	t.Logf("%d kills, %d commits, %d kills inside a save, of which %d had saved; at most %d temporary files", kills, commits, inside, unreported, left)
	if inside < kills/4 {
		t.Errorf("only %d of %d kills were inside a save", inside, kills)
	}
	if left > 3 { // one of the vault, the kept copy and the note each
		t.Errorf("%d temporary files piled up", left)
	}
}

// temporary counts the temporary files beside the vault and in the state.
func temporary(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, glob := range []string{".*.kb-tmp-*", "*/.*.kb-tmp-*", "*/*/.*.kb-tmp-*"} {
		found, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if fi, err := os.Stat(f); err == nil && fi.Mode().Perm() != 0o600 || strings.HasSuffix(f, ".age") {
				t.Errorf("%s: mode %v", filepath.Base(f), fi.Mode())
			}
		}
		n += len(found)
	}
	return n
}

// Many processes edit one vault at once and none of their edits is lost. 8
// processes with 5 edits each, and with KB_THOROUGH=1 50 with 20.
func TestManyProcessesLoseNothing(t *testing.T) {
	processes, rounds := 8, 5
	if thorough() {
		processes, rounds = 50, 20
	}
	dir, w := desktop(t)
	start := time.Now()
	var wg sync.WaitGroup
	for p := range processes {
		wg.Go(func() {
			if out, err := writerCommand(t, dir, fmt.Sprintf("p%d", p), rounds).CombinedOutput(); err != nil {
				t.Errorf("process %d: %v: %s", p, err, out)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	f := w.open(t)
	c := f.Contents()
	for p := range processes {
		name := fmt.Sprintf("p%d", p)
		if want := strconv.Itoa(rounds); c.Setting("a-"+name) != want || c.Setting("z-"+name) != want {
			t.Errorf("%s: %q and %q, want %s", name, c.Setting("a-"+name), c.Setting("z-"+name), want)
		}
	}
	// An edit that was lost under another would have given its count again.
	if got, want := f.Clock()[w.id.ID()], uint64(1+processes*rounds); got != want {
		t.Errorf("the clock counts %d saves, want %d", got, want)
	}
	if n := temporary(t, dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	t.Logf("%d processes, %d edits, none lost, in %v", processes, processes*rounds, took.Round(time.Millisecond))
}
