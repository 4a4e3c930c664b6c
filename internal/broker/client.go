package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"kb/internal/oauth"
	"kb/providers"
	"kb/vaultfile"
)

// ClientNeed is what kb has to be told of the OAuth client that a login is
// made with.
type ClientNeed struct {
	Name           string // of the client's record, for OAuthLogin.Client
	Page           string // where the user makes the client
	Redirect       string // what to enter there as redirect URI; "" when none is used
	Secret         bool   // the server gives clients a secret
	SecretOptional bool   // and there is a flow that does without
	Dynamic        bool   // kb registers the client by itself: nothing is to be typed
}

// ErrNoClient says that a login has no OAuth client to be made or refreshed
// with.
var ErrNoClient = errors.New("there is no OAuth client for it yet")

// ErrNotLearned says that an agent's login cannot be refreshed yet: its tokens
// are of the agent's own OAuth client, which kb learns from its first refresh.
var ErrNotLearned = errors.New("kb learns the program's OAuth client when it first runs: start it once with kb exec")

// ErrNoRegistration says that an authorization server registers no clients by
// itself.
var ErrNoRegistration = errors.New("its authorization server registers no clients by itself")

// clientName is the name of the client's record for a provider: several servers
// of one kind have a client each.
func clientName(provider, base string) string {
	if base == "" {
		return provider
	}
	return provider + "@" + hostOf(base)
}

// NeedsClient says what a login's method needs in order to have a client; ok is
// false when there is one already, or none is needed.
func (b *Broker) NeedsClient(full, provider, base, method string) (need ClientNeed, ok bool, err error) {
	if _, _, err := b.home(full); err != nil {
		return need, false, err
	}
	definition, err := b.Definition(full, provider, base)
	if err != nil {
		return need, false, err
	}
	m, found := definition.Login.Method(method)
	if !found {
		return need, false, fmt.Errorf("log in at %s: %w: %q", provider, ErrNoFlow, method)
	}
	if m.Flow != providers.FlowOAuth {
		return need, false, nil
	}
	need = ClientNeed{Name: clientName(provider, base), Page: m.Page, Dynamic: m.Client == providers.ClientDynamic}
	if _, has := b.clientRecord(full, need.Name); has {
		return need, false, nil
	}
	if m.Client == providers.ClientBuild {
		if _, built := providers.BuildClient(provider); built {
			return need, false, nil
		}
	}
	s := m.Server
	if s == nil {
		s = &providers.Server{}
	}
	need.Secret = s.ClientAuth != string(oauth.AuthNone)
	need.SecretOptional = need.Secret && (s.Device != "" || m.Discover || m.Public)
	if m.Discover || s.Authorization != "" || s.Device == "" {
		need.Redirect = shownRedirect(s.RedirectTo)
	}
	return need, true, nil
}

// shownRedirect is a redirect URI as people enter it: a server that takes any
// port of the loopback address takes it without one (RFC 8252 section 7.3).
func shownRedirect(to string) string {
	to = cmp.Or(to, "http://127.0.0.1:{port}/callback")
	return strings.Replace(to, ":{port}", "", 1)
}

// clientRecord finds the record of an OAuth client in the vault of a profile.
func (b *Broker) clientRecord(full, name string) (vaultfile.Client, bool) {
	v, _ := b.split(full)
	if v == nil || name == "" {
		return vaultfile.Client{}, false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, c := range v.contents.Clients {
		if c.Name == name {
			return c, true
		}
	}
	return vaultfile.Client{}, false
}

// clientOf is the client that a login was made with, or would be.
func (b *Broker) clientOf(l vaultfile.Login, m *providers.Method) (oauth.Client, error) {
	for _, name := range []string{l.Client, clientName(l.Provider, l.Base)} {
		if record, ok := b.clientRecord(l.Profile, name); ok {
			return b.protocolClient(l, record)
		}
	}
	if id, ok := providers.BuildClient(l.Provider); ok && m.Client == providers.ClientBuild {
		return oauth.Client{ID: id}, nil
	}
	if client, _, ok := b.learned.client(keyOf(l)); ok {
		return client, nil
	}
	if m.Flow == providers.FlowAgent {
		return oauth.Client{}, fmt.Errorf("refresh %s: %w", l.Provider, ErrNotLearned)
	}
	return oauth.Client{}, fmt.Errorf("log in at %s: %w", l.Provider, ErrNoClient)
}

// protocolClient is a client's record, for a login of a profile by its full
// name, as the protocol has it. A secret that is elsewhere is fetched.
func (b *Broker) protocolClient(l vaultfile.Login, c vaultfile.Client) (oauth.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), referenceWait)
	defer cancel()
	v, _ := b.split(l.Profile)
	secret, err := b.clientSecret(ctx, v, l, c)
	return oauth.Client{ID: c.ClientID, Secret: secret, Redirect: c.Redirect}, err
}

// register registers a client at a server (RFC 7591), and returns its record.
func (b *Broker) register(ctx context.Context, provider string, server oauth.Server, scopes []string) (vaultfile.Client, error) {
	if server.Registration == "" {
		return vaultfile.Client{}, ErrNoRegistration
	}
	redirect := server.RedirectTo
	if strings.Contains(redirect, "{port}") {
		redirect = "" // a port of the client's own
	}
	got, err := b.oauth().Register(ctx, server, oauth.Registration{Scopes: scopes, Redirect: redirect})
	if err != nil {
		return vaultfile.Client{}, err
	}
	return vaultfile.Client{
		Name: dynamicName(provider, server), Issuer: server.Issuer, ClientID: got.Client.ID, ClientSecret: got.Client.Secret,
		RegistrationToken: got.RegistrationToken, RegistrationURI: got.RegistrationURI, Redirect: got.Client.Redirect, Expires: got.Expires,
	}, nil
}

// dynamicName is the name of the record of a client that a server registered.
// The tenants of one host are servers of their own, which a path tells apart.
func dynamicName(provider string, server oauth.Server) string {
	at := cmp.Or(server.Issuer, server.Token)
	name := provider + "@" + hostOf(at)
	if u, err := url.Parse(at); err == nil && strings.Trim(u.Path, "/") != "" {
		sum := sha256.Sum256([]byte(at))
		name += "-" + hex.EncodeToString(sum[:6]) // a name has no slashes
	}
	return name
}

// authFor is how a client shows who it is at a server that registered it: it
// has a secret only where the server gave it one.
func authFor(server oauth.Server, client oauth.Client) oauth.ClientAuth {
	switch {
	case client.Secret.IsZero():
		return oauth.AuthNone
	case server.ClientAuth == oauth.AuthNone || server.ClientAuth == "":
		return oauth.AuthBasic // RFC 7591 section 2: what goes without saying
	}
	return server.ClientAuth
}
