package faultdisk

import "syscall"

// Faults lists what can go wrong at each of steps that went well once: to be
// killed before it, in the middle of a write, and after the last; and to be
// told by the system that it failed, or that it did after it was done.
func Faults(steps []Step) (faults []Fault) {
	add := func(f Fault) { faults = append(faults, f) }
	for i, s := range steps {
		add(Fault{Step: i})
		if s.Op == "write" {
			add(Fault{Step: i, Half: true})
		}
		switch s.Op {
		case "write":
			add(Fault{Step: i, Err: syscall.ENOSPC})
			add(Fault{Step: i, Err: syscall.ENOSPC, Half: true})
			add(Fault{Step: i, Err: syscall.EIO, Half: true})
		case "sync":
			add(Fault{Step: i, Err: syscall.EIO})
			add(Fault{Step: i, Err: syscall.ENOSPC}) // of file systems that allocate late
		case "syncdir":
			add(Fault{Step: i, Err: syscall.EIO})
			add(Fault{Step: i, Err: syscall.EIO, Done: true})
		case "rename":
			add(Fault{Step: i, Err: syscall.EROFS})
			add(Fault{Step: i, Err: syscall.EIO})
			add(Fault{Step: i, Err: syscall.EIO, Done: true}) // NFS, when the answer is lost
		default:
			add(Fault{Step: i, Err: syscall.EROFS})
			add(Fault{Step: i, Err: syscall.ENOSPC})
		}
	}
	if n := len(steps); n > 0 {
		add(Fault{Step: n - 1, Done: true})
	}
	return faults
}
