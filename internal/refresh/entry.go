package refresh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kb/internal/state"
)

const (
	// saveEvery is how often what could not be saved is tried again.
	saveEvery = time.Second
	// A refresh because of a 401 is allowed at once, and after it again after
	// 30 s, 1, 2, 4 … 10 minutes: an API that refuses everything must not make
	// kb ask the authorization server with every request. Tokens that have lived
	// half their life are not counted.
	forceFirst  = 30 * time.Second
	forceLast   = 10 * time.Minute
	forceForget = 30 * time.Minute // without one of them, all is as before
)

// entry is what a manager remembers of one login.
type entry struct {
	key state.LoginKey

	mu     sync.Mutex
	flight *flight

	token  state.Token // of the store, or newer than it
	has    bool
	mark   state.TokenMark // of the store's, when token was read
	loaded bool
	seen   time.Duration // Elapsed when it was read
	left   time.Duration // of its life then
	jitter float64       // from 0 to below 1, new for each token

	// A token that the disk does not take, and when that was tried last. Where
	// it came from a refresh token, lock is held until it is saved: the one in
	// the store may be dead, and using it would end the login at a server that
	// takes that for theft.
	unsaved bool
	reason  string // of the token, when it is saved
	tried   time.Duration
	lock    *state.TokenLock

	broken      int           // grants in a row that could not be had
	brokenSince time.Duration // the last of them

	rotated string // hash of the vault's refresh token of which OnRotate was told

	forced    int           // tokens in a row that a 401 ended
	forcedAt  time.Duration // the last of them
	forcedFor string        // its hash
}

// life is how far a token is in its life.
type life int

const (
	none     life = iota // there is no token of this login
	spent                // it is over
	doubtful             // it may be over before it arrives, or the clocks do not agree on it
	due                  // it can be used, and is replaced
	fresh
)

// view is a token as it is now.
type view struct {
	token state.Token // what there is on record, usable or not
	has   bool
	ours  bool // of this login, or a later one; not of an earlier one
	life  life
}

func (v *view) usable() bool { return v.life == fresh || v.life == due || v.life == doubtful }

// look returns what there is of a login, reading the store if that has changed.
func (m *Manager) look(l Login) (view, error) {
	e := m.entry(l.Key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unsaved && e.flight == nil {
		m.saveAgain(e)
	}
	if err := m.load(e); err != nil {
		return view{}, err
	}
	return e.view(l, m.o.Now(), m.o.Elapsed()), nil
}

// load reads the store unless it holds what was read before. e.mu is held.
func (m *Manager) load(e *entry) error {
	if e.unsaved {
		return nil // newer than the store's
	}
	// The mark goes first: what is replaced in between is read again.
	mark, err := m.o.Store.TokenMark(e.key)
	if err != nil {
		return fmt.Errorf("read tokens of %s: %w", e.key.Provider, err)
	}
	if e.loaded && mark == e.mark {
		return nil
	}
	t, ok, err := m.o.Store.Token(e.key)
	if err != nil {
		return fmt.Errorf("read tokens of %s: %w", e.key.Provider, err)
	}
	m.hold(e, t, ok, mark)
	return nil
}

// hold makes t what the entry knows. e.mu is held.
func (m *Manager) hold(e *entry, t state.Token, ok bool, mark state.TokenMark) {
	if !e.loaded || !t.Access.Equal(e.token.Access) {
		e.seen, e.left = m.o.Elapsed(), t.Expires.Sub(m.o.Now())
		e.jitter = fraction(m.o.Random)
	}
	e.token, e.has, e.mark, e.loaded = t, ok, mark, true
}

func (e *entry) view(l Login, now time.Time, elapsed time.Duration) view {
	v := view{token: e.token, has: e.has, ours: e.has && Owns(&e.token, l.Made, l.Account) && e.token.For == l.For}
	t := &e.token
	switch {
	case !v.ours || t.Access.IsZero():
		return v
	case t.Expires.IsZero():
		v.life = fresh
		return v
	}
	// Two clocks: one that people and time servers set, and one that only runs.
	wall, ran := t.Expires.Sub(now), e.left-(elapsed-e.seen)
	m := margin(t)
	last := min(lastWait, m/lastShare)
	m -= time.Duration(e.jitter * float64(m) / jitterShare)
	switch {
	case wall <= 0 && ran <= 0:
		v.life = spent
	case min(wall, ran) <= last || skewed(t, now):
		v.life = doubtful
	case min(wall, ran) <= m:
		v.life = due
	default:
		v.life = fresh
	}
	return v
}

// granted counts grants that could not be had.
func (e *entry) granted(err error, elapsed time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken++; err == nil {
		e.broken = 0
	}
	e.brokenSince = elapsed
}

// brokenFor is how long the background loop leaves a login alone whose grant
// could not be had. Who uses the login asks at once.
func (e *entry) brokenFor(elapsed time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken == 0 {
		return 0
	}
	return e.brokenSince + doubled(backoffFirst, e.broken, refusedLast) - elapsed
}

// mayForce reports whether a 401 to the token of that hash may lead to a
// refresh now, and counts it. All who were refused with one token count as one.
func (e *entry) mayForce(used string, elapsed time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	since := elapsed - e.forcedAt
	if since > forceForget {
		e.forced = 0
	}
	switch {
	case e.forced > 0 && used == e.forcedFor:
		return true
	case e.forced > 0 && since < doubled(forceFirst, e.forced, forceLast):
		return false
	}
	e.forced++
	e.forcedAt, e.forcedFor = elapsed, used
	return true
}

// saveAgain tries to save what could not be saved. e.mu is held, and no flight
// is on its way.
func (m *Manager) saveAgain(e *entry) {
	now := m.o.Elapsed()
	if now-e.tried < saveEvery {
		return
	}
	e.tried = now
	lock, held := e.lock, e.lock != nil
	if !held {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		var err error
		if lock, err = m.o.Store.LockToken(ctx, e.key); err != nil {
			return
		}
	}
	if m.save(e); !e.unsaved || !held {
		_ = lock.Unlock()
		e.lock = nil
	}
}

// save saves what could not be saved, or sees that somebody else has a newer
// one. e.mu is held, and the login's lock by this manager.
func (m *Manager) save(e *entry) {
	if cur, ok, err := m.o.Store.Token(e.key); err == nil && ok && (cur.Made.After(e.token.Made) || cur.Obtained.After(e.token.Obtained)) {
		e.unsaved = false
		return
	}
	t := e.token
	t.Reason = e.reason
	if m.o.Store.PutToken(m.ctx, e.key, t) != nil {
		return
	}
	_ = m.o.Store.ClearJournal(e.key)
	mark, _ := m.o.Store.TokenMark(e.key)
	m.hold(e, t, true, mark)
	e.unsaved = false
	m.o.Warn(e.key, "the new tokens are saved now")
}
