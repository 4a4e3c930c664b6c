package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/providers"
	"kb/vaultfile"
)

// AgentLogin is a login that a program made for itself, and that moves to kb:
// with its tokens, of which two could not both have the care.
type AgentLogin struct {
	Login    vaultfile.Login // of a profile by its full name, with a method that a person grants
	Access   secret.Value
	Refresh  secret.Value // empty: it does not expire
	Expires  time.Time    // of Access; zero when nobody knows
	Scopes   []string
	ClientID string // that the tokens are of, if that is known; else kb learns it from the program's next refresh
	Verify   bool
}

// AgentPlaceholders are what the program's own file holds in place of the two
// tokens. They mean the login in every session, on this device.
type AgentPlaceholders struct{ Access, Refresh string }

// TakeOver keeps a login that a program made for itself, and returns what takes
// its place in the program's file. It never revokes: the tokens are the
// program's until its file is changed. It is of this device alone, whatever the
// definition says: kb cannot know who else has them.
func (b *Broker) TakeOver(ctx context.Context, a AgentLogin) (LoginResult, AgentPlaceholders, error) {
	fail := func(err error) (LoginResult, AgentPlaceholders, error) {
		return LoginResult{}, AgentPlaceholders{}, fmt.Errorf("take over login at %s: %w", a.Login.Provider, err)
	}
	g := &granting{b: b, o: OAuthLogin{Login: a.Login, Sync: SyncNo, Verify: a.Verify}, full: a.Login.Profile, login: a.Login, scopes: a.Scopes, taken: true}
	var err error
	if g.home, g.login.Profile, err = b.home(g.full); err != nil {
		return fail(err)
	}
	if b.ci {
		return fail(vaultfile.ErrReadOnly)
	}
	if g.definition, err = b.Definition(g.full, g.login.Provider, g.login.Base); err != nil {
		return fail(err)
	}
	m, ok := g.definition.Login.Method(g.login.Method)
	if !ok || m.Flow != providers.FlowOAuth || isFound(m) {
		return fail(ErrNoFlow)
	}
	g.method, g.login.Method, g.server = m, m.Name, serverOf(m.Server)
	name := clientName(g.login.Provider, g.login.Base)
	if _, has := b.clientRecord(g.full, name); !has && a.ClientID != "" {
		g.record = &vaultfile.Client{Name: name, ClientID: a.ClientID}
		g.login.Client = name
	}
	held, err := b.newAgentPlaceholders(m, g.definition)
	if err != nil {
		return fail(err)
	}
	// Before the tokens: a session that has the login knows what means it.
	if err := b.putAgentPlaceholders(loginKey{g.full, g.login.Provider, g.login.As}, held); err != nil {
		return fail(err)
	}
	result, err := g.keep(ctx, oauth.Tokens{Access: a.Access, Refresh: a.Refresh, Type: "Bearer", Expires: a.Expires, Scopes: a.Scopes})
	if err != nil {
		return fail(err)
	}
	return result, held, nil
}

// newAgentPlaceholders makes a pair, of the shape that the method's clients
// want where its definition knows one.
func (b *Broker) newAgentPlaceholders(m *providers.Method, definition *providers.Provider) (held AgentPlaceholders, err error) {
	template := plainTemplate
	for _, t := range definition.EnvFor(m.Name) {
		if providers.Recognisable(t) && (template == plainTemplate || t < template) {
			template = t
		}
	}
	if held.Access, err = providers.Placeholder(template, b.random); err != nil {
		return held, err
	}
	held.Refresh, err = providers.Placeholder(plainTemplate, b.random)
	return held, err
}

// agentBlob is the name under which the state keeps a login's placeholders.
func (b *Broker) agentBlob(key loginKey) string {
	k := b.tokenKey(key)
	name := "agent"
	for _, part := range []string{k.Vault, k.Profile, k.Provider, k.As} {
		name += "/" + url.PathEscape(part)
	}
	return name
}

func (b *Broker) putAgentPlaceholders(key loginKey, held AgentPlaceholders) error {
	text, err := json.Marshal(held)
	if err != nil {
		return err
	}
	return b.store.Put(b.agentBlob(key), text, true)
}

// agentPlaceholders are those of a login that was taken over from a program, if
// it was.
func (b *Broker) agentPlaceholders(key loginKey) (tokenPair, bool) {
	text, ok, err := b.store.Get(b.agentBlob(key))
	if err != nil || !ok {
		return tokenPair{}, false
	}
	var held AgentPlaceholders
	if json.Unmarshal(text, &held) != nil || held.Access == "" || held.Refresh == "" {
		return tokenPair{}, false
	}
	return tokenPair{held.Access, held.Refresh}, true
}
