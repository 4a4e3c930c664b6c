package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare has nothing to set: macOS has neither subreapers nor no_new_privs.
func prepare(Spec) error { return nil }

func attributes(terminal bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !terminal}
}

func started(int) {}

// Harden keeps kb from leaving core files. Reading another process of the same
// user is refused by macOS itself only for binaries with a hardened runtime.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("set core limit: %w", err)
	}
	return nil
}

// Traced cannot be told without a private interface of the kernel.
func Traced() bool { return false }

// isStopped trusts wait4: there is no /proc to ask again.
func isStopped(int) bool { return true }
