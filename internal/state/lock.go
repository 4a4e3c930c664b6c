package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// lockRetry: how often a busy lock is tried. A vault's edit holds it for some
// 10 ms, a refresh for a network round trip.
const lockRetry = 3 * time.Millisecond

// Lock takes the lock of that name, waiting for it as long as ctx lives. It
// excludes other processes and other callers in this one. The lock file stays:
// removing it would let two hold "the" lock. unlock may be called again.
func (s *Store) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("lock %q: %w", name, ErrBadName)
	}
	dir := filepath.Join(s.dir, "locks")
	if err := secureDir(dir, nil); err != nil {
		return nil, err
	}
	// Callers in this process queue for one file lock, and are ordered for
	// Go's memory model, which knows nothing of files.
	own, _ := s.locks.LoadOrStore(name, make(chan struct{}, 1))
	queue := own.(chan struct{})
	select {
	case queue <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("lock %q: %w", name, ctx.Err())
	}
	defer func() {
		if err != nil {
			<-queue
		}
	}()
	l := flock.New(filepath.Join(dir, s.opaque("lock/"+name)),
		flock.SetFlag(os.O_CREATE|os.O_RDONLY|openFlags), flock.SetPermissions(0o600))
	ok, err := l.TryLockContext(ctx, lockRetry)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", name, err), l.Close())
	}
	if !ok {
		return nil, errors.Join(fmt.Errorf("lock %q: not obtained", name), l.Close())
	}
	return sync.OnceValue(func() error {
		defer func() { <-queue }()
		return l.Close()
	}), nil
}
