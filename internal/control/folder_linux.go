package control

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPath: bytes of sun_path less the NUL at its end (unix(7)).
const maxPath = 107

// shorten reaches a folder of whatever depth by a descriptor of it.
func shorten(dir, name string) (path string, done func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("open control folder: %w", err)
	}
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + name, func() { _ = unix.Close(fd) }, nil
}
