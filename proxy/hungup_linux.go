package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the other side has closed, even while bytes of its
// are unread.
func hungUp(c syscall.RawConn) bool {
	if c == nil {
		return false
	}
	gone := false
	err := c.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n == 1 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return err == nil && gone
}
