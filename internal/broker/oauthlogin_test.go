package broker

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/vaultfile"
)

// TestPastedAddress: kb is on another machine than the browser. A wrong address
// is refused, and the person is asked again.
func TestPastedAddress(t *testing.T) {
	g := newGranted(t)
	p := g.person()
	p.elsewhere, p.wrong = true, "http://127.0.0.1:1/callback?code=x&state=wrong"
	g.mustGrant(OAuthLogin{Screen: p})
	visits := p.seen()
	if len(visits) != 2 || visits[0].Problem != "" || visits[1].Problem == "" || visits[0].Redirect == "" {
		t.Errorf("the person was shown %+v", visits)
	}
	if _, ok := g.stored(); !ok {
		t.Error("no tokens are kept")
	}
}

// TestDeviceCodeIsGoneOnWithLater: --no-wait.
func TestDeviceCodeIsGoneOnWithLater(t *testing.T) {
	g := newGranted(t)
	p := g.person()
	again := OAuthLogin{Screen: p, NoWait: true}
	if result := g.mustGrant(again); !result.Pending {
		t.Fatalf("the first call came out as %+v", result)
	}
	code := p.seen()[0].Code
	if result := g.mustGrant(again); !result.Pending || p.seen()[1].Code != code {
		t.Errorf("the second call: %+v, code %q after %q", result, p.seen()[1].Code, code)
	}
	if _, ok := g.record(); ok {
		t.Error("a login that nobody granted is kept")
	}
	g.auth.Device(code, "approved")
	if result := g.mustGrant(again); result.Pending {
		t.Errorf("after it was granted: %+v", result)
	}
	if _, ok := g.stored(); !ok {
		t.Error("no tokens are kept")
	}
	if _, ok, _ := g.broker.store.Pending(g.broker.tokenKey(loginKey{"work", "acme", ""})); ok {
		t.Error("the code is still kept")
	}
	if _, err := g.grant(OAuthLogin{Flow: FlowCode, NoWait: true}); !errors.Is(err, ErrNoWait) {
		t.Errorf("a browser that is not waited for: %v", err)
	}
}

func TestDeniedLoginKeepsNothing(t *testing.T) {
	g := newGranted(t)
	g.auth.SetApprove(false)
	if _, err := g.grant(OAuthLogin{}); said(err) != oauth.CodeAccessDenied {
		t.Errorf("a person who says no: %v", err)
	}
	if _, ok := g.record(); ok {
		t.Error("the login was kept")
	}
}

func TestClientIsAskedForOnce(t *testing.T) {
	g := newGranted(t)
	g.edit(func(tx *vaultfile.Tx) error { return tx.DeleteClient("acme") })
	need, ok, err := g.broker.NeedsClient("work", "acme", "", "oauth")
	if err != nil || !ok || need.Page != "https://acme.example/apps" || need.Redirect != "http://127.0.0.1/callback" || need.Secret || need.Name != "acme" {
		t.Errorf("needs %+v, %v, %v", need, ok, err)
	}
	if _, err := g.grant(OAuthLogin{}); !errors.Is(err, ErrNoClient) {
		t.Errorf("without a client: %v", err)
	}
	g.mustGrant(OAuthLogin{Client: &vaultfile.Client{ClientID: "kb-client"}})
	if _, ok, err := g.broker.NeedsClient("work", "acme", "", "oauth"); ok || err != nil {
		t.Errorf("the client that was typed is asked for again: %v", err)
	}
	if _, ok, _ := g.broker.NeedsClient("work", "acme", "", "token"); ok {
		t.Error("a key needs a client")
	}
}

// mcp is a provider whose authorization server is found and registers clients.
const mcp = `
name = "tools"
title = "MCP server"
docs = "https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization"
hosts = ["{host}"]
unverified = true
refresh = "rotate"

[base]
example = "https://mcp.acme.example"

[[login]]
method = "oauth"
title = "OAuth"
flow = "oauth"
client = "dynamic"
discover = true
[login.server]
resource = "https://{host}"

[[inject]]
hosts = ["{host}"]
header = { Authorization = "Bearer {token}" }
`

func TestClientIsRegisteredByItself(t *testing.T) {
	g := newGranted(t)
	resource := testkit.NewProtectedResource(g.auth.Issuer)
	resource.SetValid(g.auth.Valid)
	g.world.Serve("mcp.acme.example", testkit.OriginConfig{Handler: resource})
	if err := g.broker.AddProvider(t.Context(), vaultfile.Provider{Name: "tools", TOML: mcp}); err != nil {
		t.Fatal(err)
	}
	base := "https://mcp.acme.example"
	if need, ok, err := g.broker.NeedsClient("work", "tools", base, "oauth"); err != nil || !ok || !need.Dynamic {
		t.Errorf("needs %+v, %v, %v", need, ok, err)
	}
	login := func() vaultfile.Client {
		t.Helper()
		o := OAuthLogin{Login: vaultfile.Login{Profile: "work", Provider: "tools", Base: base, Method: "oauth"}, Screen: g.person(), Flow: FlowCode}
		if _, err := g.broker.LoginOAuth(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		c := g.broker.Contents()
		l, _ := c.Login("work", "tools", "")
		record, ok := g.broker.clientRecord("work", l.Client)
		if !ok || l.Client != "tools@auth.acme.example" || record.Issuer != g.auth.Issuer || record.RegistrationToken.IsZero() {
			t.Fatalf("the client is kept as %+v for %+v", record, l)
		}
		return record
	}
	first := login()
	if second := login(); second.ClientID != first.ClientID {
		t.Error("a second login registered a second client")
	}
	first.Expires = g.clock.now().Add(-time.Minute)
	g.edit(func(tx *vaultfile.Tx) error { return tx.PutClient(first) })
	if third := login(); third.ClientID == first.ClientID {
		t.Error("a client whose secret has ended was used again")
	}
	s := g.start(g.workDir)
	if snap := s.snapshot.Load(); !snap.private("mcp.acme.example", 443) || snap.private("auth.acme.example", 443) || len(snap.at("auth.acme.example", 443)) != 1 {
		t.Error("a host that the server named may be at a private address, or its token endpoint is not watched")
	}
	g.clock.move(2 * time.Hour)
	if got := g.get(s, "", http.MethodGet, base+"/mcp", nil); got.status != http.StatusOK {
		t.Errorf("after the token's end: status %d: %s", got.status, got.body)
	}
	// Another device, which has only the vault, finds the server by the client.
	l, err := g.broker.loginOf("work", "tools", "")
	if err != nil {
		t.Fatal(err)
	}
	key := g.broker.tokenKey(keyOf(l))
	if err := g.broker.store.DeleteToken(key); err != nil {
		t.Fatal(err)
	}
	if grant, err := g.broker.grant(t.Context(), l); err != nil || grant.Server.Token != g.auth.Endpoint("token") || grant.Server.ClientAuth != oauth.AuthNone {
		t.Errorf("on another device the grant is %+v, %v", grant.Server, err)
	}
}

func TestSyncedLogin(t *testing.T) {
	g := newGranted(t)
	g.auth.SetRotate(false)
	if _, err := g.grant(OAuthLogin{Sync: SyncYes}); !errors.Is(err, ErrRotates) {
		t.Errorf("a rotating login that is to be synced: %v", err)
	}
	kept := OAuthLogin{Login: vaultfile.Login{Method: "kept"}}
	if result := g.mustGrant(kept); result.DeviceOnly {
		t.Errorf("came out as %+v", result)
	}
	l, _ := g.record()
	if token, _ := g.stored(); l.DeviceOnly || !l.Secrets[refreshField].Equal(token.Refresh) || token.Refresh.IsZero() {
		t.Error("the refresh token is not in the vault")
	}
	job := g.job()
	s, err := job.StartSession(t.Context(), SessionSpec{Dir: g.workDir, Profile: "work", Environ: g.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("a job with a synced login: status %d: %s", got.status, got.body)
	}
	alone := kept
	alone.Sync = SyncNo
	if result := g.mustGrant(alone); !result.DeviceOnly {
		t.Errorf("--no-sync came out as %+v", result)
	}
	if l, _ := g.record(); !l.DeviceOnly || len(l.Secrets) != 0 {
		t.Error("the refresh token is still in the vault")
	}
}

// job is a CI job's broker on the fixture's vault.
func (g *granted) job() *Broker {
	g.Helper()
	text, err := g.broker.AddCI(g.Context(), "build-"+testkit.NewCanary("", 4))
	if err != nil {
		g.Fatal(err)
	}
	elsewhere := g.TempDir()
	file := filepath.Join(elsewhere, "ci.identity")
	if err := os.WriteFile(file, []byte(text.Reveal()), 0o600); err != nil {
		g.Fatal(err)
	}
	o := g.options
	o.Paths = Paths{Config: filepath.Join(elsewhere, "config"), State: filepath.Join(elsewhere, "state"), Runtime: filepath.Join(elsewhere, "run"), Home: elsewhere}
	variables := map[string]string{"KB_IDENTITY_FILE": file, "KB_VAULT": g.broker.VaultPath()}
	o.Getenv = func(name string) string { return variables[name] }
	job, err := Open(g.Context(), o)
	if err != nil {
		g.Fatal(err)
	}
	return job
}

// TestJobIsToldWhatItCannotUse: a login that each device makes for itself.
func TestJobIsToldWhatItCannotUse(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	job := g.job()
	s, err := job.StartSession(t.Context(), SessionSpec{Dir: g.workDir, Profile: "work", Environ: g.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if got := g.ask(s); got.refusal.Code != CodeLoginNeeded || !strings.Contains(got.refusal.Message, "CI job") || !strings.Contains(got.refusal.Message, "acme") {
		t.Errorf("answered %d: %s", got.status, got.body)
	}
	if !strings.Contains(strings.Join(s.Notes(), "\n"), "acme") {
		t.Error("the job's start does not name it")
	}
	if _, err := job.LoginOAuth(t.Context(), OAuthLogin{Login: vaultfile.Login{Profile: "work", Provider: "acme", Method: "oauth"}, Screen: g.person()}); !errors.Is(err, vaultfile.ErrReadOnly) {
		t.Errorf("a job logs in: %v", err)
	}
}

// TestProviderThatRotatesAfterAll: the vault's refresh token is dead, so the
// login is the device's own from then on.
func TestProviderThatRotatesAfterAll(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{Login: vaultfile.Login{Method: "kept"}})
	g.auth.SetRotate(true)
	s := g.start(g.workDir)
	g.clock.move(2 * time.Hour)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	testkit.Eventually(t, 10*time.Second, "the vault to let it go", func() bool {
		l, _ := g.record()
		return l.DeviceOnly && len(l.Secrets) == 0
	})
	g.clock.move(2 * time.Hour)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("afterwards: status %d: %s", got.status, got.body)
	}
	testkit.Eventually(t, 10*time.Second, "the audit to say it", func() bool {
		return strings.Contains(g.audit(s), "it is not synced any more")
	})
}

func TestMintedLogin(t *testing.T) {
	g := newGranted(t)
	login := vaultfile.Login{Profile: "work", Provider: "acme", Method: "client", Secrets: map[string]secret.Value{
		"client_id": secret.New("kb-minter"), "client_secret": secret.New("wrong"),
	}}
	if _, err := g.broker.Login(t.Context(), LoginSpec{Login: login, Verify: true}); said(err) != oauth.CodeInvalidClient {
		t.Errorf("a wrong secret: %v", err)
	}
	login.Secrets["client_secret"] = secret.New("minter-secret")
	result, err := g.broker.Login(t.Context(), LoginSpec{Login: login, Verify: true})
	if err != nil || result.Account != "me" || result.Expires.IsZero() {
		t.Fatalf("%+v, %v", result, err)
	}
	s := g.start(g.workDir)
	g.clock.move(2 * time.Hour)
	if got := g.ask(s); got.status != http.StatusOK || g.auth.Count("client_credentials") != 3 {
		t.Errorf("status %d after %d requests for tokens: %s", got.status, g.auth.Count("client_credentials"), got.body)
	}
	job := g.job()
	other, err := job.StartSession(t.Context(), SessionSpec{Dir: g.workDir, Profile: "work", Environ: g.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	if got := g.ask(other); got.status != http.StatusOK {
		t.Errorf("a job: status %d: %s", got.status, got.body)
	}
}

func TestPrivateKeyIsKeptOnOneLine(t *testing.T) {
	pem := "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----"
	for _, pasted := range []string{pem, pem + "\n", strings.ReplaceAll(pem, "\n", "\r\n")} {
		kept := oneLine(secret.New(pasted))
		if kept.Check() != nil || manyLines(kept).Reveal() != pem {
			t.Errorf("%q is kept as %q", pasted, kept.Reveal())
		}
	}
	file := "{\n  \"private_key\": \"" + strings.ReplaceAll(pem, "\n", `\n`) + "\"\n}"
	if kept := oneLine(secret.New(file)); kept.Check() != nil || manyLines(kept).Reveal() != `{"private_key":"`+strings.ReplaceAll(pem, "\n", `\n`)+`"}` {
		t.Errorf("a key file is kept as %q", kept.Reveal())
	}
}

func TestLogoutOfThisDevice(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	token, _ := g.stored()
	spec := LogoutSpec{Profile: "work", Provider: "acme"}
	if plan, err := g.broker.PlanLogout(spec); err != nil || plan.Removes || !plan.Revokes || plan.Key || plan.EndsGrant {
		t.Errorf("planned %+v, %v", plan, err)
	}
	result, err := g.broker.Logout(t.Context(), spec)
	if err != nil || !result.Revoked {
		t.Fatalf("%+v, %v", result, err)
	}
	if g.auth.Valid(token.Access.Reveal()) || g.auth.Good(token.Refresh.Reveal()) {
		t.Error("the tokens are still good")
	}
	if _, ok := g.stored(); ok {
		t.Error("the tokens are still kept")
	}
	if _, ok := g.record(); !ok {
		t.Error("the record is gone, and so for every device")
	}
	if st := g.state(); st.State != StateNeedsLogin || !st.Missing {
		t.Errorf("it stands as %+v", st)
	}
	made, _ := g.record()
	g.mustGrant(OAuthLogin{})
	if again, _ := g.record(); !again.Created.Equal(made.Created) {
		t.Error("to log in on this device again made it another login for the other devices")
	}
}

func TestLogoutOfASyncedLogin(t *testing.T) {
	g := newGranted(t)
	g.auth.SetRotate(false)
	g.mustGrant(OAuthLogin{Login: vaultfile.Login{Method: "kept"}})
	token, _ := g.stored()
	spec := LogoutSpec{Profile: "work", Provider: "acme"}
	if result, err := g.broker.Logout(t.Context(), spec); err != nil || result.Revoked || result.Note == "" {
		t.Errorf("%+v, %v", result, err)
	}
	if !g.auth.Good(token.Refresh.Reveal()) {
		t.Error("the other devices are logged out")
	}
	s := g.start(g.workDir)
	if got := g.ask(s); got.refusal.Code != CodeLoginNeeded || !strings.Contains(got.refusal.Message, "logged out") {
		t.Errorf("this device goes on: %d: %s", got.status, got.body)
	}
	spec.Everywhere = true
	if result, err := g.broker.Logout(t.Context(), spec); err != nil || !result.Revoked || !result.Removes {
		t.Errorf("everywhere: %+v, %v", result, err)
	}
	if g.auth.Good(token.Refresh.Reveal()) {
		t.Error("the vault's refresh token is still good")
	}
	if _, ok := g.record(); ok {
		t.Error("the record is still there")
	}
}

// TestLogoutEverywhereReachesOtherDevices: each revokes its own tokens when it
// sees that the login is gone, and does not lose them before.
func TestLogoutEverywhereReachesOtherDevices(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	token, _ := g.stored()
	// As another device's tombstone arrives.
	g.edit(func(tx *vaultfile.Tx) error { return tx.DeleteLogin(vaultfile.LoginID("work", "acme", "")) })
	device := g.open()
	g.auth.Fault(testkit.AuthFault{Endpoint: "revoke", Status: http.StatusServiceUnavailable})
	if notes := device.Upkeep(t.Context()); len(notes) != 1 || !strings.Contains(notes[0], "could not be revoked yet") {
		t.Errorf("while the server is away: %q", notes)
	}
	if kept, ok := g.stored(); !ok || !kept.Refresh.Equal(token.Refresh) {
		t.Fatal("the tokens were lost before they were revoked")
	}
	if notes := device.Upkeep(t.Context()); len(notes) != 0 {
		t.Errorf("at once again: %q", notes)
	}
	g.clock.move(orphanPause)
	if notes := device.Upkeep(t.Context()); len(notes) != 1 || !strings.Contains(notes[0], "revoked and deleted") {
		t.Errorf("when the server is back: %q", notes)
	}
	if _, ok := g.stored(); ok || g.auth.Good(token.Refresh.Reveal()) {
		t.Error("the tokens are still kept, or good")
	}
	// Positive control: tokens whose login is there stay.
	g.mustGrant(OAuthLogin{})
	if notes := g.open().Upkeep(t.Context()); len(notes) != 0 {
		t.Errorf("control: %q", notes)
	}
	if kept, ok := g.stored(); !ok || !g.auth.Good(kept.Refresh.Reveal()) {
		t.Error("control: the tokens of a login that is there are gone")
	}
}

// TestTokensThatCannotBeRevokedEnd: after two weeks nobody waits any more.
func TestTokensThatCannotBeRevokedEnd(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	g.edit(func(tx *vaultfile.Tx) error { return tx.DeleteLogin(vaultfile.LoginID("work", "acme", "")) })
	device := g.open()
	for range 2 {
		g.auth.Fault(testkit.AuthFault{Endpoint: "revoke", Status: http.StatusServiceUnavailable})
		device.Upkeep(t.Context())
		g.clock.move(orphanPatience + time.Hour)
	}
	if token, ok := g.stored(); ok {
		t.Errorf("still kept since %v", token.Since)
	}
}

// TestLaterLoginStaysSynced: while a device learned that its refresh token was
// replaced, the login was made anew. The vault's is another one, and good.
func TestLaterLoginStaysSynced(t *testing.T) {
	g := newGranted(t)
	g.auth.SetRotate(false)
	g.mustGrant(OAuthLogin{Login: vaultfile.Login{Method: "kept"}})
	key := loginKey{"work", "acme", ""}
	if err := g.broker.demote(t.Context(), key, secret.New("of the login before")); err != nil {
		t.Fatal(err)
	}
	l, _ := g.record()
	if l.DeviceOnly || l.Secrets[refreshField].IsZero() {
		t.Fatal("the new login's refresh token was taken out of the vault")
	}
	if err := g.broker.demote(t.Context(), key, l.Secrets[refreshField]); err != nil {
		t.Fatal(err)
	}
	if l, _ = g.record(); !l.DeviceOnly || len(l.Secrets) != 0 {
		t.Error("the dead one is still in the vault")
	}
}

// TestGrantOfAnotherLoginIsNotEnded: tokens that could not be kept are given
// back, but not where the server would end what another login is of.
func TestGrantOfAnotherLoginIsNotEnded(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{Verify: true})
	token, _ := g.stored()
	tokens := oauth.Tokens{Access: token.Access, Refresh: token.Refresh}
	again := &granting{b: g.broker, login: vaultfile.Login{Provider: "acme"}, client: oauth.Client{ID: "kb-client"}, server: oauth.Server{
		Token: "https://auth.acme.example/token", Revocation: "https://auth.acme.example/revoke", ClientAuth: oauth.AuthNone, RevokeWhat: "grant",
	}}
	for _, account := range []string{"", "me"} {
		if err := again.giveBack(t.Context(), tokens, account); err != nil || !g.auth.Valid(token.Access.Reveal()) {
			t.Fatalf("account %q: the grant of the login that is there was ended, %v", account, err)
		}
	}
	if err := again.giveBack(t.Context(), tokens, "somebody else"); err != nil || g.auth.Valid(token.Access.Reveal()) {
		t.Errorf("nothing is given back: %v", err)
	}
}
