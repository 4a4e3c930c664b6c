//go:build !linux

package secretref

import (
	"os"

	"golang.org/x/sys/unix"
)

// openPlain opens a file for reading, whose last part is no symbolic link.
// O_NONBLOCK, or a pipe without a writer would be waited for.
func openPlain(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
