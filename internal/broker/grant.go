package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/providers"
	"kb/vaultfile"
)

// Fields of the methods that mint their tokens, by the names that definitions
// give them, and of a synced login.
const (
	refreshField      = "refresh_token" // of a synced login: what each device gets its tokens with
	clientIDField     = "client_id"
	clientSecretField = "client_secret"
	keyField          = "key"
	subjectField      = "subject"
	appField          = "app_id"
	installationField = "installation_id"
	privateKeyField   = "private_key"
)

// grantPatience bounds what a grant may have to ask for: where the login's
// authorization server is, what references stand for.
const grantPatience = time.Minute

// tokenKey is a login as this device's state knows it.
func (b *Broker) tokenKey(key loginKey) state.LoginKey {
	v, name := b.split(key.profile)
	k := state.LoginKey{Profile: name, Provider: key.provider, As: key.as}
	if v != nil {
		k.Vault = v.name
	}
	return k
}

// upkept is a login, of a profile by its full name, for the engine that keeps
// its tokens.
func (b *Broker) upkept(l vaultfile.Login) refresh.Login {
	key, what := keyOf(l), b.grantedFor(l)
	up := refresh.Login{
		Key: b.tokenKey(key), Made: l.Created, Account: l.Account, For: what, Shared: l.Secrets[refreshField],
		// What the vault holds when a token is needed counts, not what it held
		// when the session began.
		Grant: func() (refresh.Grant, error) {
			ctx, cancel := context.WithTimeout(context.Background(), grantPatience)
			defer cancel()
			now, err := b.loginOf(key.profile, key.provider, key.as)
			if err != nil {
				return refresh.Grant{}, err
			}
			g, err := b.grant(ctx, now)
			if err == nil && b.grantedFor(now) != what {
				err = fmt.Errorf("refresh %s: %w", key.provider, errTurnedAway)
			}
			return g, err
		},
	}
	if !up.Shared.IsZero() {
		up.OnRotate = func(ctx context.Context) error { return b.demote(ctx, key, up.Shared) }
	}
	return up
}

// errTurnedAway says that a login's tokens would go elsewhere than they were
// granted for.
var errTurnedAway = errors.New("what its vault says of the login was changed, so that its tokens may go elsewhere than they were granted for")

// grantedFor says what the tokens of a login, of a profile by its full name,
// are for: by which method, at which address, and by which definition, where
// that is in a vault that others write. Tokens that this device holds serve
// nothing else, as its references do not (see referenceUse): a person logs in
// anew, or they stay where they are.
func (b *Broker) grantedFor(l vaultfile.Login) string {
	return grantedFor(l, b.writtenByOthers(l.Profile, l.Provider))
}

func grantedFor(l vaultfile.Login, definition string) string {
	return fmt.Sprintf("%q %q %s", l.Method, l.Base, definition)
}

// writtenByOthers is the hash of a definition that a profile's vault has, if
// that is not the device's own; else empty.
func (b *Broker) writtenByOthers(full, provider string) string {
	v, _ := b.split(full)
	if v == nil || v == b.primary {
		return ""
	}
	return b.ownDefinition(v, provider)
}

// grant says how a login gets new tokens.
func (b *Broker) grant(ctx context.Context, l vaultfile.Login) (refresh.Grant, error) {
	fail := func(err error) (refresh.Grant, error) {
		return refresh.Grant{}, fmt.Errorf("refresh %s: %w", l.Provider, err)
	}
	definition, err := b.Definition(l.Profile, l.Provider, l.Base)
	if err != nil {
		return fail(err)
	}
	m, ok := definition.Login.Method(l.Method)
	if !ok {
		return fail(ErrNoFlow)
	}
	if m.Renews() {
		server, err := b.serverFor(ctx, l, m)
		if err != nil {
			return fail(err)
		}
		client, err := b.clientOf(l, m)
		if err != nil {
			return fail(err)
		}
		return refresh.Grant{Kind: refresh.KindRefresh, Server: server, Client: client, Unproven: b.unproven(l, m)}, nil
	}
	fields, err := fieldsOf(l, b.referencesWithin(ctx, l))
	if err != nil {
		return fail(err)
	}
	scopes := l.Scopes
	if scopes == nil {
		scopes = m.Scopes
	}
	g, err := minted(m, fields, scopes)
	if err != nil {
		return fail(err)
	}
	return g, nil
}

// minted is the grant of a method that makes tokens of its own fields.
func minted(m *providers.Method, fields map[string]secret.Value, scopes []string) (refresh.Grant, error) {
	g := refresh.Grant{Server: serverOf(m.Server), Scopes: scopes}
	switch m.Flow {
	case providers.FlowClientCredentials:
		g.Kind = refresh.KindClientCredentials
		g.Client = clientIn(fields)
		g.Server.TokenParams = map[string]string{}
		for name, value := range m.Server.TokenParams {
			if field, ok := strings.CutPrefix(value, "{"); ok {
				value = fields[strings.TrimSuffix(field, "}")].Reveal()
			}
			g.Server.TokenParams[name] = value
		}
	case providers.FlowJWTBearer:
		g.Kind = refresh.KindJWTBearer
		u, err := url.Parse(m.Server.Token)
		if err != nil {
			return g, errors.New("its definition has no token endpoint")
		}
		server, assertion, err := oauth.ServiceAccount(fields[keyField], scopes, fields[subjectField].Reveal(), []string{u.Host})
		if err != nil {
			return g, err
		}
		g.Server.Token, g.Server.ClientAuth, g.Assertion = server.Token, server.ClientAuth, assertion
	case providers.FlowGitHubApp:
		g.Kind = refresh.KindGitHubApp
		g.App = oauth.App{
			API: m.Server.AppAPI(), ID: fields[appField].Reveal(), Installation: fields[installationField].Reveal(), Key: manyLines(fields[privateKeyField]),
		}
	default:
		return g, ErrNoFlow
	}
	return g, nil
}

// clientIn is the client among the fields of a login.
func clientIn(fields map[string]secret.Value) oauth.Client {
	return oauth.Client{ID: fields[clientIDField].Reveal(), Secret: fields[clientSecretField]}
}

// mint gets the first token of a login that makes its own, if it is to be tried
// out. A job's tokens and another device's are minted at their first use.
func (b *Broker) mint(ctx context.Context, c *credentials, try bool) (*bound, state.Token, error) {
	if !try {
		return nil, state.Token{}, nil
	}
	fail := func(err error) (*bound, state.Token, error) {
		return nil, state.Token{}, fmt.Errorf("log in at %s: %w", c.key.provider, err)
	}
	// The person who is here gives these references.
	fields, err := fieldsOf(c.login, func(_, ref string) (secret.Value, error) { return b.refs().Resolve(ctx, ref, nil) })
	if err != nil {
		return fail(err)
	}
	scopes := c.login.Scopes
	if scopes == nil {
		scopes = c.method.Scopes
	}
	g, err := minted(c.method, fields, scopes)
	if err != nil {
		return fail(err)
	}
	began := b.now().Round(0)
	tokens, err := refresh.Ask(ctx, b.oauth(), g, secret.Value{})
	if err != nil {
		return fail(err)
	}
	token := state.Token{
		Access: tokens.Access, Type: tokens.Type, Obtained: began, Expires: tokens.Expires.Round(0), Scopes: tokens.Scopes,
		For: c.what, State: StateOK, Since: began,
	}
	now, err := c.bindToken(token)
	if err != nil {
		return fail(err)
	}
	return now, token, nil
}

// putMinted keeps the first token of a login that makes its own.
func (b *Broker) putMinted(ctx context.Context, key loginKey, token state.Token, made time.Time) error {
	if token.Access.IsZero() {
		return nil
	}
	k := b.tokenKey(key)
	lock, err := b.store.LockToken(ctx, k)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	before, _, _ := b.store.Token(k) // that it cannot be read is no reason to lose the new one
	token.Made, token.Past = made, state.Remember(before.Past, token.Obtained, state.PastLoggedIn)
	return b.store.PutToken(ctx, k, token)
}

// A vault holds no line breaks in secrets, for most travel in a header. A
// private key does not, and is kept with "\n" in place of them, as it stands in
// JSON.

// oneLine is a pasted key as the vault takes it.
func oneLine(v secret.Value) secret.Value {
	text := strings.TrimSpace(v.Reveal())
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) == nil {
		return secret.New(compact.String())
	}
	return secret.New(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", `\n`))
}

// manyLines is the reverse for a key in PEM.
func manyLines(v secret.Value) secret.Value {
	if !strings.HasPrefix(v.Reveal(), "-----BEGIN") {
		return v
	}
	return secret.New(strings.ReplaceAll(v.Reveal(), `\n`, "\n"))
}

// demote makes a synced login one of this device alone: its provider has given
// another refresh token than the vault holds, so that the vault's is dead, and
// two devices that went on with it would take each other's away. Where the login
// was made anew meanwhile, the vault holds another than that.
func (b *Broker) demote(ctx context.Context, key loginKey, dead secret.Value) error {
	v, name := b.split(key.profile)
	if v == nil {
		return &UnknownProfileError{key.profile}
	}
	done := false
	err := b.edit(ctx, v, func(tx *vaultfile.Tx) error {
		done = false
		c, err := tx.Contents()
		if err != nil {
			return err
		}
		l, ok := c.Login(name, key.provider, key.as)
		if !ok || !l.Secrets[refreshField].Equal(dead) {
			return nil
		}
		delete(l.Secrets, refreshField)
		l.DeviceOnly, done = true, true
		return tx.PutLogin(l)
	})
	if err == nil && done {
		b.say(v, "%s gave the login of %s another refresh token, so it is not synced any more: each other device makes its own (kb login --all)", key.provider, b.Show(key.profile))
	}
	return err
}
