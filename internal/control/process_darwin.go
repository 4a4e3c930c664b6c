package control

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// States of <sys/proc.h>, and the letters that proc(5) of Linux has for them.
var letters = map[int8]byte{4: 'T', 5: 'Z'} // SSTOP, SZOMB

// look asks sysctl kern.proc.pid. The start is in microseconds since 1970.
func look(pid int) (process, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid {
		// For a process that is gone the answer is empty, which is EIO there.
		return process{}, fmt.Errorf("read process %d: %w", pid, errGone)
	}
	began := info.Proc.P_starttime
	return process{
		pid: pid, parent: int(info.Eproc.Ppid), state: letters[info.Proc.P_stat],
		start:   uint64(time.Unix(began.Sec, int64(began.Usec)*1000).UnixMicro()),
		program: unix.ByteSliceToString(info.Proc.P_comm[:]),
	}, nil
}

// procargs splits kern.procargs2: the number of arguments, the path of the
// program, NULs, the arguments, the environment, each ended by a NUL. The
// system leaves the environment out for programs of its own.
func procargs(pid int) (args, environ [][]byte) {
	block, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(block) < 4 {
		return nil, nil
	}
	count := int(binary.NativeEndian.Uint32(block))
	_, rest, ok := bytes.Cut(block[4:], []byte{0})
	if !ok {
		return nil, nil
	}
	words := bytes.Split(bytes.TrimLeft(rest, "\x00"), []byte{0})
	count = min(max(count, 0), len(words))
	return words[:count], words[count:]
}

func arguments(pid int) [][]byte {
	args, _ := procargs(pid)
	return args
}

func environment(pid int) [][]byte {
	_, environ := procargs(pid)
	return environ
}

// bound cannot be told: macOS has no no_new_privs.
func bound(int) bool { return false }

// peerOf asks the kernel who is at the other end (LOCAL_PEERCRED, LOCAL_PEERPID,
// <sys/un.h>).
func peerOf(fd uintptr) (peer, error) {
	cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return peer{}, fmt.Errorf("read peer: %w", err)
	}
	pid, err := unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return peer{}, fmt.Errorf("read peer: %w", errors.Join(errGone, err))
	}
	return peer{pid: pid, uid: int(cred.Uid), running: func() bool { return true }, done: func() {}}, nil
}
