package refresh_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
)

func TestFreshTokenCostsNothing(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	first := r.use(r.m)
	for range 100 {
		r.clock.pass(20 * time.Second)
		if got := r.use(r.m); !got.Access.Equal(first.Access) {
			t.Fatal("another token")
		}
	}
	r.requests(0)
}

// A due token is used, and replaced behind its users.
func TestDueTokenIsReplacedBehindItsUser(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	first := r.use(r.m)
	r.clock.pass(56*time.Minute + 30*time.Second)
	if got := r.use(r.m); !got.Access.Equal(first.Access) {
		t.Error("the user of a living token waited for another")
	}
	r.m.Wait()
	if got := r.use(r.m); got.Access.Equal(first.Access) {
		t.Error("the token was not replaced")
	}
	r.requests(1)
}

// What came of a login is kept with its tokens: the newest first, a failure that
// goes on once, and no more than a few.
func TestPastIsKeptWithTheTokens(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	hour := func() {
		r.clock.pass(time.Hour)
		_, _ = r.m.Now(t.Context(), r.login)
	}
	hour()
	r.issuer.fault = func(int) (error, bool) { return errors.New("no route"), false }
	hour()
	hour()
	past := r.stored().Past
	if len(past) != 2 || past[0].What != "no route" || past[1].What != state.PastRefreshed || !past[0].When.Equal(past[1].When.Add(2*time.Hour)) {
		t.Errorf("the past is %+v", past)
	}
	r.issuer.fault = nil
	for range 20 {
		hour()
	}
	if past = r.stored().Past; len(past) != 8 || past[7].What != state.PastRefreshed {
		t.Errorf("after a day the past is %+v", past)
	}
}

// A request may arrive seconds after it got its token: one that ends in that
// time is replaced first, and used all the same where nobody can be asked.
func TestTokenInItsLastSecondsIsWaitedFor(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	first := r.stored()
	r.clock.pass(time.Hour - time.Second)
	if got := r.use(r.m); got.Access.Equal(first.Access) {
		t.Error("a token that ends in a second was used, and a newer one could be had")
	}
	r.requests(1)
	second := r.stored()
	r.clock.pass(time.Hour - time.Second)
	r.issuer.fault = func(int) (error, bool) { return errors.New("no route"), false }
	if got := r.use(r.m); !got.Access.Equal(second.Access) {
		t.Error("another token")
	}
	r.requests(2)
}

func TestSpentTokenIsWaitedFor(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		r := newRig(t, time.Hour).loggedIn()
		r.issuer.rotate, r.issuer.reuse = rotate, rotate
		for n := range 5 {
			r.clock.pass(2 * time.Hour)
			r.use(r.m)
			r.requests(n + 1)
		}
		if r.journal() != nil {
			t.Error("the journal was not cleared")
		}
		if got := r.stored(); got.State != refresh.StateOK || !got.Made.Equal(r.login.Made) {
			t.Errorf("stored: %q of %v", got.State, got.Made)
		}
	}
}

// An answer without a refresh token keeps the old one; one with it replaces it.
func TestRefreshTokenIsKeptOrReplaced(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.clock.pass(2 * time.Hour)
	r.use(r.m)
	if got := r.stored().Refresh.Reveal(); got != "refresh-0" {
		t.Errorf("stored %q, want the old one", got)
	}
	r.issuer.rotate = true
	r.clock.pass(2 * time.Hour)
	r.use(r.m)
	if got := r.stored().Refresh.Reveal(); got != r.issuer.current || got == "refresh-0" {
		t.Errorf("stored %q, want %q", got, r.issuer.current)
	}
}

func TestManyUsersOneRequest(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.rotate, r.issuer.reuse = true, true
	r.clock.pass(2 * time.Hour)
	managers := []*refresh.Manager{r.m, r.manager(), r.manager(), r.manager()}
	var wg sync.WaitGroup
	for _, m := range managers {
		for range 50 {
			wg.Go(func() {
				got, err := m.Token(t.Context(), r.login)
				if err != nil || !r.issuer.accepts(got) {
					t.Errorf("token is stale, or %v", err)
				}
			})
		}
	}
	wg.Wait()
	r.requests(1)
}

func TestInvalidGrantNeedsLoginOnce(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.clock.pass(2 * time.Hour)
	r.issuer.current = "another"
	for range 50 {
		var needs *refresh.NeedsLoginError
		if _, err := r.m.Token(t.Context(), r.login); !errors.As(err, &needs) {
			t.Fatalf("error is %v", err)
		}
		r.clock.pass(time.Minute)
	}
	if _, err := r.m.Now(t.Context(), r.login); err == nil {
		t.Error("kb refresh found a token")
	}
	if _, err := r.manager().Token(t.Context(), r.login); err == nil {
		t.Error("another process found a token")
	}
	r.requests(1)
	if got := r.stored(); got.State != refresh.StateNeedsLogin || got.Refresh.IsZero() || got.Access.IsZero() {
		t.Errorf("the record was not kept: %+v", got)
	}
	// A login ends it.
	r.issuer.current = "refresh-0"
	r.login.Made = r.clock.now()
	r.loggedIn()
	r.use(r.m)
	r.requests(1)
}

func TestRejectedTokenIsReplacedOnce(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.rotate, r.issuer.reuse = true, true
	old := r.use(r.m)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, err := r.m.Rejected(t.Context(), r.login, old.Access)
			if err != nil || got.Access.Equal(old.Access) {
				t.Errorf("the same token again, or %v", err)
			}
		})
	}
	wg.Wait()
	r.requests(1)
	// Another process adopts.
	if got, err := r.manager().Rejected(t.Context(), r.login, old.Access); err != nil || got.Access.Equal(old.Access) {
		t.Errorf("the same token again, or %v", err)
	}
	r.requests(1)
}

// An API that answers 401 to all is no reason to ask for tokens all the time.
func TestRejectedAgainAndAgainIsNoStorm(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	refused := 0
	for range 600 {
		got := r.use(r.m)
		var rejected *refresh.RejectedError
		if _, err := r.m.Rejected(t.Context(), r.login, got.Access); errors.As(err, &rejected) {
			refused++
		}
		r.clock.pass(time.Second)
	}
	if n := r.issuer.asked(); n > 6 || n < 2 || refused != 600-n {
		t.Errorf("%d token requests in ten minutes, %d refused", n, refused)
	}
}

func TestMintedTokens(t *testing.T) {
	r := newRig(t, time.Hour)
	r.login.Grant = func() (refresh.Grant, error) {
		return refresh.Grant{Kind: refresh.KindClientCredentials}, nil
	}
	r.use(r.m)
	r.clock.pass(2 * time.Hour)
	r.use(r.m)
	r.requests(2)
	// A refusal may be about the clock or the client: it is looked at again.
	r.issuer.fault = func(int) (error, bool) {
		return &oauth.Error{Endpoint: "token", Status: 400, Code: oauth.CodeInvalidGrant}, false
	}
	r.clock.pass(2 * time.Hour)
	for range 300 {
		if _, err := r.m.Token(t.Context(), r.login); err == nil {
			t.Fatal("a token, and none was made")
		}
		r.clock.pass(time.Second)
	}
	if n := r.issuer.asked(); n < 4 || n > 5 {
		t.Errorf("%d token requests in five minutes, want two or three more than 2", n)
	}
	r.issuer.fault = nil
	r.clock.pass(10 * time.Minute)
	r.use(r.m)
}

func TestNoTokensOnThisDevice(t *testing.T) {
	r := newRig(t, time.Hour)
	var needs *refresh.NeedsLoginError
	if _, err := r.m.Token(t.Context(), r.login); !errors.As(err, &needs) {
		t.Errorf("error is %v", err)
	}
	r.requests(0)
	// Of an earlier login: they do not serve.
	r.loggedIn()
	r.login.Made = r.login.Made.Add(time.Minute)
	if _, err := r.m.Token(t.Context(), r.login); !errors.As(err, &needs) {
		t.Errorf("error is %v", err)
	}
	r.requests(0)
}

func TestSharedTokenOfAnotherDeviceIsAdopted(t *testing.T) {
	r := newRig(t, time.Hour)
	r.login.Shared = secret.New("refresh-0")
	r.use(r.m) // from the vault, on a device that never logged in
	r.requests(1)
	// Another device logs in again; the vault holds its token.
	r.issuer.current = "refresh-of-laptop"
	r.clock.pass(2 * time.Hour)
	if _, err := r.m.Token(t.Context(), r.login); err == nil {
		t.Fatal("the old refresh token served")
	}
	r.requests(2)
	r.login.Shared = secret.New("refresh-of-laptop")
	r.use(r.m)
	r.requests(3)
	if got := r.stored(); got.Shared != state.TokenHash(r.login.Shared) || got.State != refresh.StateOK {
		t.Errorf("stored: %q", got.State)
	}
}

// A session that has not seen yet that a synced login was made anew goes on
// with the new tokens, and not with the refresh token that the vault held.
func TestLaterLoginOfTheVaultIsNotUndone(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	got := r.stored()
	r.login.Shared = secret.New("refresh-of-the-login-before")
	got.Made, got.Shared = r.login.Made.Add(time.Minute), state.TokenHash(got.Refresh)
	if err := r.store.PutToken(t.Context(), r.login.Key, got); err != nil {
		t.Fatal(err)
	}
	r.clock.pass(2 * time.Hour)
	r.use(r.m)
	if now := r.stored(); !now.Made.Equal(got.Made) || now.Shared != got.Shared {
		t.Errorf("stored: tokens of %v, shared %q", now.Made, now.Shared)
	}
	r.requests(1)
	// Logged out meanwhile, it is logged out.
	now := state.Token{Made: got.Made, Shared: got.Shared, State: refresh.StateNeedsLogin, Reason: "logged out on this device"}
	if err := r.store.PutToken(t.Context(), r.login.Key, now); err != nil {
		t.Fatal(err)
	}
	var needs *refresh.NeedsLoginError
	if _, err := r.m.Token(t.Context(), r.login); !errors.As(err, &needs) {
		t.Errorf("error is %v", err)
	}
	r.requests(1)
}

// A login that was killed between its tokens and its record, or a vault that
// was restored: tokens of another account never serve the record's.
func TestTokensOfAnotherAccountAreNotUsed(t *testing.T) {
	for account, want := range map[string]bool{"me": true, "somebody else": false, "": false} {
		r := newRig(t, time.Hour).loggedIn()
		r.login.Account = "me"
		got := r.stored()
		got.Account, got.Made = account, r.login.Made.Add(time.Minute)
		if err := r.store.PutToken(t.Context(), r.login.Key, got); err != nil {
			t.Fatal(err)
		}
		for _, shared := range []string{"", "refresh-of-the-vault"} {
			r.login.Shared = secret.New(shared)
			var needs *refresh.NeedsLoginError
			if _, err := r.m.Token(t.Context(), r.login); want && err != nil || !want && !errors.As(err, &needs) {
				t.Errorf("tokens of account %q: %v", account, err)
			}
		}
		r.requests(0)
		if now := r.stored(); !now.Access.Equal(got.Access) {
			t.Error("the newer login's tokens are gone")
		}
	}
	// A refresh does not forget whose they are.
	r := newRig(t, time.Hour).loggedIn()
	r.login.Account = "me"
	got := r.stored()
	got.Account = "me"
	if err := r.store.PutToken(t.Context(), r.login.Key, got); err != nil {
		t.Fatal(err)
	}
	r.clock.pass(2 * time.Hour)
	r.use(r.m)
	if now := r.stored(); now.Account != "me" {
		t.Errorf("after a refresh they are %q's", now.Account)
	}
}

// What a login makes of its own keys it makes anew: a vault that was restored
// needs nobody to log in.
func TestMintedTokensOfAnotherAccountAreMadeAnew(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.login.Grant = func() (refresh.Grant, error) { return refresh.Grant{Kind: refresh.KindClientCredentials}, nil }
	r.login.Account = "me"
	later := r.stored()
	later.Account, later.Made, later.Refresh = "somebody else", r.login.Made.Add(time.Minute), secret.Value{}
	if err := r.store.PutToken(t.Context(), r.login.Key, later); err != nil {
		t.Fatal(err)
	}
	if got := r.use(r.m); got.Access.Equal(later.Access) {
		t.Error("another account's token was used")
	}
	if now := r.stored(); !now.Made.Equal(r.login.Made) {
		t.Errorf("stored: tokens of %v", now.Made)
	}
	r.requests(1)
	r.use(r.m)
	r.requests(1)
}
