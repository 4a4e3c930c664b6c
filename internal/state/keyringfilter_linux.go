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

// keyringCalls are the numbers of add_key, request_key and keyctl in each ABI
// that a kernel of this architecture runs programs of. Those of other ABIs
// than the native one are in Linux's own tables (arch/x86/entry/syscalls,
// arch/arm/tools/syscall.tbl); x32 is the native ABI with bit 30 set.
func keyringCalls() map[uint32][]uint32 {
	native := []uint32{unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL}
	if runtime.GOARCH == "arm64" {
		return map[uint32][]uint32{unix.AUDIT_ARCH_AARCH64: native, unix.AUDIT_ARCH_ARM: {309, 310, 311}}
	}
	const x32 = 1 << 30
	for _, n := range native[:3] {
		native = append(native, x32|n)
	}
	return map[uint32][]uint32{unix.AUDIT_ARCH_X86_64: native, unix.AUDIT_ARCH_I386: {286, 287, 288}}
}

// keyringFilter is a classic BPF program that answers those calls with EPERM
// and lets all others be. A program of an ABI that is not listed, which there
// should be none of, is refused everything.
func keyringFilter(calls map[uint32][]uint32) []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
		refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	)
	p := []unix.SockFilter{{Code: load, K: seccompArch}}
	for arch, numbers := range calls {
		// Another ABI: skip the load, a test and an answer for each number,
		// and the last answer.
		p = append(p,
			unix.SockFilter{Code: equal, K: arch, Jf: uint8(2 + 2*len(numbers))},
			unix.SockFilter{Code: load, K: seccompNumber})
		for _, n := range numbers {
			p = append(p, unix.SockFilter{Code: equal, K: n, Jf: 1}, unix.SockFilter{Code: answer, K: refuse})
		}
		p = append(p, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	}
	return append(p, unix.SockFilter{Code: answer, K: refuse})
}
