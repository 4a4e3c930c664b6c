package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the other side has closed. Darwin's poll(2) sets
// POLLHUP once both directions are shut, and has no POLLRDHUP; an end of file
// is seen only when nothing unread lies before it.
func hungUp(c syscall.RawConn) bool {
	if c == nil {
		return false
	}
	gone := false
	err := c.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if err == nil && n == 1 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			gone = true
			return
		}
		var b [1]byte
		got, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = err == nil && got == 0
	})
	return err == nil && gone
}
