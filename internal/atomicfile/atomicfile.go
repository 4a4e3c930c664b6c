// Package atomicfile replaces a file so that a reader, and a machine that
// loses power, sees the old content or the new one whole, never a part.
//
// # How
//
// The new content is written to a temporary file in the same directory
// (O_EXCL, 0600), given to the disk, renamed over the target, and the
// directory is given to the disk in turn. A temporary file that a killed
// process left behind is removed by the next [Write] of the same target that
// finds it older than [staleAfter].
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
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// staleAfter: a temporary file older than this belongs to a process that died.
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
}

// Write replaces path, which must not be a symbolic link that matters: the
// link itself would be replaced. Use [Target] first to follow one.
func Write(path string, data []byte, opt Options) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if opt.Durable {
		sweep(dir, base)
	}
	f, err := create(dir, base)
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(tmp)
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
	if err = f.Close(); err != nil {
		return err
	}
	if opt.BeforeRename != nil {
		if err = opt.BeforeRename(); err != nil {
			return err
		}
	}
	if err = os.Rename(tmp, path); err != nil {
		return err
	}
	if opt.Durable {
		return SyncDir(dir)
	}
	return nil
}

// SyncDir gives a directory's entries to the disk, so that a rename or a
// removal in it survives a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

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

func create(dir, base string) (*os.File, error) {
	var r [8]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, prefix(base)+hex.EncodeToString(r[:]))
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// sweep removes what killed writers of the same file left. Its errors are not
// reported: a left-over is untidy, a refused write would be harm.
func sweep(dir, base string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix(base)) {
			continue
		}
		if fi, err := e.Info(); err == nil && time.Since(fi.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
