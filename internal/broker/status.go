package broker

import (
	"fmt"
	"time"

	"kb/vaultfile"
)

// States of a login. offline and refreshing are for logins that expire.
const (
	StateOK         = "ok"
	StateExpiring   = "expiring"
	StateRefreshing = "refreshing"
	StateOffline    = "offline"
	StateNeedsLogin = "needs login"
	StateUnknown    = "unknown"
)

// expiringBefore: how long before its end a key counts as expiring. A week
// leaves time to have a new one made where that needs another person.
const expiringBefore = 7 * 24 * time.Hour

// LoginState is a login and how it stands.
type LoginState struct {
	Login  vaultfile.Login // its Profile is as Show calls it
	Vault  string          // that it is in
	State  string
	Reason string
	Since  time.Time // of State; zero when it is not known

	Expires time.Time // of the token, or of the key; zero when it does not, or nobody knows
	Next    time.Time // when the token is refreshed next; zero when it is not
	Missing bool      // this device has still to make the login (kb login --all)
	OAuth   bool      // a person grants it: LoginOAuth makes it
	Fix     string    // the command that mends it; "" when nothing is to be done
}

// LoginStates lists every login, by profile and provider.
func (b *Broker) LoginStates() []LoginState {
	contents, names := b.All(), b.names()
	states := make([]LoginState, 0, len(contents.Logins))
	for _, l := range contents.Logins {
		s := LoginState{Login: l, State: StateOK, Reason: "key in the vault", Expires: l.Expires}
		home, _ := b.split(l.Profile)
		s.Vault, s.Login.Profile = home.name, names.show(l.Profile)
		want := ""
		if p, ok := contents.Profile(l.Profile); ok {
			want = p.Expect[l.Provider]
		}
		c := b.join(l, b.references(l))
		switch {
		case c.problem != "":
			s.State, s.Reason = StateNeedsLogin, c.problem
		case want != "" && want != l.Account:
			s.State, s.Reason = StateNeedsLogin, fmt.Sprintf("profile expects account %s", want)
		case !l.Expires.IsZero() && !b.now().Before(l.Expires):
			s.State, s.Reason = StateNeedsLogin, "expired on "+l.Expires.Local().Format(time.DateOnly)
		case !l.Expires.IsZero() && l.Expires.Sub(b.now()) < expiringBefore:
			s.State, s.Reason = StateExpiring, "expires on "+l.Expires.Local().Format(time.DateOnly)
		case l.Account == "" && c.definition.Identity != nil:
			s.State, s.Reason = StateUnknown, "the provider was not asked whose it is"
		case len(l.Refs) > 0:
			s.Reason = "reference, resolved at use"
		}
		if s.State == StateNeedsLogin || s.State == StateExpiring {
			s.Fix = fmt.Sprintf("kb login %s -p %s --replace", s.Login.Provider, s.Login.Profile)
			if s.Login.As != "" {
				s.Fix += " --as " + s.Login.As
			}
		}
		states = append(states, s)
	}
	return states
}

// Attention lists what a person should see to, each with the command for it.
func (b *Broker) Attention() []string {
	var out []string
	for _, v := range b.Vaults() {
		if v.Err != nil {
			out = append(out, fmt.Sprintf("vault %s cannot be opened, and kb exec refuses without its rules: %v; mend it, or run kb vault forget %s", v.Name, v.Err, v.Name))
		}
	}
	if len(b.All().Profiles) == 0 {
		return append(out, "no profile yet: run kb profile add NAME")
	}
	out = append(out, b.deviceAttention()...)
	out = append(out, b.conflicts()...)
	for _, s := range b.LoginStates() {
		if s.Fix != "" {
			out = append(out, fmt.Sprintf("%s at %s: %s; run %s", s.Login.Profile, s.Login.Provider, s.Reason, s.Fix))
		}
	}
	return out
}
