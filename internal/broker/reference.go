package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/vaultfile"
)

// references resolves the references of a login, whose Profile is a full name.
// Those in another vault than the default one are resolved only if a person on
// this device gave them to that very login: whoever writes a shared vault could
// else name any file or variable of this device, and a host to send it to.
func (b *Broker) references(l vaultfile.Login) func(field, ref string) (secret.Value, error) {
	return func(field, ref string) (secret.Value, error) {
		if !b.wantedHere(l, field, ref) {
			return secret.Value{}, fmt.Errorf("use %q: another device put this reference into vault %q, and nobody has accepted it here (kb login %s -p %s --from REF --replace)",
				ref, b.VaultOf(l.Profile), l.Provider, b.Show(l.Profile))
		}
		return secretref.Resolve(ref, b.getenv)
	}
}

// wantedHere reports whether a login's reference may be resolved.
func (b *Broker) wantedHere(l vaultfile.Login, field, ref string) bool {
	v, name := b.split(l.Profile)
	if v == b.primary {
		return true
	}
	uses, err := b.store.References(v.name)
	l.Profile = name
	return err == nil && slices.Contains(uses, b.referenceUse(v, l, field, ref))
}

// wantHere keeps that this device's user gave a login its references.
func (b *Broker) wantHere(ctx context.Context, v *vault, l vaultfile.Login) error {
	if v == b.primary {
		return nil
	}
	for _, field := range slices.Sorted(maps.Keys(l.Refs)) {
		if err := b.store.AcceptReference(ctx, v.name, b.referenceUse(v, l, field, l.Refs[field])); err != nil {
			return err
		}
	}
	return nil
}

// referenceUse is what a reference is for: the login, the field, and what says
// where it goes, with the vault's own definition of the provider if it has one.
// The Profile is as the vault has it.
func (b *Broker) referenceUse(v *vault, l vaultfile.Login, field, ref string) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	definition := ""
	for _, p := range v.contents.Providers {
		if p.Name == l.Provider {
			sum := sha256.Sum256([]byte(p.TOML))
			definition = hex.EncodeToString(sum[:])
		}
	}
	return fmt.Sprintf("%s %q %q %q %q %s", vaultfile.LoginID(l.Profile, l.Provider, l.As), l.Method, l.Base, field, ref, definition)
}
