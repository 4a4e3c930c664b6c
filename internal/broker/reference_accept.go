package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/vaultfile"
)

// Reference is a reference that a vault holds, and how it stands on this
// device.
type Reference struct {
	Profile  string // as Show calls it; empty for a client's secret
	Provider string
	As       string
	Client   string // name of the client whose secret it is; empty for a login's
	Field    string
	Ref      string
	Vault    string
	Goes     string // where the value is sent: hosts, or a client's authorization server
	Reads    string // what it reads or runs here; empty for nothing on this device
	Agreed   bool   // it may be used here
	Problem  string // why it cannot be, whoever agrees

	full string // of Profile
	home *vault
	use  func(secretref.Source) string
}

// References lists the references of all open vaults, by vault, profile and
// field. It resolves none.
func (b *Broker) References(ctx context.Context) ([]Reference, error) {
	var list []Reference
	for _, l := range b.All().Logins {
		v, name := b.split(l.Profile)
		at := l
		at.Profile = name
		for _, field := range slices.Sorted(maps.Keys(l.Refs)) {
			ref := l.Refs[field]
			list = append(list, Reference{
				Profile: b.Show(l.Profile), Provider: l.Provider, As: l.As, Field: field, Ref: ref, Vault: v.name, Goes: b.goesTo(l),
				full: l.Profile, home: v, use: func(s secretref.Source) string { return b.referenceUse(v, at, field, ref, s) },
			})
		}
	}
	for _, v := range b.vaults {
		b.mu.RLock()
		contents := v.contents
		b.mu.RUnlock()
		for _, c := range contents.Clients {
			for _, l := range usersOf(c, contents.Logins) {
				list = append(list, Reference{
					Provider: l.Provider, Client: c.Name, Field: "client secret", Ref: c.SecretRef, Vault: v.name,
					Goes: strings.TrimSuffix("the authorization server of "+l.Provider+" "+l.Base, " "),
					home: v, use: func(s secretref.Source) string { return b.clientUse(v, l, c, s) },
				})
			}
		}
	}
	for i := range list {
		if err := b.standOf(ctx, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// usersOf are the logins, one for each address, for which a client's secret is
// fetched, if it is a reference: those that name the client, else one at the
// provider that its own name names.
func usersOf(c vaultfile.Client, logins []vaultfile.Login) []vaultfile.Login {
	if c.SecretRef == "" {
		return nil
	}
	var users []vaultfile.Login
	for _, l := range logins {
		known := slices.ContainsFunc(users, func(u vaultfile.Login) bool { return u.Provider == l.Provider && u.Base == l.Base })
		if !known && (l.Client == c.Name || clientName(l.Provider, l.Base) == c.Name) {
			users = append(users, l)
		}
	}
	if users == nil {
		provider, _, _ := strings.Cut(c.Name, "@")
		users = []vaultfile.Login{{Provider: provider}}
	}
	return users
}

// standOf fills in how a reference stands.
func (b *Broker) standOf(ctx context.Context, r *Reference) error {
	if err := b.refs().Changed(r.Ref); err != nil {
		r.Problem = err.Error()
	}
	source, err := b.refs().Source(ctx, r.Ref)
	if err != nil {
		r.Problem = err.Error()
		return nil
	}
	r.Reads = source.String()
	if r.Agreed = !b.asksFor(r.home, r.Ref); !r.Agreed {
		uses, err := b.store.References(r.home.name)
		if err != nil {
			return err
		}
		r.Agreed = slices.Contains(uses, r.use(source))
	}
	return nil
}

// goesTo says where a login's values are sent.
func (b *Broker) goesTo(l vaultfile.Login) string {
	definition, err := b.Definition(l.Profile, l.Provider, l.Base)
	if err != nil {
		return "no host: " + err.Error()
	}
	return strings.Join(definition.Hosts, " ")
}

// Afresh says what a reference would read, run or ask here if that were looked
// for now; empty for nothing on this device.
func (b *Broker) Afresh(ctx context.Context, r Reference) (string, error) {
	return afresh(ctx, secretref.New(b.refOptions()), r.Ref)
}

func afresh(ctx context.Context, resolver *secretref.Resolver, ref string) (string, error) {
	source, err := resolver.Source(ctx, ref)
	if err != nil {
		return "", err
	}
	needs, err := resolver.Needs(ctx, ref)
	return strings.Trim(source.String()+", "+needs, ", "), err
}

// AcceptReference keeps that a person on this device agrees to a reference,
// which does here what Afresh said.
func (b *Broker) AcceptReference(ctx context.Context, r Reference, agreed string) error {
	if err := b.refs().Renew(ctx, r.Ref); err != nil {
		return err
	}
	now, err := afresh(ctx, b.refs(), r.Ref)
	if err != nil {
		return err
	}
	source, err := b.refs().Source(ctx, r.Ref)
	if err != nil {
		return err
	}
	if now != agreed {
		return fmt.Errorf("agree to %q: it is another file or program than a moment ago", r.Ref)
	}
	if !b.asksFor(r.home, r.Ref) {
		return nil
	}
	return b.store.AcceptReference(ctx, r.home.name, r.use(source))
}

// clientSecret is the secret of an OAuth client in a vault, for a login there,
// fetched if it is a reference.
func (b *Broker) clientSecret(ctx context.Context, v *vault, l vaultfile.Login, c vaultfile.Client) (secret.Value, error) {
	if c.SecretRef == "" {
		return c.ClientSecret, nil
	}
	return b.refs().Resolve(ctx, c.SecretRef, func(source secretref.Source) error {
		if !b.asksFor(v, c.SecretRef) {
			return nil
		}
		uses, err := b.store.References(v.name)
		if err != nil {
			return err
		}
		if slices.Contains(uses, b.clientUse(v, l, c, source)) {
			return nil
		}
		return &UnagreedError{c.SecretRef, v.name, source, "kb reference accept " + l.Provider}
	})
}

// wantClient keeps that this device's user gave a client its reference.
func (b *Broker) wantClient(ctx context.Context, v *vault, l vaultfile.Login, c vaultfile.Client) error {
	if c.SecretRef == "" || !b.asksFor(v, c.SecretRef) {
		return nil
	}
	source, err := b.refs().Source(ctx, c.SecretRef)
	if err != nil {
		return err
	}
	return b.store.AcceptReference(ctx, v.name, b.clientUse(v, l, c, source))
}

// clientUse is what a client's reference is for, as referenceUse says it of a
// login's: whoever writes the vault can name the client in any login there, and
// that login's server is where the value is sent.
func (b *Broker) clientUse(v *vault, l vaultfile.Login, c vaultfile.Client, source secretref.Source) string {
	return fmt.Sprintf("client/%s %q %q %q %q %q %s %q", c.Name, c.Issuer, c.ClientID, c.SecretRef, l.Provider, l.Base, b.ownDefinition(v, l.Provider), source.String())
}

// ownDefinition is the hash of a vault's own definition of a provider, empty
// when it has none.
func (b *Broker) ownDefinition(v *vault, provider string) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, p := range v.contents.Providers {
		if p.Name == provider {
			sum := sha256.Sum256([]byte(p.TOML))
			return hex.EncodeToString(sum[:])
		}
	}
	return ""
}
