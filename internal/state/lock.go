package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// A busy lock is tried again after lockFirst, then after twice as long each
// time, up to lockLast, and each of these less a random part. A vault's edit
// holds it for some 10 ms, a refresh for a network round trip; with a fixed
// interval of 3 ms, 50 processes that waited kept two processors busy.
const (
	lockFirst = time.Millisecond
	lockLast  = 32 * time.Millisecond
)

// Lock takes the lock of that name, waiting for it as long as ctx lives. It
// excludes other processes and other callers in this one. The lock file stays:
// removing it would let two hold "the" lock. unlock may be called again.
func (s *Store) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	path, leave, err := s.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	l := flock.New(path, flock.SetFlag(lockFlags), flock.SetPermissions(0o600))
	if err := take(ctx, l.TryLock); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", name, err), l.Close())
	}
	return sync.OnceValue(func() error {
		defer leave()
		return l.Close()
	}), nil
}

const lockFlags = os.O_CREATE | os.O_RDONLY | openFlags

// enter waits for the callers of this process, who queue for one file lock and
// are ordered for Go's memory model, which knows nothing of files. It returns
// the file.
func (s *Store) enter(ctx context.Context, name string) (path string, leave func(), err error) {
	if name == "" || len(name) > maxName {
		return "", nil, fmt.Errorf("lock %q: %w", name, ErrBadName)
	}
	dir := filepath.Join(s.dir, "locks")
	if err := secureDir(dir, nil); err != nil {
		return "", nil, err
	}
	own, _ := s.locks.LoadOrStore(name, make(chan struct{}, 1))
	queue := own.(chan struct{})
	select {
	case queue <- struct{}{}:
		return filepath.Join(dir, s.opaque("lock/"+name)), func() { <-queue }, nil
	case <-ctx.Done():
		return "", nil, fmt.Errorf("lock %q: %w", name, ctx.Err())
	}
}

// take waits for the lock as long as ctx lives.
func take(ctx context.Context, try func() (bool, error)) error {
	for wait := lockFirst; ; wait = min(2*wait, lockLast) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := try(); ok || err != nil {
			return err
		}
		var r [1]byte
		_, _ = rand.Read(r[:]) // never fails (crypto/rand)
		again := time.NewTimer(wait - wait*time.Duration(r[0])/512)
		select {
		case <-ctx.Done():
			again.Stop()
		case <-again.C:
		}
	}
}
