package broker

import (
	"context"

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
	Removes   bool // the login leaves the vault, and so every device
	Revokes   bool // tokens of this device are given back to the server
	EndsGrant bool // the server ends the whole grant with them: other devices, and other programs with the same client, are logged out too
}

// LogoutResult is what came of it.
type LogoutResult struct {
	LogoutPlan
	Revoked bool   // the server took the tokens back
	Note    string // what else there is to know, such as why it did not
}

// PlanLogout says what Logout would do, so that a person can be told before.
func (b *Broker) PlanLogout(spec LogoutSpec) (LogoutPlan, error) {
	l, err := b.loginOf(spec.Profile, spec.Provider, spec.As)
	return LogoutPlan{Login: l, Removes: true}, err
}

// Logout ends a login. A key is removed from the vault. Tokens of this device
// are revoked and deleted, and the login's record stays, unless
// spec.Everywhere: then it is removed, and each device revokes its own when it
// sees that.
func (b *Broker) Logout(ctx context.Context, spec LogoutSpec) (LogoutResult, error) {
	plan, err := b.PlanLogout(spec)
	if err != nil {
		return LogoutResult{}, err
	}
	return LogoutResult{LogoutPlan: plan}, b.RemoveLogin(ctx, spec.Profile, spec.Provider, spec.As)
}

// UnknownLoginError names a login that is not there.
type UnknownLoginError struct{ Profile, Provider, As string }

func (e *UnknownLoginError) Error() string {
	name := e.Provider
	if e.As != "" {
		name += " (" + e.As + ")"
	}
	return "profile \"" + e.Profile + "\" has no login at " + name
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
