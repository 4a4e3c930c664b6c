// Package atomicfile replaces a file so that a reader, and a machine that
// loses power, sees the old content or the new one whole, never a part.
//
// # How
//
// The new content is written to a temporary file in the same directory
// (O_EXCL, 0600), given to the disk, renamed over the target, and the
// directory is given to the disk in turn. A temporary file that a killed
// process left behind is removed by the next durable [Write] of the same
// target: its writer held a lock on it, which died with it. Where the file
// system knows no locks, it has to be older than [staleAfter].
//
// [ReadSmall] is the way back for files that others may put something in the
// place of.
//
// # When it fails
//
// After any error but [ErrUnconfirmed] the old content is there, and no
// temporary file. Each step goes through a [Disk], so that tests can fail it.
//
// # What it leaves out
//
// It takes no lock: two writers both succeed, and the later rename wins. The
// caller locks where that would lose something.
package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrUnconfirmed: the new content is in place, but the disk did not confirm
// that it keeps it. It may be the old one again when the power comes back.
var ErrUnconfirmed = errors.New("written, but the disk did not confirm it")

// staleAfter: where locks do not tell, a temporary file older than this belongs
// to a process that died.
// An hour is far longer than any write, also over a slow network file system.
const staleAfter = time.Hour

// maxLinks bounds a chain of symbolic links, as Linux does (path_resolution(7)).
const maxLinks = 40

// Options says how to write. The zero value is a private file (0600) that is
// renamed into place without waiting for the disk.
type Options struct {
	// Durable waits until file and directory are on the disk before returning.
	Durable bool
	// BeforeRename, if not nil, is asked when the new content is ready; an
	// error from it abandons the write, and the target stays as it was.
	BeforeRename func() error
	// Disk, if not nil, stands for the file system, in tests.
	Disk Disk
}

// Write replaces path, which must not be a symbolic link that matters: the
// link itself would be replaced. Use [Target] first to follow one.
func Write(path string, data []byte, opt Options) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	disk := opt.Disk
	if disk == nil {
		disk = system{}
	}
	if opt.Durable {
		sweep(disk, dir, base)
	}
	tmp, f, err := create(disk, dir, base)
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		// Open until it has its name: what is closed is not locked, and may be
		// swept.
		closed := f.Close()
		switch {
		case !renamed:
			_ = disk.Remove(tmp)
		case err == nil && closed != nil:
			err = fmt.Errorf("%w: %w", ErrUnconfirmed, closed)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if opt.Durable {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if opt.BeforeRename != nil {
		if err = opt.BeforeRename(); err != nil {
			return err
		}
	}
	if err = disk.Rename(tmp, path); err != nil {
		return err
	}
	renamed = true
	if opt.Durable {
		if err = disk.SyncDir(dir); err != nil {
			return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
		}
	}
	return nil
}

// SyncDir gives a directory's entries to the disk, so that a rename or a
// removal in it survives a power cut.
func SyncDir(dir string) error { return system{}.SyncDir(dir) }

// Target follows symbolic links to the file that a write should replace. The
// last link may point to a file that does not exist yet.
func Target(path string) (string, error) {
	p := path
	for range maxLinks {
		fi, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
		if err != nil {
			return "", err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			return p, nil
		}
		to, err := os.Readlink(p)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			// The link is relative to the directory it really is in, and must
			// not be shortened before that is known: filepath.Join would make
			// "d/../f" to "f" even where d is a link itself.
			parent, _ := filepath.Split(p)
			dir, err := filepath.EvalSymlinks(filepath.Clean(parent))
			if err != nil {
				return "", err
			}
			to = dir + string(filepath.Separator) + to
		}
		parent, base := filepath.Split(to)
		dir, err := filepath.EvalSymlinks(parent)
		if err != nil {
			return "", err
		}
		to = filepath.Join(dir, base)
		p = to
	}
	return "", fmt.Errorf("follow %q: too many symbolic links", path)
}

func prefix(base string) string { return "." + base + ".kb-tmp-" }

// maxCreates bounds how often a temporary file is made anew because another
// writer swept it away before it was locked: a matter of microseconds.
const maxCreates = 100

func create(disk Disk, dir, base string) (name string, f File, err error) {
	for range maxCreates {
		var r [8]byte
		if _, err := rand.Read(r[:]); err != nil {
			return "", nil, err
		}
		name = filepath.Join(dir, prefix(base)+hex.EncodeToString(r[:]))
		if f, err = disk.Create(name); !errors.Is(err, errSwept) {
			return name, f, err
		}
	}
	return "", nil, err
}

// sweep removes what killed writers of the same file left. Its errors are not
// reported: a left-over is untidy, a refused write would be harm.
func sweep(disk Disk, dir, base string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); strings.HasPrefix(e.Name(), prefix(base)) && dead(path) {
			_ = disk.Remove(path)
		}
	}
}

// ReadSmall reads a regular file of at most limit bytes. A pipe, which nobody may
// ever write into, or a device without an end, is an error and not a wait.
func ReadSmall(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is longer than %d bytes", limit)}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}
