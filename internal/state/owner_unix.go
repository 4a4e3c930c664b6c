//go:build linux || darwin

package state

import (
	"io/fs"
	"os"
	"syscall"
)

// openFlags: a planted link or FIFO must neither be followed nor waited for.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

func ownedByUs(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
