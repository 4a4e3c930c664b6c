package broker

import (
	"context"
	"fmt"
	"time"

	"kb/internal/refresh"
	"kb/internal/state"
	"kb/providers"
	"kb/vaultfile"
)

// States of a login. offline and refreshing are for logins that expire.
const (
	StateOK         = refresh.StateOK
	StateExpiring   = refresh.StateExpiring
	StateRefreshing = refresh.StateRefreshing
	StateOffline    = refresh.StateOffline
	StateNeedsLogin = refresh.StateNeedsLogin
	StateUnknown    = refresh.StateUnknown
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

	Expires time.Time       // of the token, or of the key; zero when it does not, or nobody knows
	Next    time.Time       // when the token is refreshed next; zero when it is not
	Missing bool            // this device has still to make the login (kb login --all)
	OAuth   bool            // a person grants it: LoginOAuth makes it
	Fix     string          // the command that mends it; "" when nothing is to be done
	Past    []state.Outcome // of its tokens on this device, newest first
}

// LoginStates lists every login, by profile and provider.
func (b *Broker) LoginStates() []LoginState {
	logins := b.All().Logins
	b.fetchReferences(context.Background(), logins) // at once, not one after the other
	states := make([]LoginState, len(logins))
	for i, l := range logins {
		states[i] = b.stateOf(l)
	}
	return states
}

// stateOf is how a login of a profile by its full name stands.
func (b *Broker) stateOf(l vaultfile.Login) LoginState {
	s := LoginState{Login: l, State: StateOK, Reason: "key in the vault", Expires: l.Expires}
	home, _ := b.split(l.Profile)
	s.Vault, s.Login.Profile = home.name, b.Show(l.Profile)
	want := ""
	if p, _, err := b.Profile(l.Profile); err == nil {
		want = p.Expect[l.Provider]
	}
	c := b.join(l, b.references(l))
	s.OAuth = c.method != nil && c.method.Renews()
	switch {
	case c.problem != "":
		s.State, s.Reason = StateNeedsLogin, c.problem
	case want != "" && want != l.Account:
		s.State, s.Reason = StateNeedsLogin, fmt.Sprintf("profile expects account %s", want)
	case c.flows():
		b.tokenState(&s, c)
	case !l.Expires.IsZero() && !b.now().Before(l.Expires):
		s.State, s.Reason = StateNeedsLogin, "expired on "+l.Expires.Local().Format(time.DateOnly)
	case !l.Expires.IsZero() && l.Expires.Sub(b.now()) < expiringBefore:
		s.State, s.Reason = StateExpiring, "expires on "+l.Expires.Local().Format(time.DateOnly)
	case l.Account == "" && c.definition.Identity != nil:
		s.State, s.Reason = StateUnknown, "the provider was not asked whose it is"
	case len(l.Refs) > 0:
		s.Reason = "reference, resolved at use"
	}
	if s.State == StateNeedsLogin || s.State == StateExpiring && !c.flows() {
		s.Fix = fmt.Sprintf("kb login %s -p %s", s.Login.Provider, s.Login.Profile)
		if c.method != nil && c.method.Flow == providers.FlowAgent {
			s.Fix = fmt.Sprintf("kb import %s -p %s --replace", ImportSource(c.method), s.Login.Profile)
		}
		if !s.OAuth { // a key that is there is replaced only where that is said
			s.Fix += " --replace"
		}
		if s.Login.As != "" {
			s.Fix += " --as " + s.Login.As
		}
	}
	if c.problem != "" && !b.agreedToAll(l) {
		s.Fix = fmt.Sprintf("kb reference accept %s -p %s", s.Login.Provider, s.Login.Profile)
	}
	return s
}

// tokenState fills in how a login stands whose tokens end.
func (b *Broker) tokenState(s *LoginState, c *credentials) {
	key := b.tokenKey(c.key)
	token, had, err := b.store.Token(key)
	if err != nil {
		s.State, s.Reason = StateUnknown, err.Error()
		return
	}
	s.Past = token.Past
	turned := had && token.For != c.what
	if turned || had && !refresh.Owns(&token, c.login.Created, c.login.Account) {
		token, had = state.Token{}, false // of a login that was replaced
	}
	var journal *state.JournalEntry
	if entry, ok, err := b.store.Journal(key); err == nil && ok {
		journal = &entry
	}
	s.State, s.Reason, s.Since, s.Next = refresh.Standing(token, journal, b.now())
	s.Expires = token.Expires
	if err := b.canHold(c); err != nil {
		s.State, s.Reason = StateNeedsLogin, err.Error()
		return
	}
	if had {
		if s.State == StateOK && s.Reason == "" {
			s.Reason = "token of this device"
		}
		return
	}
	_, pending, _ := b.store.Pending(key)
	switch {
	case !s.OAuth:
		s.State, s.Reason = StateOK, "a token is made at its first use"
	case !c.login.Secrets[refreshField].IsZero():
		s.State, s.Reason = StateOK, "synced; this device gets its token at its first use"
	case pending:
		s.State, s.Reason, s.Missing = StateNeedsLogin, "waits for its code to be typed", true
	case turned:
		s.State, s.Reason, s.Missing = StateNeedsLogin, errTurnedAway.Error(), true
	default:
		s.State, s.Reason, s.Missing = StateNeedsLogin, "this device has not made it yet", true
	}
}

// problemOf is why a login cannot be used, as a session's start says it; empty
// when it can, or that shows at its use.
func (b *Broker) problemOf(c *credentials) string {
	if c.problem != "" || !c.flows() {
		return c.problem
	}
	s := LoginState{OAuth: c.method.Renews()}
	if b.tokenState(&s, c); s.State == StateNeedsLogin {
		return s.Reason
	}
	return ""
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
