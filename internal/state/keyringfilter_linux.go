package state

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (seccomp(2)), little-endian.
const (
	seccompNumber = 0
	seccompArch   = 4
)

// x32Bit marks a system call of the x32 ABI on amd64, which has numbers of its
// own for the same calls.
const x32Bit = 0x40000000

// keyringFilter is a classic BPF program that refuses those system calls. Of
// any other ABI than the native one (32-bit programs, x32) it refuses all: it
// knows their numbers no better than a list would.
func keyringFilter(numbers ...uint32) []unix.SockFilter {
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	stmt := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	jump := func(code uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k}
	}
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		atLst = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	p := []unix.SockFilter{
		stmt(load, seccompArch),
		jump(equal, arch, 1, 0),
		stmt(ret, refuse),
		stmt(load, seccompNumber),
		jump(atLst, x32Bit, 0, 1),
		stmt(ret, refuse),
	}
	for _, n := range numbers {
		p = append(p, jump(equal, n, 0, 1), stmt(ret, refuse))
	}
	return append(p, stmt(ret, unix.SECCOMP_RET_ALLOW))
}
