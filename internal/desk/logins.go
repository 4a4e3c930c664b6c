package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/providers"
	"kb/tui"
	"kb/vaultfile"
)

// Logins implements tui.Backend.
func (d *Desk) Logins(ctx context.Context) ([]tui.Login, error) {
	b, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	states := b.LoginStates()
	logins := make([]tui.Login, len(states))
	for i, s := range states {
		logins[i] = d.login(b, s)
	}
	return logins, nil
}

// login is a login as the dashboard shows it.
func (d *Desk) login(b *broker.Broker, s broker.LoginState) tui.Login {
	l := s.Login
	t := tui.Login{
		LoginKey: tui.LoginKey{Profile: l.Profile, Provider: l.Provider, As: l.As},
		Vault:    s.Vault, Account: l.Account, Method: l.Method, Kind: l.Method,
		State: s.State, Reason: s.Reason, Fix: s.Fix, Since: s.Since, Expires: s.Expires, Next: s.Next,
		Scopes: l.Scopes, DeviceOnly: l.DeviceOnly, Missing: s.Missing, OAuth: s.OAuth, Base: l.Base, Client: l.Client,
		// The broker says what mends a login, and of this one it is consent.
		Disagreed: strings.HasPrefix(s.Fix, "kb reference accept "),
	}
	for _, o := range s.Past {
		t.History = append(t.History, tui.Past{When: o.When, What: o.What})
	}
	for _, field := range slices.Sorted(maps.Keys(l.Refs)) {
		t.Refs = append(t.Refs, field+" from "+l.Refs[field])
	}
	full, err := b.Find(l.Profile)
	if err != nil {
		return t // the vault that it is in was just closed
	}
	definition, err := b.Definition(full, l.Provider, l.Base)
	if err != nil {
		return t // of a provider that is no more: the reason says so
	}
	if m, ok := definition.Login.Method(l.Method); ok {
		t.Kind, t.Renews = kind(m), m.Flow != providers.FlowPaste
		if m.Flow == providers.FlowAgent {
			t.Import = broker.ImportSource(m)
		}
	}
	return t
}

// kind is a login method in a word or two.
func kind(m *providers.Method) string {
	switch m.Flow {
	case providers.FlowOAuth:
		if ways := m.Ways(); len(ways) > 0 && ways[0] == providers.WayDevice {
			return "oauth device"
		}
		return "oauth code"
	case providers.FlowClientCredentials:
		return "client secret"
	case providers.FlowJWTBearer:
		return "service account"
	case providers.FlowGitHubApp:
		return "github app"
	case providers.FlowAgent:
		return "taken over"
	}
	return strings.ToLower(m.Title)
}

// key is a login by its profile's full name.
func key(b *broker.Broker, k tui.LoginKey) (full string, err error) {
	if full, err = b.Find(k.Profile); err != nil {
		return "", fmt.Errorf("find profile of the login: %w", err)
	}
	return full, nil
}

// name is how a login is called in talk: "github", "github (bot)".
func name(provider, as string) string {
	if as == "" {
		return provider
	}
	return provider + " (" + as + ")"
}

// Refresh implements tui.Backend.
func (d *Desk) Refresh(ctx context.Context, k tui.LoginKey) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full := ""
	if k != (tui.LoginKey{}) {
		if full, err = key(b, k); err != nil {
			return "", d.advise(err)
		}
	}
	results, err := b.RefreshLogins(ctx, full, k.Provider, k.As)
	switch {
	case errors.Is(err, broker.ErrNothingToRefresh) && full == "":
		return "no login has tokens that kb refreshes", nil
	case err != nil:
		return "", d.advise(err)
	}
	var failed []error
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		who := r.Login.Profile + " at " + name(r.Login.Provider, r.Login.As)
		if r.State == broker.StateNeedsLogin {
			failed = append(failed, hint.Exit(hint.Human, fmt.Errorf("refresh %s: it has to be logged in again: %s", who, r.Reason), "press l on it, or run "+r.Fix))
			continue
		}
		fix := "check the network, and press r again"
		if errors.Is(r.Err, broker.ErrNotLearned) {
			fix = "" // the error says what to do
		}
		failed = append(failed, hint.Wrap(fmt.Errorf("refresh %s: %w", who, r.Err), fix))
	}
	if len(failed) > 0 {
		return "", errors.Join(failed...)
	}
	if len(results) == 1 {
		return fmt.Sprintf("%s at %s has new tokens", results[0].Login.Profile, name(results[0].Login.Provider, results[0].Login.As)), nil
	}
	return fmt.Sprintf("%d logins have new tokens", len(results)), nil
}

// LogoutPlan implements tui.Backend.
func (d *Desk) LogoutPlan(ctx context.Context, k tui.LoginKey, everywhere bool) (string, error) {
	b, spec, err := d.logoutSpec(ctx, k, everywhere)
	if err != nil {
		return "", err
	}
	plan, err := b.PlanLogout(spec)
	if err != nil {
		return "", d.advise(err)
	}
	return planned(plan, everywhere), nil
}

// planned says what a logout would do.
func planned(p broker.LogoutPlan, everywhere bool) string {
	var parts []string
	switch {
	case p.Key:
		parts = append(parts, "The key leaves the vault, and so every device. It still works where it was copied to: revoke it at the provider if it may be known.")
	case p.EndsGrant:
		parts = append(parts, "The provider ends the whole grant with this token: your other devices and other logins of the account are logged out too.")
	case p.Revokes:
		parts = append(parts, "Its tokens are given back to the provider and deleted here.")
	default:
		parts = append(parts, "Its tokens are deleted here; there is nothing that the provider could be given back, or no way to.")
	}
	switch {
	case p.Key:
	case everywhere:
		parts = append(parts, "The login leaves the vault, and each device gives back its own tokens when it next opens the vault.")
	default:
		parts = append(parts, "The login stays in the vault, and other devices go on with it.")
	}
	return strings.Join(parts, " ")
}

func (d *Desk) logoutSpec(ctx context.Context, k tui.LoginKey, everywhere bool) (*broker.Broker, broker.LogoutSpec, error) {
	spec := broker.LogoutSpec{Provider: k.Provider, As: k.As, Everywhere: everywhere}
	b, err := d.open(ctx)
	if err != nil {
		return nil, spec, err
	}
	if spec.Profile, err = key(b, k); err != nil {
		return nil, spec, d.advise(err)
	}
	return b, spec, nil
}

// Logout implements tui.Backend.
func (d *Desk) Logout(ctx context.Context, k tui.LoginKey, everywhere bool) (string, error) {
	b, spec, err := d.logoutSpec(ctx, k, everywhere)
	if err != nil {
		return "", err
	}
	result, err := b.Logout(ctx, spec)
	if err != nil {
		return "", d.advise(err)
	}
	note := fmt.Sprintf("profile %s is logged out of %s; %s", k.Profile, name(k.Provider, k.As), outcome(result))
	if result.Note != "" {
		note += "; note: " + result.Note
	}
	return note, nil
}

// outcome says what became of a login's tokens or key.
func outcome(r broker.LogoutResult) string {
	tokens := "no token of it was left"
	switch {
	case r.Key && !r.Revoked:
		return "the key itself still works until it is revoked at the provider"
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

// Imports implements tui.Backend.
func (d *Desk) Imports(ctx context.Context) ([]tui.Importable, error) {
	b, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	var list []tui.Importable
	for _, source := range broker.ImportSources() {
		found, err := b.FindImport(source)
		line := tui.Importable{Source: source, Title: source}
		switch {
		case errors.Is(err, broker.ErrNothingToImport):
			line.Off = "no login there"
		case errors.Is(err, broker.ErrImported):
			line.Off = "taken over already: a placeholder stands there"
		case err != nil:
			line.Off = err.Error()
		default:
			line.Title, line.Path, line.Provider, line.Account, line.Moves = found.Title, found.Path, found.Provider, found.Account, found.Moves
		}
		list = append(list, line)
	}
	return list, nil
}

// Import implements tui.Backend.
func (d *Desk) Import(ctx context.Context, r tui.ImportRequest) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full, err := b.Find(r.Profile)
	if err != nil {
		return "", d.advise(err)
	}
	found, err := b.FindImport(r.Source)
	if errors.Is(err, broker.ErrImported) {
		return "", hint.Wrap(err, "for another login, log in there again first")
	} else if err != nil {
		return "", d.advise(err)
	}
	result, err := b.Import(ctx, broker.ImportSpec{Profile: full, As: r.As, Found: found, Agreed: true, Replace: r.Replace})
	var away *broker.UnreachableError
	switch {
	case errors.Is(err, broker.ErrLoginExists):
		return "", hint.Wrap(err, "say that it is to be replaced, or give it a name of its own")
	case errors.As(err, &away):
		return "", hint.Wrap(err, "check the network and try again")
	case err != nil:
		return "", d.advise(err)
	}
	note := fmt.Sprintf("profile %s is logged in at %s%s", b.Show(full), found.Provider, asWhom(result.Account))
	if found.Moves {
		note += fmt.Sprintf("; %s holds a placeholder now, and what it held is in %s, encrypted to this device", found.Path, result.Backup)
	}
	if result.Note != "" {
		note += "; note: " + result.Note
	}
	return note, nil
}

// asWhom ends a sentence with the account; empty where nobody was asked.
func asWhom(account string) string {
	if account == "" {
		return ""
	}
	return " as " + account
}

// loginThere is a login of a profile by its full name, and how it stands.
func loginThere(b *broker.Broker, full, provider, as string) (l vaultfile.Login, ok bool) {
	for _, l := range b.All().Logins {
		if l.Profile == full && l.Provider == provider && l.As == as {
			return l, true
		}
	}
	return l, false
}
