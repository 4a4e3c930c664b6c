package refresh_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
)

// The clock is set a day ahead or back, or the laptop sleeps: after it the
// next user has a token that the API takes, for one request at most.
func TestClockJumps(t *testing.T) {
	for name, jump := range map[string]func(*clock){
		"a day ahead": func(c *clock) { c.jump(24 * time.Hour) },
		"a day back":  func(c *clock) { c.jump(-24 * time.Hour) },
		"sleep":       func(c *clock) { c.pass(8 * time.Hour) },
		"sleep that no clock counted but the wall's": func(c *clock) { c.jump(8 * time.Hour) },
		"back and ahead": func(c *clock) { c.jump(-24 * time.Hour); c.jump(24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, time.Hour).loggedIn()
			r.issuer.rotate, r.issuer.reuse = true, true
			r.use(r.m)
			jump(r.clock)
			r.use(r.m)
			r.use(r.manager())
			if n := r.issuer.asked(); n > 1 {
				t.Errorf("%d token requests", n)
			}
			// And it stays so.
			for range 24 * 6 {
				r.clock.pass(10 * time.Minute)
				r.use(r.m)
				r.m.Wait()
			}
			if n := r.issuer.asked(); n > 27 {
				t.Errorf("%d token requests in a day", n)
			}
		})
	}
}

// The clock is set back while the token is used: the wall says that it lives,
// the other clock knows better.
func TestClockSetBackWhileATokenIsUsed(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.use(r.m)
	r.clock.pass(30 * time.Minute)
	r.clock.jump(-25 * time.Minute)
	r.clock.pass(35 * time.Minute) // the wall: 40 minutes of 60 are over; truly 65
	r.use(r.m)
	r.requests(1)
}

// Where the clocks do not agree and the server cannot be reached, the old token
// is better than none.
func TestDoubtfulTokenIsUsedOffline(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	first := r.use(r.m)
	r.issuer.fault = func(int) (error, bool) { return &oauth.Error{Endpoint: "token", Status: 503}, false }
	r.clock.jump(24 * time.Hour)
	for range 2 {
		got, err := r.m.Token(t.Context(), r.login)
		if err != nil || !got.Access.Equal(first.Access) {
			t.Errorf("error is %v", err)
		}
	}
	r.requests(1)
}

func TestLifeOfThreeSeconds(t *testing.T) {
	r := newRig(t, 3*time.Second).loggedIn()
	r.issuer.rotate, r.issuer.reuse = true, true
	for range 600 { // a minute
		r.use(r.m)
		r.clock.pass(100 * time.Millisecond)
		r.m.Wait()
	}
	if n := r.issuer.asked(); n < 19 || n > 27 {
		t.Errorf("%d token requests in a minute of tokens that live 3 s and are due at 2.4", n)
	}
}

// Nobody says how long the token lives: the API's 401 does.
func TestLifeAbsent(t *testing.T) {
	r := newRig(t, 0).loggedIn()
	first := r.use(r.m)
	for range 1000 {
		r.clock.pass(time.Hour)
		r.use(r.m)
	}
	r.requests(0)
	r.issuer.mu.Lock()
	clear(r.issuer.access)
	r.issuer.mu.Unlock()
	got, err := r.m.Rejected(t.Context(), r.login, first.Access)
	if err != nil || !r.issuer.accepts(got) {
		t.Errorf("stale, or %v", err)
	}
	r.requests(1)
	if st, _, _, next := refresh.Standing(r.stored(), nil, r.clock.now()); st != refresh.StateOK || !next.IsZero() {
		t.Errorf("standing is %q until %v", st, next)
	}
}

// A life of nothing, or less, is not meant: it must not be asked for again and
// again.
func TestLifeOfNothing(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.life = 0
	exchange := r.issuer.exchange(r.clock.now)
	m := refresh.New(refresh.Options{
		Store: r.store, Now: r.clock.now, Elapsed: r.clock.elapsed,
		Exchange: func(ctx context.Context, g refresh.Grant, with secret.Value) (oauth.Tokens, error) {
			got, err := exchange(ctx, g, with)
			got.Expires = r.clock.now().Add(-time.Minute)
			return got, err
		},
	})
	r.clock.pass(2 * time.Hour)
	for range 100 {
		r.use(m)
		r.clock.pass(time.Second)
	}
	r.requests(1)
}

// A "keep" provider gives another refresh token all the same: the vault's is
// dead, and the broker is told, once.
func TestOnRotateIsCalledOnce(t *testing.T) {
	r := newRig(t, time.Hour)
	r.login.Shared = secret.New("refresh-0")
	told, fail := 0, true
	r.login.OnRotate = func(context.Context) error {
		told++
		if fail {
			return errors.New("vault is locked")
		}
		return nil
	}
	r.use(r.m)
	if told != 0 {
		t.Error("told, and nothing rotated")
	}
	r.issuer.rotate = true
	step := func() {
		r.clock.pass(2 * time.Hour)
		r.use(r.m)
	}
	step() // fails
	fail = false
	step()
	if told != 2 {
		t.Errorf("told %d times, want once and once again after its failure", told)
	}
	step()
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	// The broker has made it a login of this device.
	r.login.Shared, r.login.OnRotate = secret.Value{}, nil
	step()
	r.requests(5)
	if got := r.stored(); got.Shared != "" || got.Refresh.Reveal() != r.issuer.current {
		t.Errorf("stored: shared %q", got.Shared)
	}
}

func TestStanding(t *testing.T) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	in := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	live := state.Token{Access: secret.New("a"), State: refresh.StateOK, Obtained: in(-30), Since: in(-90), Expires: in(30)}
	with := func(change func(*state.Token)) state.Token {
		t := live
		change(&t)
		return t
	}
	for name, c := range map[string]struct {
		token state.Token
		j     *state.JournalEntry
		want  string
		since time.Time
		next  time.Time
	}{
		"nothing":    {state.Token{}, nil, refresh.StateUnknown, time.Time{}, time.Time{}},
		"ok":         {live, nil, refresh.StateOK, in(-90), in(25)},
		"no end":     {with(func(t *state.Token) { t.Expires = time.Time{} }), nil, refresh.StateOK, in(-90), time.Time{}},
		"due":        {with(func(t *state.Token) { t.Expires = in(3) }), nil, refresh.StateExpiring, in(-2).Add(24 * time.Second), in(-2).Add(24 * time.Second)},
		"over":       {with(func(t *state.Token) { t.Expires = in(-1) }), nil, refresh.StateExpiring, in(-1), in(-6).Add(12 * time.Second)},
		"skewed":     {with(func(t *state.Token) { t.Obtained, t.Expires = in(600), in(660) }), nil, refresh.StateExpiring, in(655), in(655)},
		"refreshing": {live, &state.JournalEntry{Time: now.Add(-time.Second)}, refresh.StateRefreshing, now.Add(-time.Second), time.Time{}},
		"cut short":  {live, &state.JournalEntry{Time: in(-5)}, refresh.StateUnknown, in(-5), time.Time{}},
		"old entry":  {live, &state.JournalEntry{Time: in(-31)}, refresh.StateOK, in(-90), in(25)},
		"offline": {
			with(func(t *state.Token) {
				t.State, t.Since, t.Retry, t.Reason = refresh.StateOffline, in(-10), in(1), "status 503"
			}),
			&state.JournalEntry{Time: in(-1)}, refresh.StateOffline, in(-10), in(1),
		},
		"needs login": {with(func(t *state.Token) { t.State, t.Since = refresh.StateNeedsLogin, in(-10) }), nil, refresh.StateNeedsLogin, in(-10), time.Time{}},
	} {
		st, _, since, next := refresh.Standing(c.token, c.j, now)
		if st != c.want {
			t.Errorf("%s: %q, want %q", name, st, c.want)
		}
		if name != "due" && name != "over" && name != "skewed" {
			if diff := cmp.Diff([]time.Time{c.since, c.next}, []time.Time{since, next}); diff != "" {
				t.Errorf("%s: since and next %s", name, diff)
			}
		}
	}
}
