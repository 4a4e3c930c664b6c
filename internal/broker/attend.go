package broker

import (
	"context"
	"errors"
	"slices"

	"kb/internal/refresh"
	"kb/internal/state"
)

// What a process does that looks on for long and is no session: the dashboard.

// KeepFresh keeps the tokens of all logins from expiring, as a session does those
// of its own, until ctx ends. It does first what has waited for this device; told
// hears of it.
func (b *Broker) KeepFresh(ctx context.Context, told func(note string)) {
	for _, line := range b.Upkeep(ctx) {
		told(line)
	}
	b.tokens.Keep(ctx, func() []refresh.Login {
		for _, line := range b.Notes() {
			told(line)
		}
		return b.granted()
	})
}

// granted are the logins that a person granted. Tokens that are made from a
// login's own keys can be had at any time, and are made where they are used.
func (b *Broker) granted() []refresh.Login {
	var kept []refresh.Login
	for _, l := range b.All().Logins {
		if c := b.join(l, pretend); c.problem == "" && c.flows() && c.method.Renews() {
			kept = append(kept, b.upkept(l))
		}
	}
	return kept
}

// Reload reads the vaults anew. One that cannot be read keeps what it held, as
// [Broker.Vaults] tells. stale says that this device now has others, or other
// ones under the same names, and is to be opened anew.
func (b *Broker) Reload(ctx context.Context) (stale bool, err error) {
	if !b.ci {
		list, err := b.store.Vaults()
		if err != nil {
			return false, err
		}
		same := slices.EqualFunc(list, b.vaults, func(s state.Vault, v *vault) bool {
			return s.Name == v.name && s.Path == v.path && s.Default == (v == b.primary)
		})
		if b.registered != (len(list) > 0) || b.registered && !same {
			return true, nil
		}
	}
	_, err = b.reopen(ctx)
	return false, err
}

// Locked reports whether this device's identity is locked by now: its time is
// over, or somebody locked it.
func (b *Broker) Locked() bool {
	if !b.IdentityHeld() {
		return false
	}
	_, err := loadIdentity(b.paths)
	return errors.Is(err, ErrLocked)
}

// Conflicts lists what devices changed apart and nobody settled, each with the
// command that does.
func (b *Broker) Conflicts() []string { return b.conflicts() }

// DeviceAttention lists what a person should see to about the devices of the
// vaults: a vault that is lost with one machine, secrets that a removed device
// knows.
func (b *Broker) DeviceAttention() []string { return b.deviceAttention() }

// ReadableCredentials names the files that an agent of the same user can read.
func (b *Broker) ReadableCredentials() []string { return b.readableCredentials() }
