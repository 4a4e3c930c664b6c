// Package faultdisk is a file system that fails where a test says, and knows
// what a power cut would leave of it.
//
// # How
//
// A [Disk] does each step of internal/atomicfile for real, in the directory
// that it was made for, and counts it. A [Fault] makes one step fail, fail half
// done, or be the moment at which the process is killed: from then on nothing
// happens any more, the removal of temporary files neither.
//
// Beside the real files it keeps what the disk was told to keep. What is not
// synced may be lost: content up to the last Sync of its file, and the making,
// renaming and removing of names up to the last SyncDir of their directory.
// [Disk.Cuts] lists all that can have become of that, each name for itself and
// in no order, which is more than any real file system would do;
// [Disk.Cut] puts the directory into one of these states.
//
// # What it leaves out
//
// It syncs nothing for real. Reading goes past it: the code under test reads
// the real directory. Files that are written in any other way are to it as
// they were when the Disk was made.
package faultdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kb/internal/atomicfile"
)

// ErrKilled is what every step returns once the process is dead.
var ErrKilled = errors.New("killed")

// Step is one thing that was done to the file system.
type Step struct {
	Op   string // create, write, sync, rename, remove, mkdir, syncdir
	Path string // relative to the root, without what is random in it
}

func (s Step) String() string { return s.Op + " " + s.Path }

// Fault is what happens at one step.
type Fault struct {
	Step int    // which one, from 0
	Err  error  // what it returns; nil is a kill before it
	Half bool   // of a write: half of it is written first
	Done bool   // it is done all the same: an answer that came too late
	Then *Fault // another one, later
}

func (f Fault) String() string {
	what := "killed"
	if f.Err != nil {
		what = f.Err.Error()
	}
	switch {
	case f.Half:
		what += ", half done"
	case f.Done:
		what += ", done"
	}
	return what
}

// Disk is an atomicfile.Disk for the files in one directory.
type Disk struct {
	root  string
	fault *Fault

	mu      sync.Mutex
	steps   []Step
	dead    bool
	files   []*file
	synced  map[string]*node // what is on the disk by name
	pending []change
}

// node is a file or a directory, whatever its name.
type node struct {
	dir          bool
	mode         fs.FileMode
	data, synced []byte
}

// change is of one name, and not on the disk yet. A nil node is a removal.
type change struct {
	path string
	to   *node
}

// New takes what is in root as what is on the disk. A nil fault is none.
func New(root string, fault *Fault) (*Disk, error) {
	d := &Disk{root: root, fault: fault, synced: map[string]*node{}}
	return d, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		n := &node{dir: e.IsDir(), mode: fi.Mode().Perm()}
		if !n.dir {
			if n.data, err = os.ReadFile(path); err != nil {
				return err
			}
			n.synced = n.data
		}
		d.synced[path] = n
		return nil
	})
}

// Steps is what was done so far, or tried.
func (d *Disk) Steps() []Step {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.steps)
}

// Dead reports whether the process was killed.
func (d *Disk) Dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// step counts a step and says whether to do it, wholly or half, and what it
// returns.
func (d *Disk) step(op, path string) (do, half bool, err error) {
	if d.dead {
		return false, false, ErrKilled
	}
	name, _ := filepath.Rel(d.root, path)
	if i := strings.Index(name, ".kb-tmp-"); i >= 0 {
		name = name[:i+len(".kb-tmp-")]
	}
	d.steps = append(d.steps, Step{op, name})
	f := d.fault
	for f != nil && f.Step != len(d.steps)-1 {
		f = f.Then
	}
	if f == nil {
		return true, false, nil
	}
	if f.Err == nil {
		d.dead = true
		return f.Done, f.Half, ErrKilled
	}
	return f.Done, f.Half, f.Err
}

// kill closes what the dead process had open, which frees its locks.
func (d *Disk) kill() {
	if d.dead {
		for _, f := range d.files {
			_ = f.real.Close()
		}
		d.files = nil
	}
}

// do runs one step under the lock; real does it for real, and model notes it.
func (d *Disk) do(op, path string, real func() error, model func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.kill()
	do, _, err := d.step(op, path)
	if do {
		if realErr := real(); realErr != nil {
			return realErr
		}
		model()
	}
	return err
}

func (d *Disk) change(path string, to *node) { d.pending = append(d.pending, change{path, to}) }

// now is what a name is at present, synced or not.
func (d *Disk) now(path string) *node {
	for _, c := range slices.Backward(d.pending) {
		if c.path == path {
			return c.to
		}
	}
	return d.synced[path]
}

// Create implements atomicfile.Disk.
func (d *Disk) Create(name string) (atomicfile.File, error) {
	f := &file{disk: d, path: name, node: &node{mode: 0o600}}
	err := d.do("create", name, func() (err error) {
		f.real, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	}, func() {
		d.change(name, f.node)
		d.files = append(d.files, f)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename implements atomicfile.Disk.
func (d *Disk) Rename(from, to string) error {
	return d.do("rename", to, func() error { return os.Rename(from, to) }, func() {
		d.change(to, d.now(from))
		d.change(from, nil)
	})
}

// Remove implements atomicfile.Disk.
func (d *Disk) Remove(name string) error {
	return d.do("remove", name, func() error { return os.Remove(name) }, func() { d.change(name, nil) })
}

// Mkdir implements atomicfile.Disk.
func (d *Disk) Mkdir(dir string) error {
	return d.do("mkdir", dir, func() error { return os.Mkdir(dir, 0o700) }, func() {
		d.change(dir, &node{dir: true, mode: 0o700})
	})
}

// SyncDir implements atomicfile.Disk.
func (d *Disk) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	return d.do("syncdir", dir, func() error { return nil }, func() {
		rest := d.pending[:0]
		for _, c := range d.pending {
			if filepath.Dir(c.path) == dir {
				apply(d.synced, c)
			} else {
				rest = append(rest, c)
			}
		}
		d.pending = rest
	})
}

func apply(names map[string]*node, c change) {
	if c.to == nil {
		delete(names, c.path)
		return
	}
	names[c.path] = c.to
}

// file is an atomicfile.File.
type file struct {
	disk *Disk
	path string
	node *node
	real *os.File
}

func (f *file) Write(b []byte) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.kill()
	do, half, err := d.step("write", f.path)
	switch {
	case half:
		b = b[:len(b)/2]
	case !do:
		return 0, err
	}
	n, realErr := f.real.Write(b)
	f.node.data = append(f.node.data, b[:n]...)
	return n, errors.Join(realErr, err)
}

func (f *file) Sync() error {
	return f.disk.do("sync", f.path, func() error { return nil }, func() { f.node.synced = bytes.Clone(f.node.data) })
}

// Close is no step: what it returns says nothing of the disk once Sync has.
func (f *file) Close() error {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return ErrKilled
	}
	d.files = slices.DeleteFunc(d.files, func(g *file) bool { return g == f })
	return f.real.Close()
}

// maxPending bounds the unsynced names of which every subset is a cut: 2^8.
const maxPending = 8

// torn are the ways in which content that was not synced is found.
const torn = 3

// Cuts is how many different states a power cut can leave now.
func (d *Disk) Cuts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pending) > maxPending {
		panic(fmt.Sprintf("faultdisk: %d unsynced names are too many", len(d.pending)))
	}
	n := 1 << len(d.pending)
	if d.unsynced() {
		n *= torn
	}
	return n
}

// unsynced reports whether the content of any file was not synced.
func (d *Disk) unsynced() bool {
	differs := func(n *node) bool { return n != nil && !bytes.Equal(n.data, n.synced) }
	for _, n := range d.synced {
		if differs(n) {
			return true
		}
	}
	return slices.ContainsFunc(d.pending, func(c change) bool { return differs(c.to) })
}

// Cut puts the directory into the nth state that a power cut can leave. The
// Disk is dead then.
func (d *Disk) Cut(n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	d.kill()
	names := map[string]*node{}
	for path, node := range d.synced {
		names[path] = node
	}
	for i, c := range d.pending {
		if n>>i&1 == 1 {
			apply(names, c)
		}
	}
	how := n >> len(d.pending)
	if err := empty(d.root); err != nil {
		return err
	}
	paths := make([]string, 0, len(names))
	for path := range names {
		paths = append(paths, path)
	}
	slices.Sort(paths) // a directory comes before what is in it
	for _, path := range paths {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			continue // lost with its directory
		}
		n := names[path]
		if n.dir {
			if err := os.Mkdir(path, n.mode); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, n.found(how), n.mode); err != nil {
			return err
		}
	}
	return nil
}

// found is the content that a power cut leaves: what was synced, and of the
// rest all, none, or half followed by zeros.
func (n *node) found(how int) []byte {
	switch rest := n.data[min(len(n.synced), len(n.data)):]; how {
	case 1:
		return n.synced
	case 2:
		half := bytes.Clone(n.data)
		clear(half[len(n.data)-len(rest)/2:])
		return half
	}
	return n.data
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
