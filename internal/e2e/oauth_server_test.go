package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
)

// oidcWorld is internal/oauth against a real authorization server.
type oidcWorld struct {
	*testkit.OIDC
	t     *testing.T
	ca    *testkit.CA
	flows *oauth.Flows
	ctx   context.Context
}

var (
	oidcPublic       = oauth.Client{ID: "public"}
	oidcConfidential = oauth.Client{ID: "confidential", Secret: secret.New("a secret/with+signs&more")}
)

func newOIDC(t *testing.T, c testkit.OIDCConfig) *oidcWorld {
	t.Helper()
	if os.Getenv("KB_E2E") != "1" {
		t.Skip("skipped: runs a real authorization server; set KB_E2E=1, or run task e2e")
	}
	ca, err := testkit.NewCA("oidc test")
	if err != nil {
		t.Fatal(err)
	}
	c.Clients = []testkit.OIDCClient{
		{ID: oidcPublic.ID},
		{ID: oidcConfidential.ID, Secret: oidcConfidential.Secret.Reveal()},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return &oidcWorld{
		OIDC: testkit.StartOIDC(t, ca, c), t: t, ca: ca, ctx: ctx,
		flows: oauth.New(oauth.Options{Client: ca.Client(t)}),
	}
}

func (w *oidcWorld) metadata() oauth.Server {
	w.t.Helper()
	s, err := w.flows.Metadata(w.ctx, w.Issuer)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// login goes through the browser's part of a code flow.
func (w *oidcWorld) login(s oauth.Server, c oauth.Client, scopes ...string) oauth.Tokens {
	w.t.Helper()
	l, err := w.flows.Loopback(w.ctx, s, c, scopes)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	to, err := w.Authorize(w.ctx, l.URL(), "ada")
	if err != nil {
		w.t.Fatal(err)
	}
	w.open(to)
	tokens, err := l.Wait(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return tokens
}

// open lets the browser arrive at the loopback port.
func (w *oidcWorld) open(address string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.ca.Client(w.t).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("the callback answered %d", res.StatusCode)
	}
}

func (w *oidcWorld) valid(t oauth.Tokens) bool {
	w.t.Helper()
	ok, err := w.Valid(w.ctx, t.Access.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	return ok
}

func (w *oidcWorld) refresh(s oauth.Server, c oauth.Client, t oauth.Tokens) (oauth.Tokens, error) {
	return w.flows.Refresh(w.ctx, s, c, t.Refresh, nil)
}

func TestOAuthServerCodeRefreshAndReuse(t *testing.T) {
	w := newOIDC(t, testkit.OIDCConfig{Life: time.Minute})
	s := w.metadata()
	if !s.ISS || s.ClientAuth != oauth.AuthNone || s.PAR != "" {
		t.Errorf("the metadata was read as %+v", s)
	}
	first := w.login(s, oidcPublic, "openid", "read")
	if !w.valid(first) || first.Refresh.IsZero() || first.IDToken.IsZero() || !slices.Contains(first.Scopes, "read") {
		t.Fatalf("the login gave valid=%v, scopes %q", w.valid(first), first.Scopes)
	}
	if left := time.Until(first.Expires); left <= 0 || left > time.Minute {
		t.Errorf("the token lives for %v, want a minute", left)
	}
	second, err := w.refresh(s, oidcPublic, first)
	if err != nil {
		t.Fatal(err)
	}
	if second.Refresh.Equal(first.Refresh) || !w.valid(second) {
		t.Error("the refresh token was not rotated")
	}
	// A used refresh token is refused, and takes with it what came of it.
	if _, err = w.refresh(s, oidcPublic, first); !errors.Is(err, &oauth.Error{Code: oauth.CodeInvalidGrant}) {
		t.Fatalf("a used refresh token: %v", err)
	}
	if _, err = w.refresh(s, oidcPublic, second); !errors.Is(err, &oauth.Error{Code: oauth.CodeInvalidGrant}) {
		t.Fatalf("a refresh token of a dead family: %v", err)
	}
	if w.valid(second) {
		t.Error("the dead family's access token lives")
	}
	if n := w.Count("refresh_token"); n != 3 {
		t.Errorf("the server saw %d refreshes, want 3", n)
	}
}

func TestOAuthServerDevice(t *testing.T) {
	w := newOIDC(t, testkit.OIDCConfig{})
	s := w.metadata()
	d, err := w.flows.Device(w.ctx, s, oidcPublic, []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Ask(w.ctx); !errors.Is(err, &oauth.Error{Code: oauth.CodeAuthorizationPending}) {
		t.Fatalf("nobody has decided: %v", err)
	}
	if err := w.Approve(w.ctx, d.VerificationURIComplete, "ada"); err != nil {
		t.Fatal(err)
	}
	// Another process goes on with it.
	tokens, err := w.flows.ResumeDevice(s, oidcPublic, d.Pending()).Ask(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !w.valid(tokens) || tokens.Refresh.IsZero() {
		t.Error("the device's tokens are not good")
	}

	if d, err = w.flows.Device(w.ctx, s, oidcPublic, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Deny(w.ctx, d.VerificationURIComplete); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Ask(w.ctx); !errors.Is(err, &oauth.Error{Code: oauth.CodeAccessDenied}) {
		t.Fatalf("the person said no: %v", err)
	}
}

func TestOAuthServerClientCredentialsAndRevocation(t *testing.T) {
	w := newOIDC(t, testkit.OIDCConfig{Life: 30 * time.Second})
	s := w.metadata()
	s.ClientAuth = oauth.AuthBasic
	tokens, err := w.flows.ClientCredentials(w.ctx, s, oidcConfidential, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !w.valid(tokens) || !tokens.Refresh.IsZero() {
		t.Error("the client's token is not good, or came with a refresh token")
	}
	wrong := oidcConfidential
	wrong.Secret = secret.New("a secret/with+signs&less")
	_, err = w.flows.ClientCredentials(w.ctx, s, wrong, nil)
	if !errors.Is(err, &oauth.Error{Code: oauth.CodeInvalidClient}) {
		t.Errorf("a wrong client secret: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), wrong.Secret.Reveal()) {
		t.Error("the error holds the secret")
	}

	s.ClientAuth = oauth.AuthNone
	granted := w.login(s, oidcPublic, "read")
	if err := w.flows.Revoke(w.ctx, s, oidcPublic, granted); err != nil {
		t.Fatal(err)
	}
	if w.valid(granted) {
		t.Error("the revoked grant's access token lives")
	}
	if _, err := w.refresh(s, oidcPublic, granted); !errors.Is(err, &oauth.Error{Code: oauth.CodeInvalidGrant}) {
		t.Errorf("a revoked refresh token: %v", err)
	}
	if err := w.flows.Revoke(w.ctx, s, oidcPublic, granted); err != nil {
		t.Errorf("revoking twice: %v", err)
	}
}

func TestOAuthServerPushedRequests(t *testing.T) {
	w := newOIDC(t, testkit.OIDCConfig{RequirePAR: true})
	s := w.metadata()
	if s.PAR == "" {
		t.Fatal("the metadata's requirement was not read")
	}
	l, err := w.flows.Loopback(w.ctx, s, oidcPublic, []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !strings.Contains(l.URL(), "request_uri=") || strings.Contains(l.URL(), "code_challenge") {
		t.Errorf("the address is %q", l.URL())
	}
	if tokens := w.login(s, oidcPublic, "read"); !w.valid(tokens) {
		t.Error("the token is not good")
	}
	// Control: the server does require it.
	s.PAR = ""
	plain, err := w.flows.Loopback(w.ctx, s, oidcPublic, []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	to, err := w.Authorize(w.ctx, plain.URL(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	w.open(to)
	if _, err := plain.Wait(w.ctx); err == nil {
		t.Error("the server took a request that was not pushed")
	}
}

// TestOAuthServerDiscoverAndRegister: nothing but the address of a protected
// resource is known, as of any MCP server.
func TestOAuthServerDiscoverAndRegister(t *testing.T) {
	w := newOIDC(t, testkit.OIDCConfig{Life: 3 * time.Second})
	api := testkit.NewProtectedResource(w.Issuer)
	resource := testkit.ServeTLS(t, w.ca, api) + "/mcp"
	s, found, err := w.flows.Discover(w.ctx, resource)
	if err != nil {
		t.Fatal(err)
	}
	if s.Issuer != w.Issuer || s.Resource != resource || !slices.Equal(found.Issuers, []string{w.Issuer}) || !slices.Equal(found.Scopes, []string{"read"}) {
		t.Fatalf("found %+v, server %+v", found, s)
	}
	r, err := w.flows.Register(w.ctx, s, oauth.Registration{Name: "kb on a test"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Auth != oauth.AuthNone || !r.Client.Secret.IsZero() || r.RegistrationToken.IsZero() || r.RegistrationURI == "" {
		t.Errorf("registered as %+v", r)
	}
	s.ClientAuth = r.Auth
	tokens := w.login(s, r.Client, found.Scopes...)
	if !w.valid(tokens) {
		t.Error("the token is not good")
	}
	if left := time.Until(tokens.Expires); left > 3*time.Second {
		t.Errorf("the token lives for %v, want 3 s", left)
	}
	again, err := w.refresh(s, r.Client, tokens)
	if err != nil {
		t.Fatal(err)
	}
	if !w.valid(again) {
		t.Error("the refreshed token is not good")
	}
}
