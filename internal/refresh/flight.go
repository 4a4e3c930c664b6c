package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kb/internal/secret"
	"kb/internal/state"
)

// lockPatience is how long a refresh waits for another process that holds the
// login's lock: one request of askTimeout, what a worker is given besides, and
// the disk.
const lockPatience = 30 * time.Second

// workerPatience is how long a worker is waited for: askTimeout, its start, and
// the disk.
const workerPatience = askTimeout + 10*time.Second

// flight is one refresh of one login, which all who want one wait for.
type flight struct {
	done chan struct{}
	view view
	err  error
}

var errAbandoned = errors.New("the refresh was abandoned")

// fly returns the flight that is on its way, or starts one, and whether it did.
func (m *Manager) fly(l Login, want func(*view) bool, force bool) (f *flight, mine bool) {
	e := m.entry(l.Key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight != nil {
		return e.flight, false
	}
	f = &flight{done: make(chan struct{}), err: errAbandoned}
	e.flight = f
	m.flights.Go(func() {
		defer func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.flight = nil
			close(f.done)
		}()
		f.view, f.err = m.run(l, e, want, force)
	})
	return f, true
}

// renew returns a token that is not wanted anew any more, by a flight of its
// own or another's. A flight that fails fails for all who wait for it.
func (m *Manager) renew(ctx context.Context, l Login, want func(*view) bool, force bool) (state.Token, error) {
	for {
		f, mine := m.fly(l, want, force)
		select {
		case <-f.done:
		case <-ctx.Done():
			return state.Token{}, fmt.Errorf("refresh %s: %w", l.Key.Provider, ctx.Err())
		}
		switch {
		case f.err != nil && !mine && force:
			// That one may have been told to wait.
		case f.err != nil:
			return state.Token{}, f.err
		case mine || !want(&f.view):
			return f.view.token, nil
		}
	}
}

// run is a flight: the lock, the store, and if it must be the server. It goes
// on whatever becomes of the request that started it.
func (m *Manager) run(l Login, e *entry, want func(*view) bool, force bool) (view, error) {
	ctx, cancel := context.WithTimeout(m.ctx, lockPatience)
	defer cancel()
	m.step("flight")
	lock, err := m.takeLock(ctx, e)
	if err != nil {
		return view{}, &OfflineError{Key: l.Key, Reason: "another process of kb does not finish its refresh: " + err.Error()}
	}
	defer func() { m.release(e, lock) }()
	m.step("locked")
	m.saveHeld(e, lock)
	v, err := m.look(l)
	if err != nil {
		return view{}, err
	}
	m.step("read")
	if v.usable() && !want(&v) {
		m.release(e, lock)
		m.tellRotated(e, l, &v)
		return v, nil
	}
	if err := m.stays(&v, l, force); err != nil {
		return view{}, err
	}
	grant, err := l.Grant()
	e.granted(err, m.o.Elapsed())
	if err != nil {
		return view{}, err
	}
	j := job{key: l.Key, grant: grant, made: l.Made, what: l.For, shared: state.TokenHash(l.Shared), had: v.has, memory: m.inMemory(e)}
	if v.ours {
		j.old = v.token
		if v.token.Made.After(j.made) {
			j.made, j.shared = v.token.Made, v.token.Shared
		}
	}
	if !grant.minted() {
		if v.has && !v.ours && v.token.Made.After(l.Made) {
			return view{}, &NeedsLoginError{Key: l.Key, Reason: "this device holds tokens of a later login, which the vault does not have"}
		}
		if j.refresh = source(j.old, l); j.refresh.IsZero() {
			return view{}, &NeedsLoginError{Key: l.Key, Reason: "this device has no tokens of it"}
		}
	}
	t, err := m.exchange(lock, j)
	if errors.Is(err, errHung) {
		return view{}, &OfflineError{Key: l.Key, Reason: "the provider or the disk does not answer"}
	}
	v = m.settle(e, l, lock, t, j, err)
	m.release(e, lock)
	m.step("unlocked")
	m.tellRotated(e, l, &v)
	if err := problem(l.Key, &t); err != nil {
		return view{}, err
	}
	return v, nil
}

// source is the refresh token to send: the device's own, unless the vault holds
// another than the one that it came from.
func source(own state.Token, l Login) secret.Value {
	if l.known(&own) || own.Refresh.IsZero() && !l.Shared.IsZero() && !own.Made.After(l.Made) {
		return l.Shared
	}
	return own.Refresh
}

// known reports whether the vault holds another refresh token than the one that
// t came from, and not that of a login before t's.
func (l *Login) known(t *state.Token) bool {
	return !l.Shared.IsZero() && state.TokenHash(l.Shared) != t.Shared && !t.Made.After(l.Made)
}

// takeLock takes the login's lock, which this manager may hold already.
func (m *Manager) takeLock(ctx context.Context, e *entry) (*state.TokenLock, error) {
	e.mu.Lock()
	lock := e.lock
	e.mu.Unlock()
	if lock != nil {
		return lock, nil
	}
	return m.o.Store.LockToken(ctx, e.key)
}

// saveHeld tries to save what could not be saved, under a lock that run holds.
func (m *Manager) saveHeld(e *entry, lock *state.TokenLock) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.unsaved {
		return
	}
	if m.save(e); !e.unsaved && e.lock == lock {
		e.lock = nil // run lets it go
	}
}

// release lets the lock go, unless it has to be held on.
func (m *Manager) release(e *entry, lock *state.TokenLock) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lock != lock {
		_ = lock.Unlock() // closing is all that can fail, and the lock is gone all the same
	}
}

func (m *Manager) inMemory(e *entry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unsaved
}

// settle makes the outcome known to this process. An error is that of a save.
func (m *Manager) settle(e *entry, l Login, lock *state.TokenLock, t state.Token, j job, failed error) view {
	e.mu.Lock()
	defer e.mu.Unlock()
	if failed != nil {
		e.reason = t.Reason
		t.Reason = "new tokens could not be saved, and are lost when kb ends: " + failed.Error()
		m.hold(e, t, true, e.mark)
		e.unsaved, e.tried = true, m.o.Elapsed()
		if !j.grant.minted() {
			e.lock = lock
		}
		m.o.Warn(e.key, t.Reason)
		return e.view(l, m.o.Now(), m.o.Elapsed())
	}
	e.unsaved = false
	if e.lock == lock {
		e.lock = nil
	}
	// Also where the store does not take a failure: what it holds is then older.
	mark, _ := m.o.Store.TokenMark(e.key)
	m.hold(e, t, !t.Made.IsZero() || t.State != "", mark)
	return e.view(l, m.o.Now(), m.o.Elapsed())
}

// rotateTimeout bounds OnRotate, which edits a vault.
const rotateTimeout = time.Minute

// tellRotated tells OnRotate, once, that the provider replaced the refresh
// token that the vault holds.
func (m *Manager) tellRotated(e *entry, l Login, v *view) {
	t := &v.token
	if l.OnRotate == nil || l.Shared.IsZero() || !v.ours || t.Refresh.IsZero() || t.Refresh.Equal(l.Shared) || t.Shared != state.TokenHash(l.Shared) {
		return
	}
	e.mu.Lock()
	told := e.rotated == t.Shared
	e.mu.Unlock()
	if told {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rotateTimeout)
	defer cancel()
	if l.OnRotate(ctx) == nil {
		e.mu.Lock()
		e.rotated = t.Shared
		e.mu.Unlock()
	}
}
