package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
)

// busyDisk has the program write its own file while kb writes over it.
type busyDisk struct {
	atomicfile.Disk
	folder string
	write  func()
	did    bool
}

func (d *busyDisk) Create(name string) (atomicfile.File, error) {
	f, err := d.Disk.Create(name)
	if err == nil && filepath.Dir(name) == d.folder {
		return &busyFile{f, d}, nil
	}
	return f, err
}

type busyFile struct {
	atomicfile.File
	disk *busyDisk
}

func (f *busyFile) Sync() error {
	f.disk.write()
	f.disk.did = true
	return f.File.Sync()
}

// TestAttackProgramRefreshesWhileItsFileIsReplaced: between kb's last look at the
// program's file and its replacement the program refreshes: its new tokens are in
// that file alone.
func TestAttackProgramRefreshesWhileItsFileIsReplaced(t *testing.T) {
	p := newClaudeUser(t)
	p.logIn(1)
	spec := p.find()
	plain, err := faultdisk.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	disk := &busyDisk{Disk: plain, folder: filepath.Dir(p.path), write: func() { p.logIn(2) }}
	_, err = p.broker.Import(atomicfile.WithDisk(t.Context(), disk), spec)
	if !disk.did {
		t.Fatal("control: the program did not write meanwhile")
	}
	text, _ := os.ReadFile(p.path)
	if !errors.Is(err, ErrFileChanged) || !strings.Contains(string(text), "refresh-2") {
		t.Errorf("error is %v, and the program's new tokens are gone: its file is %s", err, text)
	}
	if !p.token().Refresh.IsZero() {
		t.Error("kb holds tokens that the program has used up")
	}
	p.take()
	if got := p.token().Refresh.Reveal(); got != "refresh-2" {
		t.Errorf("taken over afterwards: %q", got)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(p.path), ".*kb-tmp*"))
	if len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestAttackTwoImportsAtOnce: kb import is run twice, and the second ends within the
// first: kb must know what stands in the program's file then, or it would take its
// own placeholder for a login.
func TestAttackTwoImportsAtOnce(t *testing.T) {
	p := newClaudeUser(t)
	p.logIn(1)
	first, other, store := p.find(), p.broker, p.broker.store
	second := p.find()
	done := make(chan error, 1)
	var once sync.Once
	p.options.Now = func() time.Time {
		if _, begun, _ := store.Agent(p.key); begun {
			once.Do(func() {
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, err := other.Import(t.Context(), second)
					done <- err
				}()
				select {
				case <-ended:
				case <-time.After(time.Second): // it waits for the first
				}
			})
		}
		return time.Now()
	}
	_, err := p.open().Import(t.Context(), first)
	if within := <-done; (err == nil) == (within == nil) {
		t.Errorf("of two imports the results are %v and %v", err, within)
	}
	text, _ := os.ReadFile(p.path)
	agent, ok, _ := store.Agent(p.key)
	if !ok || !strings.Contains(string(text), agent.Refresh) {
		t.Errorf("the program's file holds %s, and kb knows of %q there", text, agent.Refresh)
	}
	if got := p.token().Refresh.Reveal(); got != "refresh-1" {
		t.Errorf("kb holds %q", got)
	}
	if _, err := other.FindImport("claude-code"); !errors.Is(err, ErrImported) {
		t.Errorf("what stands there is taken for a login: %v", err)
	}
}
