package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// TokenLock is the lock of a login: who holds it may replace its tokens. It
// lies on an open file (flock(2)), so that a process which is started with that
// file holds it too, and goes on holding it when its parent is gone.
type TokenLock struct {
	file  *os.File
	leave func()
	once  sync.Once
	err   error
}

// LockToken takes the lock of a login, waiting for it as long as ctx lives.
func (s *Store) LockToken(ctx context.Context, k LoginKey) (*TokenLock, error) {
	name := k.blob("token")
	path, leave, err := s.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := openLock(path)
	if err == nil {
		if err = take(ctx, func() (bool, error) { return tryFlock(f) }); err == nil {
			return &TokenLock{file: f, leave: leave}, nil
		}
		_ = f.Close()
	}
	leave()
	return nil, fmt.Errorf("lock %q: %w", name, err)
}

// openLock opens a lock's file for writing, which nobody does: a home folder on NFS
// gives exclusive locks on no other (flock(2), NFS details). Where the disk can
// only be read no tokens are replaced, and who locks is told so when saving.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, lockFlags|os.O_RDWR, 0o600)
	if err != nil {
		if readable, failed := os.OpenFile(path, lockFlags, 0o600); failed == nil {
			return readable, nil
		}
	}
	return f, err
}

// InheritedTokenLock is the lock that a parent took and gave to this process
// with f. It refuses a file that is not the login's lock.
func (s *Store) InheritedTokenLock(k LoginKey, f *os.File) (*TokenLock, error) {
	name := k.blob("token")
	got, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	want, err := os.Lstat(filepath.Join(s.dir, "locks", s.opaque("lock/"+name)))
	if err != nil || !os.SameFile(got, want) {
		return nil, fmt.Errorf("lock %q: inherited file: %w", name, ErrInvalid)
	}
	// Where the parent holds it this changes nothing: it is the same open file.
	ok, err := tryFlock(f)
	if err != nil || !ok {
		return nil, fmt.Errorf("lock %q: inherited file: %w", name, errors.Join(err, ErrInvalid))
	}
	return &TokenLock{file: f, leave: func() {}}, nil
}

func tryFlock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, err
		}
	}
}

// File is what a child has to be given to hold the lock as well.
func (l *TokenLock) File() *os.File { return l.file }

// Unlock lets the lock go, for a child that was given it as well.
func (l *TokenLock) Unlock() error {
	l.once.Do(func() {
		l.err = errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
		l.leave()
	})
	return l.err
}

// Leave lets the lock go here, and leaves it to the child that was given it
// until that ends.
func (l *TokenLock) Leave() error {
	l.once.Do(func() {
		l.err = l.file.Close()
		l.leave()
	})
	return l.err
}
