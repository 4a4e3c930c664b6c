package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare sets what the child inherits from the thread that forks it.
func prepare(spec Spec) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	if spec.Privileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

func attributes(terminal bool) *syscall.SysProcAttr {
	if terminal {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// started gives the child the core limit that Harden took from kb.
func started(pid int) {
	if formerCore != nil {
		_ = unix.Prlimit(pid, unix.RLIMIT_CORE, formerCore, nil)
	}
}

// formerCore is the core limit that kb was started with; nil before Harden.
var formerCore *unix.Rlimit

// Harden makes kb's own process unreadable to others of the same user: no
// core files, and /proc/PID/{environ,maps,mem,fd} closed to them. It is called
// before the first secret is read.
func Harden() error {
	var former unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &former); err != nil {
		return fmt.Errorf("read core limit: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: former.Max}); err != nil {
		return fmt.Errorf("set core limit: %w", err)
	}
	formerCore = &former
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("clear dumpable: %w", err)
	}
	return nil
}

// Traced reports whether a process traces kb (proc(5), TracerPid). One that
// attached before Harden keeps its access: what Harden closes is closed to those
// who come later.
func Traced() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if pid, ok := bytes.CutPrefix(line, []byte("TracerPid:")); ok {
			return !bytes.Equal(bytes.TrimSpace(pid), []byte("0"))
		}
	}
	return false
}

// isStopped reads the state letter of /proc/PID/stat (proc(5)): it follows the
// command name, which is in parentheses and may itself hold any character.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	end := bytes.LastIndexByte(stat, ')')
	return end >= 0 && len(stat) > end+2 && stat[end+2] == 'T'
}
