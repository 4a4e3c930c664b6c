package broker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errNotPrivate says that others could exchange what kb keeps in a folder.
var errNotPrivate = errors.New("it is a link, belongs to another user, or others may write in it")

// makePrivateDir makes a folder for kb alone, or checks the one that is there:
// where XDG_RUNTIME_DIR names a shared folder, somebody else may have been
// first, and could exchange certificates and the code that Node loads.
func makePrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make runtime folder: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("make runtime folder: %w", err)
	}
	owner, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.IsDir() || fi.Mode().Perm()&0o022 != 0 || int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("use runtime folder %q: %w", dir, errNotPrivate)
	}
	return nil
}
