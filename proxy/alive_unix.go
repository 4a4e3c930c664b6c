//go:build linux || darwin

package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// alive reports whether a connection that nobody reads is still open: a peek
// finds nothing to read yet. On a connection that carried no request so far,
// waiting bytes are TLS 1.3's session tickets; later they are an alert or an
// answer to nothing.
func alive(c syscall.RawConn, bytesAreFine bool) bool {
	if c == nil {
		return true
	}
	ok := false
	err := c.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			ok = true
		case err == nil && n > 0:
			ok = bytesAreFine
		}
	})
	return err == nil && ok
}
