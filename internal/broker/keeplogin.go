package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/vaultfile"
)

// revokePatience bounds how long a login that is not kept waits for its
// tokens' end.
const revokePatience = 15 * time.Second

// keep checks whose the tokens are, and keeps them: on this device, and what
// is synced in the vault.
func (g *granting) keep(ctx context.Context, tokens oauth.Tokens) (LoginResult, error) {
	b := g.b
	result := LoginResult{Expires: tokens.Expires, Scopes: tokens.Scopes}
	account, note, err := g.verify(ctx, tokens)
	if err != nil {
		return result, errors.Join(err, g.giveBack(ctx, tokens, account))
	}
	g.login.Account, result.Account, result.Note = account, account, note
	g.login.Scopes = tokens.Scopes
	if g.login.Scopes == nil {
		g.login.Scopes = g.scopes
	}
	g.login.Secrets, g.login.Refs = nil, nil
	synced := g.o.Sync != SyncNo && g.method.Refresh == "keep" || g.o.Sync == SyncYes
	if synced && tokens.Refresh.IsZero() {
		if g.o.Sync == SyncYes {
			return result, errors.Join(fmt.Errorf("log in at %s: %w", g.login.Provider, ErrNoRefresh), g.giveBack(ctx, tokens, account))
		}
		synced = false
	}
	g.login.DeviceOnly, result.DeviceOnly = !synced, !synced
	token := state.Token{
		Access: tokens.Access, Refresh: tokens.Refresh, Type: tokens.Type,
		Obtained: b.now().Round(0), Expires: tokens.Expires.Round(0), Scopes: g.login.Scopes,
		Account: account, Taken: g.from, For: g.what, Client: g.login.Client, State: StateOK, Since: b.now().Round(0),
	}
	if synced {
		g.login.Secrets = map[string]secret.Value{refreshField: tokens.Refresh}
		token.Shared = state.TokenHash(tokens.Refresh)
	}
	if token.Server, err = json.Marshal(g.server); err != nil {
		return result, err
	}
	if err := g.store(ctx, token); err != nil {
		return result, errors.Join(err, g.giveBack(ctx, tokens, account))
	}
	return result, nil
}

// store writes the tokens and the records. The lock is held over both: who
// looks for tokens whose login was removed would find these else.
func (g *granting) store(ctx context.Context, token state.Token) error {
	b := g.b
	key := b.tokenKey(loginKey{g.full, g.login.Provider, g.login.As})
	lock, err := b.store.LockToken(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	before, had, err := b.store.Token(key)
	if err != nil {
		return err
	}
	g.login.Created = b.newer(g.full, g.login)
	old, none := b.loginOf(g.full, g.login.Provider, g.login.As)
	if none == nil && g.again(old) {
		// This device's own part of a login that each device makes: the others'
		// go on.
		g.login.Created = old.Created
	}
	token.Made, token.Past = g.login.Created, state.Remember(before.Past, token.Obtained, state.PastLoggedIn)
	if err := b.store.PutToken(ctx, key, token); err != nil {
		return err
	}
	_ = b.store.ClearJournal(key)
	err = b.edit(ctx, g.home, func(tx *vaultfile.Tx) error {
		if g.record != nil {
			if err := tx.PutClient(*g.record); err != nil {
				return err
			}
		}
		return tx.PutLogin(g.login)
	})
	if err == nil && g.finish != nil {
		if err = g.finish(); err != nil {
			err = errors.Join(err, g.putBack(ctx, old, none == nil))
		}
	}
	switch {
	case err == nil:
	case had:
		_ = b.store.PutToken(ctx, key, before)
	default:
		_ = b.store.DeleteToken(key)
	}
	return err
}

// undoPatience bounds how long a login that failed at its end takes to be
// undone, also when nobody waits for it any more.
const undoPatience = 10 * time.Second

// putBack has the vault hold what it held before.
func (g *granting) putBack(ctx context.Context, old vaultfile.Login, had bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	return g.b.edit(ctx, g.home, func(tx *vaultfile.Tx) error {
		if !had {
			return tx.DeleteLogin(vaultfile.LoginID(g.login.Profile, g.login.Provider, g.login.As))
		}
		old.Profile = g.login.Profile
		return tx.PutLogin(old)
	})
}

// again reports whether this is a login that another device, or this one
// before, made already.
func (g *granting) again(old vaultfile.Login) bool {
	return old.DeviceOnly && g.login.DeviceOnly && old.Method == g.login.Method && old.Base == g.login.Base &&
		old.Account == g.login.Account && old.Client == g.login.Client && slices.Equal(old.Scopes, g.login.Scopes)
}

// verify asks the provider whose the tokens are. It returns the account also
// with an error, if it is known.
func (g *granting) verify(ctx context.Context, tokens oauth.Tokens) (account, note string, err error) {
	b := g.b
	p, _, err := b.Profile(g.full)
	if err != nil {
		return "", "", err
	}
	want := p.Expect[g.login.Provider]
	login := g.login
	login.Profile = g.full
	c := b.join(login, nil)
	if c.problem != "" {
		return "", "", fmt.Errorf("log in at %s: %s", login.Provider, c.problem)
	}
	now, err := c.bindToken(state.Token{Access: tokens.Access, Expires: tokens.Expires, For: c.what})
	if err != nil {
		return "", "", fmt.Errorf("log in at %s: %w", login.Provider, err)
	}
	return b.whose(ctx, c, now, want, g.o.Verify)
}

// whose asks whose a credential is, where it should and can, and holds it
// against what the profile expects.
func (b *Broker) whose(ctx context.Context, c *credentials, now *bound, want string, ask bool) (account, note string, err error) {
	provider := c.login.Provider
	switch {
	case ask && c.definition.Identity != nil:
		account, err = b.whoAmI(ctx, c, now)
		if why := unasked(err); why != "" && want == "" && c.flows() {
			return "", why, nil // the server has just said that the token is good
		}
		if err != nil {
			return "", "", err
		}
	case ask && c.flows():
		note = fmt.Sprintf("%s has no endpoint that says whose this login is", c.definition.Title)
	case ask:
		note = fmt.Sprintf("%s has no endpoint that says whose a key is: it was not tried", c.definition.Title)
	case want != "":
		note = fmt.Sprintf("the profile expects account %s at %s: until the login is verified, it is refused", want, provider)
	}
	if ask && want != "" && want != account {
		return account, note, &WrongAccountError{b.Show(c.login.Profile), provider, want, account}
	}
	return account, note, nil
}

// unasked says why a good token has not told whose it is: nobody was reached,
// or its scopes do not go as far. It is empty for any other error.
func unasked(err error) string {
	var unreachable *UnreachableError
	var rejected *RejectedError
	switch {
	case errors.As(err, &rejected) && rejected.Status == http.StatusForbidden:
		return "this login may not ask whose it is, so it has no account's name" // as an app's installation
	case errors.As(err, &unreachable):
		return err.Error()
	}
	return ""
}

// giveBack revokes tokens that are not kept. Where that would end the whole
// grant of an account that another login of this device is of, they are left
// to end by themselves.
func (g *granting) giveBack(ctx context.Context, tokens oauth.Tokens, account string) error {
	if g.taken || g.server.Revocation == "" || g.server.RevokeWhat == "grant" && g.b.hasAccount(g.login.Provider, account) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokePatience)
	defer cancel()
	if err := g.b.oauth().Revoke(ctx, g.server, g.client, tokens); err != nil {
		return fmt.Errorf("revoke what %s gave: %w", g.login.Provider, err)
	}
	return nil
}

// hasAccount reports whether some login at a provider may be of that account.
// Where either is not known, it may.
func (b *Broker) hasAccount(provider, account string) bool {
	return slices.ContainsFunc(b.All().Logins, func(l vaultfile.Login) bool {
		return l.Provider == provider && (account == "" || l.Account == "" || l.Account == account)
	})
}
