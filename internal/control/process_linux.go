package control

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// look reads /proc/PID/stat (proc(5)). The command's name is in parentheses and
// may hold any character; of the fields behind it the first is the state, the
// second the parent, the twentieth the start in clock ticks since boot.
func look(pid int) (process, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, absent(pid, err)
	}
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return process{}, fmt.Errorf("read process %d: %w", pid, errGone)
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("read process %d: %w", pid, errGone)
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return process{pid: pid, parent: parent, start: start, state: fields[0][0], program: string(stat[begin+1 : end])}, nil
}

// absent tells a process that is gone from one that is not shown: where /proc is
// mounted with hidepid, process 1 is not shown either, and neither is any that
// closed itself to its user, as kb exec does.
func absent(pid int, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("read process %d: %w", pid, err)
	}
	if _, first := os.Stat("/proc/1/stat"); first != nil {
		if kill := syscall.Kill(pid, 0); kill == nil || errors.Is(kill, syscall.EPERM) {
			return fmt.Errorf("read process %d: %w", pid, errHidden)
		}
	}
	return fmt.Errorf("read process %d: %w", pid, errGone)
}

// arguments are the words that a process was started with, nil where they
// cannot be read. A process that closed itself shows them still.
func arguments(pid int) [][]byte {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return nil
	}
	return bytes.Split(line, []byte{0})
}

// environment is what a process was started with, nil where it cannot be read.
func environment(pid int) [][]byte {
	block, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	return bytes.Split(block, []byte{0})
}

// bound reports whether no thread of a process may gain privileges. kb exec
// forks its child from a thread of that kind, and has others; a process of a
// session has no others.
func bound(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	seen := false
	for _, task := range tasks {
		status, err := os.ReadFile(dir + task.Name() + "/status")
		if err != nil {
			continue // a thread that ended
		}
		if !bytes.Contains(status, []byte("\nNoNewPrivs:\t1\n")) {
			return false
		}
		seen = true
	}
	return seen
}

// peerOf asks the kernel who is at the other end: the process that called
// connect, or listen. SO_PEERPIDFD (Linux 6.5) names it for good; before that a
// process id that was given away between connect and here is not noticed.
func peerOf(fd uintptr) (peer, error) {
	cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, fmt.Errorf("read peer: %w", err)
	}
	p := peer{pid: int(cred.Pid), uid: int(cred.Uid)}
	handle, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		p.running, p.done = func() bool { return true }, func() {}
		return p, nil
	case err != nil: // of a process that was waited for there is none
		return peer{}, fmt.Errorf("read peer: %w", errGone)
	}
	p.done = func() { _ = unix.Close(handle) }
	p.running = func() bool {
		// Readable once the process has ended (pidfd_open(2)).
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 0)
		return err == nil && n == 0
	}
	return p, nil
}
