package state_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kb/internal/state"
)

// TestAttackLockOnNFS: a home folder on NFS. Its client makes a lock on the whole
// file of what flock(2) asks for, and gives an exclusive one only to who opened the
// file for writing (flock(2), NFS details): else no token would ever be refreshed.
func TestAttackLockOnNFS(t *testing.T) {
	s := newStore(t)
	lock, err := s.LockToken(t.Context(), state.LoginKey{Profile: "work", Provider: "linear"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.File().Fd(), unix.F_SETLK, &whole); err != nil {
		t.Errorf("an exclusive lock of NFS: %v", err)
	}
	// Positive control: on a file that was opened for reading there is none.
	fd, err := unix.Open(lock.File().Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &whole); !errors.Is(err, unix.EBADF) {
		t.Errorf("control: %v", err)
	}
}

// TestAttackLockInAChild: an agent that is started while a login is refreshed does
// not hold its lock, and so keeps nobody from the next refresh.
func TestAttackLockInAChild(t *testing.T) {
	s := newStore(t)
	key := state.LoginKey{Profile: "work", Provider: "linear"}
	for _, inherits := range []bool{false, true} { // true is the positive control
		lock, err := s.LockToken(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if inherits {
			if _, err := unix.FcntlInt(lock.File().Fd(), unix.F_SETFD, 0); err != nil {
				t.Fatal(err)
			}
		}
		child := exec.CommandContext(t.Context(), "sleep", "60")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if err := lock.Leave(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		again, err := s.LockToken(ctx, key)
		cancel()
		if (err != nil) != inherits {
			t.Errorf("inherits %v: %v", inherits, err)
		}
		if err == nil {
			_ = again.Unlock()
		}
		_ = child.Process.Kill()
		_ = child.Wait()
	}
}
