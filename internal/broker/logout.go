package broker

import (
	"context"
	"encoding/json"
	"fmt"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/vaultfile"
)

// LogoutSpec names a login that is to end.
type LogoutSpec struct {
	Profile    string // its full name
	Provider   string
	As         string
	Everywhere bool // on every device, and not on this one alone
}

// LogoutPlan is what Logout would do.
type LogoutPlan struct {
	Login     vaultfile.Login
	Key       bool // it was pasted: the key itself goes on working until it is ended at the provider
	Removes   bool // the login leaves the vault, and so every device
	Revokes   bool // tokens are given back to the server
	EndsGrant bool // the server ends the whole grant with them: other devices, and other logins of the account, are logged out too
}

// LogoutResult is what came of it.
type LogoutResult struct {
	LogoutPlan
	Revoked bool   // the server took the tokens back
	Note    string // what else there is to know, such as why it did not
}

// Outcome says what became of a login's tokens or key.
func (r LogoutResult) Outcome() string {
	tokens := "no token of it was left"
	switch {
	case r.Key && !r.Revoked:
		return "the key itself still works: revoke it at the provider if it may be known"
	case r.Revoked && r.EndsGrant:
		tokens = "the provider ended the whole grant"
	case r.Revoked:
		tokens = "its tokens are revoked"
	case r.Revokes || r.Note != "":
		tokens = "its tokens are deleted here"
	}
	if r.Removes {
		return tokens + ", and it has left the vault"
	}
	return tokens + "; the login stays in the vault for other devices"
}

// UnknownLoginError names a login that is not there.
type UnknownLoginError struct{ Profile, Provider, As string }

func (e *UnknownLoginError) Error() string {
	name := e.Provider
	if e.As != "" {
		name += " (" + e.As + ")"
	}
	return fmt.Sprintf("find login: profile %q has none at %s", e.Profile, name)
}

// loginOf is a login of a profile by its full name, which it also holds.
func (b *Broker) loginOf(full, provider, as string) (vaultfile.Login, error) {
	for _, l := range b.All().Logins {
		if l.Profile == full && l.Provider == provider && l.As == as {
			return l, nil
		}
	}
	return vaultfile.Login{}, &UnknownLoginError{b.Show(full), provider, as}
}

// leaving is a login that is to end, with all that this takes.
type leaving struct {
	plan   LogoutPlan
	key    state.LoginKey
	token  state.Token
	had    bool
	server oauth.Server
	client oauth.Client
	shared bool // its refresh token is in the vault
}

// PlanLogout says what Logout would do, so that a person can be told before.
func (b *Broker) PlanLogout(spec LogoutSpec) (LogoutPlan, error) {
	out, err := b.leaving(spec)
	return out.plan, err
}

func (b *Broker) leaving(spec LogoutSpec) (leaving, error) {
	l, err := b.loginOf(spec.Profile, spec.Provider, spec.As)
	if err != nil {
		return leaving{}, err
	}
	out := leaving{plan: LogoutPlan{Login: l, Removes: true}, key: b.tokenKey(keyOf(l)), shared: !l.Secrets[refreshField].IsZero()}
	if out.token, out.had, err = b.store.Token(out.key); err != nil {
		return out, err
	}
	c := b.join(l, pretend)
	if c.method == nil || !c.method.Renews() {
		out.plan.Key = true
		if c.method != nil && c.flows() {
			if out.token.For == c.what {
				out.server, _ = b.serverKnown(l, c.method)
			}
			out.client = clientIn(l.Secrets)
		}
		out.plan.Revokes = out.server.Revocation != "" && out.had
		return out, nil
	}
	out.plan.Removes = spec.Everywhere
	if out.server, err = b.serverKnown(l, c.method); err != nil || out.had && out.token.For != c.what {
		out.server = storedServer(out.token)
	}
	out.client, _ = b.clientOf(l, c.method)
	out.plan.Revokes = out.server.Revocation != "" && (out.had && !out.shared || out.shared && spec.Everywhere)
	out.plan.EndsGrant = out.plan.Revokes && out.server.RevokeWhat == "grant"
	return out, nil
}

// storedServer is the authorization server that tokens were got from.
func storedServer(t state.Token) (server oauth.Server) {
	_ = json.Unmarshal(t.Server, &server) // none: nothing can be revoked
	return server
}

// Logout ends a login. A key is removed from the vault. Tokens of this device
// are revoked and deleted, and the login's record stays, unless
// spec.Everywhere: then it is removed, and each device revokes its own when it
// sees that.
//
// A synced login's refresh token is every device's, so that on this device
// alone nothing is revoked that could take it from them; this device is then
// logged out until somebody logs in anew.
func (b *Broker) Logout(ctx context.Context, spec LogoutSpec) (LogoutResult, error) {
	out, err := b.leaving(spec)
	result := LogoutResult{LogoutPlan: out.plan}
	if err != nil {
		return result, err
	}
	lock, err := b.store.LockToken(ctx, out.key)
	if err != nil {
		return result, err
	}
	defer func() { _ = lock.Unlock() }()
	if out.token, out.had, err = b.store.Token(out.key); err != nil {
		return result, err
	}
	_ = b.store.DeletePending(out.key)
	failed := b.revokeLeaving(ctx, out, &result)
	if out.plan.Removes {
		v, name := b.split(spec.Profile)
		id := vaultfile.LoginID(name, spec.Provider, spec.As)
		if err := b.edit(ctx, v, func(tx *vaultfile.Tx) error { return tx.DeleteLogin(id) }); err != nil {
			return result, err
		}
		if failed != nil && out.had {
			result.Note += "; kb tries again by itself"
			return result, nil // Upkeep finds tokens without a login
		}
	}
	if out.shared && !out.plan.Removes {
		return result, b.store.PutToken(ctx, out.key, state.Token{
			Made: out.plan.Login.Created, For: b.grantedFor(out.plan.Login), Shared: state.TokenHash(out.plan.Login.Secrets[refreshField]),
			State: StateNeedsLogin, Since: b.now().Round(0), Reason: "logged out on this device",
		})
	}
	return result, b.store.DeleteToken(out.key)
}

// revokeLeaving gives back what a logout ends, and says in the result what came
// of it.
func (b *Broker) revokeLeaving(ctx context.Context, out leaving, result *LogoutResult) error {
	tokens := oauth.Tokens{Access: out.token.Access, Refresh: out.token.Refresh}
	provider := out.plan.Login.Provider
	switch {
	case out.shared && out.plan.Removes:
		tokens.Refresh = out.plan.Login.Secrets[refreshField]
	case out.shared:
		result.Note = "other devices use the same login, so nothing was revoked: this device's token ends by itself"
		return nil
	}
	if tokens.Access.IsZero() && tokens.Refresh.IsZero() {
		return nil
	}
	if out.server.Revocation == "" {
		if !out.plan.Key {
			result.Note = fmt.Sprintf("%s has no way to revoke tokens that kb knows: they end by themselves, or in the account's settings there", provider)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, revokePatience)
	defer cancel()
	if err := b.oauth().Revoke(ctx, out.server, out.client, tokens); err != nil {
		result.Note = fmt.Sprintf("the tokens could not be revoked: %v", err)
		return err
	}
	result.Revoked = true
	return nil
}

// pretend resolves references to nothing: who only wants to know what a login
// is asks nobody.
func pretend(string, string) (secret.Value, error) { return secret.New(pretended), nil }
