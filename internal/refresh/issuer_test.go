package refresh_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
)

// issuer is an authorization server, as far as refreshing goes.
type issuer struct {
	now    func() time.Time
	life   time.Duration // of access tokens; 0: it does not say
	rotate bool          // a refresh token serves once
	reuse  bool          // and used again ends the whole family

	mu       sync.Mutex
	current  string               // refresh token; "" once the family is dead
	former   map[string]bool      // refresh tokens that were used
	access   map[string]time.Time // ends; zero where they do not
	requests int
	grants   int
	// fault, if not nil, answers in place of the issuer; asked with the number of
	// the request, from 1. lost has the tokens made all the same.
	fault func(n int) (err error, lost bool)
}

func newIssuer(now func() time.Time, life time.Duration) *issuer {
	return &issuer{now: now, life: life, current: "refresh-0", former: map[string]bool{}, access: map[string]time.Time{}}
}

// grant is the token endpoint: an error code of RFC 6749, or tokens.
func (s *issuer) grant(with string, minted bool) (access, next string, life time.Duration, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case minted:
	case s.former[with] && s.reuse:
		s.current = ""
		clear(s.access)
		return "", "", 0, oauth.CodeInvalidGrant
	case with == "" || with != s.current:
		return "", "", 0, oauth.CodeInvalidGrant
	}
	s.grants++
	if s.rotate && !minted {
		s.former[with] = true
		s.current = fmt.Sprintf("refresh-%d", s.grants)
		next = s.current
	}
	access = fmt.Sprintf("access-%d-%x", s.grants, sha256.Sum256([]byte(with)))[:24]
	var end time.Time
	if s.life > 0 {
		end = s.now().Add(s.life)
	}
	s.access[access] = end
	return access, next, s.life, ""
}

// count counts a request and returns its fault.
func (s *issuer) count() (err error, lost bool) {
	s.mu.Lock()
	s.requests++
	n, fault := s.requests, s.fault
	s.mu.Unlock()
	if fault == nil {
		return nil, false
	}
	return fault(n)
}

// exchange is a refresh.Options.Exchange.
func (s *issuer) exchange(now func() time.Time) func(context.Context, refresh.Grant, secret.Value) (oauth.Tokens, error) {
	return func(_ context.Context, g refresh.Grant, with secret.Value) (oauth.Tokens, error) {
		err, lost := s.count()
		if err != nil && !lost {
			return oauth.Tokens{}, err
		}
		access, next, life, code := s.grant(with.Reveal(), g.Kind != refresh.KindRefresh)
		if err != nil {
			return oauth.Tokens{}, err
		}
		if code != "" {
			return oauth.Tokens{}, &oauth.Error{Endpoint: "token", Status: 400, Code: code}
		}
		t := oauth.Tokens{Access: secret.New(access), Refresh: secret.New(next), Type: "Bearer"}
		if life > 0 {
			t.Expires = now().Add(life)
		}
		return t, nil
	}
}

// accepts is the API's answer to a token: false is 401.
func (s *issuer) accepts(t state.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.access[t.Access.Reveal()]
	return ok && (end.IsZero() || s.now().Before(end))
}

func (s *issuer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *issuer) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != ""
}

// clock is a wall clock, and one that only runs.
type clock struct {
	mu   sync.Mutex
	wall time.Time
	ran  time.Duration
}

func newClock() *clock { return &clock{wall: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran
}

// pass lets time go by; jump sets the wall clock, and no time goes by.
func (c *clock) pass(d time.Duration) { c.move(d, d) }
func (c *clock) jump(d time.Duration) { c.move(d, 0) }

func (c *clock) move(wall, ran time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.ran = c.wall.Add(wall), c.ran+ran
}

// true is the time that nobody sets, for a server elsewhere.
func (c *clock) truth() time.Time {
	return time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC).Add(c.elapsed())
}

var storeKey = [32]byte{7}

func openStore(t testing.TB, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(dir, storeKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rig is a login on a device: a store, an issuer, a clock, and a manager.
type rig struct {
	t      *testing.T
	dir    string
	store  *state.Store
	clock  *clock
	issuer *issuer
	m      *refresh.Manager
	login  refresh.Login
	warned []string
}

func newRig(t *testing.T, life time.Duration) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "state"), clock: newClock()}
	r.store = openStore(t, r.dir)
	r.issuer = newIssuer(r.clock.truth, life)
	r.login = refresh.Login{
		Key:   state.LoginKey{Profile: "work", Provider: "linear"},
		Grant: func() (refresh.Grant, error) { return refresh.Grant{Kind: refresh.KindRefresh}, nil },
		Made:  r.clock.now().Add(-time.Hour),
	}
	r.m = r.manager()
	return r
}

// manager is another process on the same store.
func (r *rig) manager() *refresh.Manager {
	r.t.Helper()
	m := refresh.New(refresh.Options{
		Store: openStore(r.t, r.dir), Exchange: r.issuer.exchange(r.clock.now), Now: r.clock.now, Elapsed: r.clock.elapsed,
		Warn: func(_ state.LoginKey, what string) { r.warned = append(r.warned, what) },
	})
	r.t.Cleanup(m.Wait)
	return m
}

// loggedIn is the state after a login.
func (r *rig) loggedIn() *rig {
	r.t.Helper()
	access, next, life, _ := r.issuer.grant("", true)
	if next == "" {
		next = r.issuer.current
	}
	t := state.Token{
		Access: secret.New(access), Refresh: secret.New(next), Type: "Bearer",
		Obtained: r.clock.now(), Made: r.login.Made, State: refresh.StateOK, Since: r.clock.now(),
	}
	if life > 0 {
		t.Expires = r.clock.now().Add(life)
	}
	if err := r.store.PutToken(r.t.Context(), r.login.Key, t); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) stored() state.Token {
	r.t.Helper()
	t, _, err := r.store.Token(r.login.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

func (r *rig) journal() *state.JournalEntry {
	r.t.Helper()
	e, ok, err := r.store.Journal(r.login.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return &e
}

// use uses the login, and fails the test unless the API takes the token.
func (r *rig) use(m *refresh.Manager) state.Token {
	r.t.Helper()
	t, err := m.Token(r.t.Context(), r.login)
	if err != nil {
		r.t.Fatal(err)
	}
	if !r.issuer.accepts(t) {
		r.t.Fatal("the token is stale")
	}
	return t
}

func (r *rig) requests(want int) {
	r.t.Helper()
	if got := r.issuer.asked(); got != want {
		r.t.Fatalf("%d token requests, want %d", got, want)
	}
}
