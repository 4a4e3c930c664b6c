package broker

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

func TestGrantedLoginIsUsed(t *testing.T) {
	g := newGranted(t)
	result := g.mustGrant(OAuthLogin{Verify: true})
	if result.Account != "me" || !result.DeviceOnly || result.Expires.IsZero() {
		t.Errorf("the login came out as %+v", result)
	}
	l, ok := g.record()
	if !ok || l.Account != "me" || !l.DeviceOnly || len(l.Secrets) != 0 || l.Client != "acme" || strings.Join(l.Scopes, " ") != "read" {
		t.Errorf("the vault has %+v", l)
	}
	token, _ := g.stored()
	s := g.start(g.workDir)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if got := g.arrivals(); got[len(got)-1] != token.Access.Reveal() {
		t.Error("another token arrived than the one that was got")
	}
	if st := g.state(); st.State != StateOK || st.Next.IsZero() || !st.Next.Before(st.Expires) || !st.OAuth || st.Missing || st.Fix != "" {
		t.Errorf("it stands as %+v", st)
	}
}

// TestTokenThatIsOverIsRefreshedAtItsUse: a laptop that slept. The child sees
// no 401, and what came of it is nowhere that it can read.
func TestTokenThatIsOverIsRefreshedAtItsUse(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	first, _ := g.stored()
	s := g.start(g.workDir)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("before: status %d", got.status)
	}
	g.clock.move(2 * time.Hour)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := g.ask(s); got.status != http.StatusOK {
				t.Errorf("after the token's end: status %d: %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes for 8 requests at once, want 1", n)
	}
	second, _ := g.stored()
	if second.Access.Equal(first.Access) || second.Refresh.Equal(first.Refresh) {
		t.Fatal("the device still holds the first tokens")
	}
	oracle := testkit.NewOracle(first.Access.Reveal(), first.Refresh.Reveal(), second.Access.Reveal(), second.Refresh.Reveal())
	oracle.Control(t, second.Access.Reveal(), second.Refresh.Reveal())
	oracle.Look("environment", []byte(strings.Join(s.Environment(), "\n")))
	oracle.Look("notes", []byte(strings.Join(s.Notes(), "\n")))
	for _, dir := range []string{g.broker.paths.Runtime, g.broker.paths.Audit(), g.options.Paths.State} {
		if err := oracle.Tree(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, finding := range oracle.Findings() {
		t.Errorf("a token is where the child can see it: %s", finding)
	}
}

// TestTokenIsKeptFresh: the background loop refreshes ahead of the end, and the
// session uses what it got.
func TestTokenIsKeptFresh(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	first, _ := g.stored()
	g.clock.move(57 * time.Minute)
	s := g.start(g.workDir)
	testkit.Eventually(t, 10*time.Second, "the token to be refreshed", func() bool {
		now, _ := g.stored()
		return !now.Access.Equal(first.Access)
	})
	second, _ := g.stored()
	testkit.Eventually(t, 10*time.Second, "the session to use it", func() bool {
		g.ask(s)
		got := g.arrivals()
		return got[len(got)-1] == second.Access.Reveal()
	})
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// TestAnotherProcessesTokenIsAdopted: two sessions of two processes have one
// login, of which one refreshes.
func TestAnotherProcessesTokenIsAdopted(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	other := g.open() // with a manager of its own
	if _, err := other.RefreshLogins(t.Context(), "work", "acme", ""); err != nil {
		t.Fatal(err)
	}
	second, _ := g.stored()
	testkit.Eventually(t, 5*time.Second, "the other's token to be used", func() bool {
		g.ask(s)
		got := g.arrivals()
		return got[len(got)-1] == second.Access.Reveal()
	})
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes, want the other's alone", n)
	}
}

// TestRefusedTokenIsRefreshedOnce: the server ended a token before its time.
func TestRefusedTokenIsRefreshedOnce(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	g.auth.Expire()
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if n := g.auth.Count("refresh_token"); n != 1 || len(g.arrivals()) != 2 {
		t.Errorf("%d refreshes and %d tries, want one and two", n, len(g.arrivals()))
	}
	s.Close()
	text := g.audit(s)
	for _, want := range []string{`"status":401`, `"status":200`, "sent again with a new token", "refreshed: acme"} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit lacks %q", want)
		}
	}
	if n := strings.Count(text, `"phase":"intent"`); n != 2 {
		t.Errorf("%d intents in the audit, want one for each try", n)
	}
}

// TestAttackRefreshStorm: an API that refuses everything must not have kb ask
// for a new token with every request.
func TestAttackRefreshStorm(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	g.set("me", true)
	for range 12 {
		if got := g.ask(s); got.status != http.StatusUnauthorized {
			t.Fatalf("status %d, want the API's own 401", got.status)
		}
	}
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes for 12 refused requests, want 1", n)
	}
	// Positive control: the same API is asked with a new token once it may be.
	g.set("me", false)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("control: status %d", got.status)
	}
}

// TestRefusedReferenceIsResolvedAgain: a static credential that was changed
// where it is kept.
func TestRefusedReferenceIsResolvedAgain(t *testing.T) {
	g := newGranted(t)
	good, _ := g.auth.Grant("kb-client", "read")
	held := "stale"
	var mu sync.Mutex
	g.options.Getenv = func(name string) string {
		mu.Lock()
		defer mu.Unlock()
		if name == "ACME" {
			return held
		}
		return ""
	}
	g.broker = g.open()
	if _, err := g.broker.Login(t.Context(), LoginSpec{Login: vaultfile.Login{Profile: "work", Provider: "acme", Method: "token", Refs: map[string]string{"token": "env:ACME"}}}); err != nil {
		t.Fatal(err)
	}
	s := g.start(g.workDir)
	for range 3 {
		if got := g.ask(s); got.status != http.StatusUnauthorized {
			t.Fatalf("status %d, want the API's own 401", got.status)
		}
	}
	if n := len(g.arrivals()); n != 3 {
		t.Errorf("%d requests arrived, want 3: nothing else could be sent", n)
	}
	next := g.start(g.workDir)
	mu.Lock()
	held = good
	mu.Unlock()
	if got := g.ask(next); got.status != http.StatusOK || len(g.arrivals()) != 5 {
		t.Errorf("after the reference's value changed: status %d, %d requests", got.status, len(g.arrivals()))
	}
}

func TestProviderThatIsAwayIsSaid(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	g.clock.move(2 * time.Hour)
	g.auth.Fault(testkit.AuthFault{Status: http.StatusServiceUnavailable})
	got := g.ask(s)
	if got.status != http.StatusServiceUnavailable || got.refusal.Code != CodeOffline || got.refusal.Provider != "acme" || !strings.Contains(got.refusal.Message, "503") {
		t.Errorf("answered %d: %s", got.status, got.body)
	}
	if st := g.state(); st.State != StateOffline || st.Since.IsZero() || !strings.Contains(st.Reason, "503") {
		t.Errorf("it stands as %+v", st)
	}
	g.clock.move(2 * time.Minute) // past the wait
	testkit.Eventually(t, 20*time.Second, "the provider's return to be noticed", func() bool { return g.ask(s).status == http.StatusOK })
}

func TestLoginThatHasEndedSaysWhatToRun(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	g.auth.Kill()
	g.clock.move(2 * time.Hour)
	for range 3 {
		got := g.ask(s)
		if got.status != http.StatusForbidden || got.refusal.Code != CodeLoginNeeded || got.refusal.Fix != "run kb login acme -p work" {
			t.Errorf("answered %d: %s", got.status, got.body)
		}
	}
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes, want one: a dead login is not asked for again", n)
	}
	st := g.state()
	if st.State != StateNeedsLogin || st.Since.IsZero() || st.Fix != "kb login acme -p work" {
		t.Errorf("it stands as %+v", st)
	}
	if lines := strings.Join(g.broker.Attention(), "\n"); !strings.Contains(lines, "run kb login acme -p work") {
		t.Errorf("attention: %s", lines)
	}
	if _, ok := g.record(); !ok {
		t.Error("the record is gone")
	}
}

// TestAttackAnotherAccount: the browser was logged in as somebody else.
func TestAttackAnotherAccount(t *testing.T) {
	g := newGranted(t)
	g.edit(func(tx *vaultfile.Tx) error {
		return tx.PutProfile(profile.Profile{Name: "work", Expect: map[string]string{"acme": "me"}})
	})
	g.set("somebody-else", false)
	var wrong *WrongAccountError
	if _, err := g.grant(OAuthLogin{Verify: true}); !errors.As(err, &wrong) || wrong.Have != "somebody-else" {
		t.Fatalf("another account's login: %v", err)
	}
	if _, ok := g.record(); ok {
		t.Error("the login was kept")
	}
	if _, ok := g.stored(); ok {
		t.Error("its tokens were kept")
	}
	got := g.arrivals()
	if len(got) != 1 || g.auth.Valid(got[0]) {
		t.Error("its tokens are still good")
	}
	// Positive control: the right account's are kept, and good.
	g.set("me", false)
	g.mustGrant(OAuthLogin{Verify: true})
	if token, ok := g.stored(); !ok || !g.auth.Valid(token.Access.Reveal()) {
		t.Error("control: the right account's tokens are not there, or not good")
	}
}

// TestUnverifiedLoginIsNotUsed: with an account expected, a login that nobody
// asked about is refused.
func TestUnverifiedLoginIsNotUsed(t *testing.T) {
	g := newGranted(t)
	g.edit(func(tx *vaultfile.Tx) error {
		return tx.PutProfile(profile.Profile{Name: "work", Expect: map[string]string{"acme": "me"}})
	})
	if result := g.mustGrant(OAuthLogin{}); result.Note == "" {
		t.Error("nobody is told that the login is refused")
	}
	s := g.start(g.workDir)
	if got := g.ask(s); got.refusal.Code != CodeWrongAccount || len(g.arrivals()) != 0 {
		t.Errorf("answered %d: %s", got.status, got.body)
	}
}

// TestValidTokenNeedsNoDisk: the request path reads nothing.
func TestValidTokenNeedsNoDisk(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	s.end() // no watch and no upkeep: what follows is the request path alone
	s.behind.Wait()
	dir := g.broker.store.Dir()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Rename(dir+".away", dir) })
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	// Positive control: a token that is over does need it.
	g.clock.move(2 * time.Hour)
	if got := g.ask(s); got.status == http.StatusOK {
		t.Error("control: a token that is over was refreshed without the disk")
	}
}

func TestRefreshNow(t *testing.T) {
	g := newGranted(t)
	if _, err := g.broker.RefreshLogins(t.Context(), "work", "", ""); !errors.Is(err, ErrNothingToRefresh) {
		t.Errorf("keys alone: %v", err)
	}
	g.mustGrant(OAuthLogin{})
	before, _ := g.stored()
	results, err := g.broker.RefreshLogins(t.Context(), "", "", "")
	if err != nil || len(results) != 1 || results[0].Err != nil || results[0].State != StateOK || results[0].Login.Provider != "acme" {
		t.Fatalf("%+v, %v", results, err)
	}
	if after, _ := g.stored(); after.Access.Equal(before.Access) {
		t.Error("the token is the same")
	}
	g.auth.Kill()
	if results, err = g.broker.RefreshLogins(t.Context(), "work", "acme", ""); err != nil || results[0].Err == nil || results[0].State != StateNeedsLogin {
		t.Errorf("a dead login: %+v, %v", results, err)
	}
	var unknown *UnknownLoginError
	if _, err = g.broker.RefreshLogins(t.Context(), "work", "acme", "nobody"); !errors.As(err, &unknown) {
		t.Errorf("a login that is not there: %v", err)
	}
}

// TestTokenInItsLastSecondIsNotSent: it would be over when it arrives, and the
// child sees no 401.
func TestTokenInItsLastSecondIsNotSent(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	first, _ := g.stored()
	s := g.start(g.workDir)
	g.clock.move(time.Hour - time.Second)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	second, _ := g.stored()
	if got := g.arrivals(); second.Access.Equal(first.Access) || got[len(got)-1] != second.Access.Reveal() {
		t.Error("a token with a second of life was sent")
	}
	if n := g.auth.Count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	// Where nobody can be asked it is sent all the same.
	g.clock.move(time.Hour - time.Second)
	g.auth.Fault(testkit.AuthFault{Status: http.StatusBadGateway}, testkit.AuthFault{Status: http.StatusBadGateway})
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("offline: status %d: %s", got.status, got.body)
	}
}

// TestAttackTokensOfAnotherAccount: a login as somebody else was killed before
// its record was written, or the vault was restored to what it held before it.
// The record's account is expected and named; another's tokens do not serve it.
func TestAttackTokensOfAnotherAccount(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{Verify: true})
	s := g.start(g.workDir)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("control: status %d: %s", got.status, got.body)
	}
	token, _ := g.stored()
	key := g.broker.tokenKey(loginKey{"work", "acme", ""})
	before := len(g.arrivals())
	token.Account, token.Made = "somebody else", token.Made.Add(time.Hour)
	if err := g.broker.store.PutToken(t.Context(), key, token); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 5*time.Second, "the session to refuse it", func() bool {
		return g.ask(s).refusal.Code == CodeLoginNeeded
	})
	if st := g.state(); st.State != StateNeedsLogin || st.Fix == "" {
		t.Errorf("it stands as %+v", st)
	}
	if got := g.ask(g.start(g.workDir)); got.refusal.Code != CodeLoginNeeded {
		t.Errorf("a new session: status %d: %s", got.status, got.body)
	}
	// The same account's serve.
	token.Account = "me"
	if err := g.broker.store.PutToken(t.Context(), key, token); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 5*time.Second, "the session to use them", func() bool { return g.ask(s).status == http.StatusOK })
	if len(g.arrivals()) <= before {
		t.Error("nothing arrived")
	}
}

// TestLoginAgainWhileAnAgentRuns: the running session goes on with the new
// tokens, also where the account is another.
func TestLoginAgainWhileAnAgentRuns(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{Verify: true})
	s := g.start(g.workDir)
	for _, account := range []string{"me", "me2"} {
		g.set(account, false)
		g.clock.move(time.Minute)
		g.mustGrant(OAuthLogin{Verify: true})
		token, _ := g.stored()
		testkit.Eventually(t, 5*time.Second, "the new tokens to be used", func() bool {
			got := g.ask(s)
			list := g.arrivals()
			return got.status == http.StatusOK && list[len(list)-1] == token.Access.Reveal()
		})
	}
}
