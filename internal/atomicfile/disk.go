package atomicfile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Disk is the file system as a save sees it: each method is one step, before
// and after which a machine can stop. Nil stands for the system's own, which
// is what kb uses; tests give one that fails and loses what was not synced.
type Disk interface {
	// Create makes a file that nobody else has (0600) and holds it as alive
	// against other writers' sweeping until it is closed.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// Mkdir makes one directory (0700).
	Mkdir(dir string) error
	// SyncDir gives a directory's entries to the disk.
	SyncDir(dir string) error
}

// File is a file being written.
type File interface {
	io.WriteCloser
	Sync() error
}

type diskKey struct{}

// WithDisk has saves that are made with ctx go to d. Only tests may call it,
// and internal/archtest sees to that.
func WithDisk(ctx context.Context, d Disk) context.Context {
	return context.WithValue(ctx, diskKey{}, d)
}

// DiskOf returns the Disk of ctx, for Options; nil, the system's, if there is
// none.
func DiskOf(ctx context.Context) Disk {
	d, _ := ctx.Value(diskKey{}).(Disk)
	return d
}

// system is the operating system's file system.
type system struct{}

func (system) Rename(from, to string) error { return os.Rename(from, to) }
func (system) Remove(name string) error     { return os.Remove(name) }
func (system) Mkdir(dir string) error       { return os.Mkdir(dir, 0o700) }

func (system) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Create holds the file by flock(2), which ends with the process however that
// ends. Where the file system has no locks, age has to tell the dead.
func (system) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	locked := flock(f)
	fi, err := f.Stat()
	if errors.Is(locked, syscall.EWOULDBLOCK) || err == nil && unlinked(fi) {
		return nil, errors.Join(errSwept, f.Close())
	}
	return f, nil
}

// errSwept: between its creation and its lock, another writer took the file
// for a dead one's.
var errSwept = errors.New("temporary file was swept away")

func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func unlinked(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

// dead reports whether the writer of a temporary file is no more. An open file
// that can be locked has no writer; where locks are not to be had, it is dead
// when it is old.
func dead(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	switch err := flock(f); {
	case err == nil:
		return true
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false
	}
	fi, err := f.Stat()
	return err == nil && time.Since(fi.ModTime()) > staleAfter
}

// MkdirAll makes a directory and those above it that are missing (0700), and
// gives each to the disk, so that what is saved in it is not lost with it. A
// directory that is there already is left as it is.
func MkdirAll(dir string, disk Disk) error {
	if disk == nil {
		disk = system{}
	}
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if parent != dir {
		if err := MkdirAll(parent, disk); err != nil {
			return err
		}
	}
	if err := disk.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return disk.SyncDir(parent)
}
