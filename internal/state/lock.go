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
	if err := take(ctx, l); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", name, err), l.Close())
	}
	return sync.OnceValue(func() error {
		defer func() { <-queue }()
		return l.Close()
	}), nil
}

// take waits for the lock as long as ctx lives.
func take(ctx context.Context, l *flock.Flock) error {
	for wait := lockFirst; ; wait = min(2*wait, lockLast) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := l.TryLock(); ok || err != nil {
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
