package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
