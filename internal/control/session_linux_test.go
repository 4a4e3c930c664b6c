package control

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeSupervisor does what kb exec does before it starts its child.
func becomeSupervisor(bound bool) {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if bound {
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
}

// playBound gives up new privileges and runs a command: it stands for a process
// of a session that is over.
func playBound() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	_ = os.Setenv(partVariable, "raw")
	fmt.Println("failed", syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
}
