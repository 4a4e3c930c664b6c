package control

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FolderError says that others could put sockets into the folder, or read its
// names.
type FolderError struct {
	Dir string
	Why string
}

func (e *FolderError) Error() string {
	return fmt.Sprintf("use control folder %q: %s", e.Dir, e.Why)
}

// makeFolder makes the folder for this user alone, or checks the one that is
// there.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make control folder: %w", err)
	}
	return checkFolder(dir)
}

func checkFolder(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check control folder: %w", err)
	}
	owner, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case fi.Mode().Type() == fs.ModeSymlink:
		return &FolderError{dir, "it is a link"}
	case !fi.IsDir():
		return &FolderError{dir, "it is no folder"}
	case !ok || int(owner.Uid) != os.Geteuid():
		return &FolderError{dir, "it belongs to another user"}
	case fi.Mode().Perm()&0o077 != 0:
		return &FolderError{dir, "others have access to it"}
	}
	return nil
}

// reachable is a path by which the system takes the socket called name: one for
// bind and connect may have maxPath bytes. done is called after use.
func reachable(dir, name string) (path string, done func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	return shorten(dir, name)
}
