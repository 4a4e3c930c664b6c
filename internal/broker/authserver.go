package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"kb/internal/oauth"
	"kb/providers"
	"kb/vaultfile"
)

// errServerUnknown says that a login's authorization server is found at the
// login, and this device has not seen it yet.
var errServerUnknown = errors.New("the login's authorization server is not known on this device yet")

// oauth is what speaks to authorization servers, with this device's roots and
// no proxy. Where those cannot be read, every request fails with the reason.
func (b *Broker) oauth() *oauth.Flows {
	client, err := b.client()
	if err != nil {
		client = &http.Client{Transport: failing{err}}
	}
	return oauth.New(oauth.Options{Client: client, Now: b.now, Random: b.random})
}

// failing is a transport that reaches nobody.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// serverOf is a definition's authorization server as the protocol has it.
func serverOf(s *providers.Server) oauth.Server {
	if s == nil {
		return oauth.Server{}
	}
	return oauth.Server{
		Issuer: s.Issuer, Authorization: s.Authorization, Token: s.Token, Device: s.Device,
		Revocation: s.Revocation, Registration: s.Registration, Resource: s.Resource, ISS: s.ISS,
		ClientAuth: oauth.ClientAuth(s.ClientAuth), JSON: s.JSON, Separator: s.Separator, ScopeParam: s.ScopeParam, PKCE: s.PKCE,
		Authorize: s.Authorize, TokenParams: s.TokenParams, Header: s.Header, At: s.At, RefreshToken: s.RefreshToken, InvalidGrant: s.InvalidGrant,
		RevokeMethod: s.RevokeMethod, RevokeWhat: s.RevokeWhat, RevokeAuth: s.RevokeAuth, RevokeParam: s.RevokeParam, RevokeJSON: s.RevokeJSON,
		RedirectTo: s.RedirectTo, AccessLifetime: s.Lifetime(),
	}
}

// isFound reports whether a method's server is found at the login.
func isFound(m *providers.Method) bool {
	return m.Flow == providers.FlowOAuth && (m.Discover || m.Server != nil && m.Server.Token == "")
}

// serverKnown is a login's authorization server, without asking anybody: the
// definition's, or the one that this device's tokens were got from.
func (b *Broker) serverKnown(l vaultfile.Login, m *providers.Method) (oauth.Server, error) {
	if !isFound(m) {
		return serverOf(m.Server), nil
	}
	token, ok, err := b.store.Token(b.tokenKey(keyOf(l)))
	if err != nil {
		return oauth.Server{}, err
	}
	if !ok || len(token.Server) == 0 {
		return oauth.Server{}, errServerUnknown
	}
	var server oauth.Server
	if err := json.Unmarshal(token.Server, &server); err != nil {
		return oauth.Server{}, fmt.Errorf("read the authorization server of %s: %w", l.Provider, errServerUnknown)
	}
	return server, nil
}

// serverFor is serverKnown, and asks the issuer of the login's client where the
// device does not know: another device made the login.
func (b *Broker) serverFor(ctx context.Context, l vaultfile.Login, m *providers.Method) (oauth.Server, error) {
	server, err := b.serverKnown(l, m)
	if !errors.Is(err, errServerUnknown) {
		return server, err
	}
	record, ok := b.clientRecord(l.Profile, l.Client)
	if !ok || record.Issuer == "" {
		return oauth.Server{}, err
	}
	if server, err = b.oauth().Metadata(ctx, record.Issuer); err != nil {
		return oauth.Server{}, err
	}
	server = habits(server, m.Server)
	client, err := b.protocolClient(l, record)
	if err != nil {
		return oauth.Server{}, err
	}
	server.ClientAuth = authFor(server, client)
	return server, nil
}

// findServer finds the authorization server for a new login, and the scopes
// that it should ask for where it was found.
func (b *Broker) findServer(ctx context.Context, m *providers.Method, base string) (server oauth.Server, scopes []string, err error) {
	if !isFound(m) {
		return serverOf(m.Server), nil, nil
	}
	if !m.Discover {
		server, err = b.oauth().Metadata(ctx, m.Server.Issuer)
		return habits(server, m.Server), nil, err
	}
	resource := base
	if m.Server != nil && m.Server.Resource != "" {
		resource = m.Server.Resource
	}
	follow(ctx)
	server, found, err := b.oauth().Discover(ctx, resource)
	return habits(server, m.Server), found.Scopes, err
}

// habits adds what the definition knows of a server that was found. Where it
// is, and how clients show who they are, the server says itself.
func habits(found oauth.Server, known *providers.Server) oauth.Server {
	if known == nil {
		return found
	}
	own := serverOf(known)
	found.JSON, found.Separator, found.ScopeParam, found.At = own.JSON, own.Separator, own.ScopeParam, own.At
	found.Authorize, found.TokenParams, found.Header = own.Authorize, own.TokenParams, own.Header
	found.InvalidGrant, found.RevokeJSON = own.InvalidGrant, own.RevokeJSON
	found.RevokeMethod, found.RevokeWhat, found.RevokeAuth, found.RevokeParam = own.RevokeMethod, own.RevokeWhat, own.RevokeAuth, own.RevokeParam
	if found.ClientAuth == "" {
		found.ClientAuth = own.ClientAuth
	}
	if own.RedirectTo != "" {
		found.RedirectTo = own.RedirectTo
	}
	if found.AccessLifetime == 0 {
		found.AccessLifetime = own.AccessLifetime
	}
	return found
}

// hostOf is the host of an address, for names of records and for people.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
