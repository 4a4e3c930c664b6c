package refresh

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
)

// Options are what a Manager is made with.
type Options struct {
	Store *state.Store
	// Flows speaks to authorization servers. It is called for each request, in
	// which device settings may have changed.
	Flows func() *oauth.Flows
	// Exchange asks for tokens in the place of Flows; refresh is empty for a
	// grant that needs none. Nil means Flows.
	Exchange func(ctx context.Context, g Grant, refresh secret.Value) (oauth.Tokens, error)
	// Spawn names the worker that does a refresh, mostly [Self]. Nil has it done
	// in this process, and lost with it.
	Spawn Spawner
	// Now is the wall clock, nil the system's.
	Now func() time.Time
	// Elapsed is a clock that nobody sets: time since any moment. Nil is the
	// system's, which on Linux also counts what a laptop sleeps.
	Elapsed func() time.Duration
	// Random is nil for crypto/rand.
	Random io.Reader
	// Warn is told what a person should know at once: that new tokens could not
	// be saved. It must not call the Manager. Nil tells nobody; the token's
	// Reason says it all the same.
	Warn func(k state.LoginKey, what string)
}

// Login is a login whose tokens are wanted.
type Login struct {
	Key state.LoginKey
	// Grant says how new tokens are got. It is called when they are needed, and
	// may resolve references; its error is the caller's answer.
	Grant func() (Grant, error)
	// Made is the time of the login. Tokens of an earlier one are not used.
	Made time.Time
	// Account is whose the login is, "" where nobody was asked. Tokens of a later
	// login, of which the caller may not know yet, are used if they are of the same.
	Account string
	// For says what the login's tokens are for. Tokens that were got for
	// something else are not used, and none of them is sent anywhere.
	For string
	// Shared is the refresh token that the vault holds, if it holds one.
	Shared secret.Value
	// OnRotate is told that the provider gave another refresh token than Shared,
	// so that what the vault holds is dead. It is called without locks, once;
	// again at the next refresh if it fails. Nil where Shared is empty.
	OnRotate func(context.Context) error
}

// Manager sees to the tokens of any number of logins. It is safe for
// concurrent use, beside other managers and other processes on the same store.
type Manager struct {
	o        Options
	step     func(string)    // told of each step, in tests
	ctx      context.Context // of saves; a test's has a disk of its own
	patience time.Duration   // with a worker; a test's is shorter
	mu       sync.Mutex
	entries  map[state.LoginKey]*entry
	flights  sync.WaitGroup
}

// New returns a Manager. It starts nothing.
func New(o Options) *Manager {
	if o.Exchange == nil {
		o.Exchange = func(ctx context.Context, g Grant, refresh secret.Value) (oauth.Tokens, error) {
			return Ask(ctx, o.Flows(), g, refresh)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		o.Elapsed = elapsed
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Warn == nil {
		o.Warn = func(state.LoginKey, string) {}
	}
	return &Manager{o: o, step: func(string) {}, ctx: context.Background(), patience: workerPatience, entries: map[state.LoginKey]*entry{}}
}

func (m *Manager) entry(k state.LoginKey) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[k]
	if e == nil {
		e = &entry{key: k}
		m.entries[k] = e
	}
	return e
}

// Token returns a token that can be used now. One that is due is returned
// while its successor is got behind it; one that is over is waited for, as long
// as ctx lives: the request itself goes on without the caller.
func (m *Manager) Token(ctx context.Context, l Login) (state.Token, error) {
	v, err := m.look(l)
	if err != nil {
		return state.Token{}, err
	}
	if v.life == fresh {
		return v.token, nil
	}
	if why := m.stays(&v, l, false); why != nil {
		if v.life == due || v.life == doubtful {
			return v.token, nil
		}
		return state.Token{}, why
	}
	want := func(v *view) bool { return v.life != fresh }
	if v.life == due {
		m.fly(l, want, false)
		return v.token, nil
	}
	t, err := m.renew(ctx, l, want, false)
	if err != nil && v.life == doubtful {
		// Nobody knows that it is over, and there is no better one.
		if now, failed := m.look(l); failed == nil && now.usable() {
			return now.token, nil
		}
	}
	return t, err
}

// Rejected is told that the provider's API answered 401 to the token used, and
// returns another one: that of the store if it is another, else a new one. A
// token that was only just made, and refused as well, is an error: the API then
// refuses the login and not the token. One that has lived half its life is
// another matter: servers count in whole seconds, and by clocks of their own.
func (m *Manager) Rejected(ctx context.Context, l Login, used secret.Value) (state.Token, error) {
	v, err := m.look(l)
	if err != nil {
		return state.Token{}, err
	}
	if v.usable() && !v.token.Access.Equal(used) {
		return v.token, nil
	}
	if why := m.stays(&v, l, false); why != nil {
		return state.Token{}, why
	}
	if v.usable() && !worn(&v.token, m.o.Now()) && !m.entry(l.Key).mayForce(state.TokenHash(used), m.o.Elapsed()) {
		return state.Token{}, &RejectedError{l.Key}
	}
	return m.renew(ctx, l, func(v *view) bool { return !v.usable() || v.token.Access.Equal(used) }, false)
}

// Now gets a new token, whatever the present one is worth and whatever wait is
// due after a failure; but not against a verdict. Where another process was
// faster since the call, its token is the new one.
func (m *Manager) Now(ctx context.Context, l Login) (state.Token, error) {
	v, err := m.look(l)
	if err != nil {
		return state.Token{}, err
	}
	before := v.token.Access
	return m.renew(ctx, l, func(v *view) bool { return !v.usable() || v.token.Access.Equal(before) }, true)
}

// Wait returns when no refresh of this manager is on its way.
func (m *Manager) Wait() { m.flights.Wait() }

// stays says why a token is not asked for now: the provider has said no, and
// nothing has changed since, or it was asked only just now. force is a person,
// who does not wait.
func (m *Manager) stays(v *view, l Login, force bool) error {
	t := &v.token
	if !v.ours {
		return nil
	}
	if t.State == StateNeedsLogin && t.Retry.IsZero() && !l.known(t) {
		return &NeedsLoginError{l.Key, t.Reason, t.Since}
	}
	if force || mayRetry(t, m.o.Now()) {
		return nil
	}
	return problem(l.Key, t)
}

// problem is the error that a failed refresh left in a token; nil if it did not
// fail.
func problem(k state.LoginKey, t *state.Token) error {
	switch t.State {
	case StateNeedsLogin:
		return &NeedsLoginError{k, t.Reason, t.Since}
	case StateOffline:
		return &OfflineError{k, t.Reason, t.Since, t.Retry}
	}
	return nil
}
