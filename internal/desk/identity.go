package desk

import (
	"context"
	"fmt"
	"time"

	"kb/internal/broker"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/tui"
)

// unlockFor is how long an identity stays unlocked where nobody says: a day's
// work, as with kb unlock.
const unlockFor = 8 * time.Hour

// Unlock implements tui.Backend.
func (d *Desk) Unlock(_ context.Context, passphrase secret.Value, lifetime time.Duration) (string, error) {
	if lifetime <= 0 {
		lifetime = unlockFor
	}
	scope, err := broker.Unlock(d.o.Paths, passphrase, lifetime)
	if err != nil {
		return "", d.advise(err)
	}
	until := d.o.Now().Add(lifetime)
	d.drop(until)
	note := "unlocked until " + until.Format("Mon 15:04")
	if scope == state.ScopeUser {
		note += "; there is no login session here, so every process of this user can read the key meanwhile, an agent's too"
	}
	return note, nil
}

// Lock implements tui.Backend. This process forgets the identity too.
func (d *Desk) Lock(context.Context) (string, error) {
	if err := broker.Lock(d.o.Paths); err != nil {
		return "", d.advise(err)
	}
	d.drop(time.Time{})
	return "locked; sessions that run go on with what they have", nil
}

// Init implements tui.Backend. What a passphrase wraps is unlocked at once: who
// has just typed it is not asked for it again.
func (d *Desk) Init(ctx context.Context, v tui.NewVault) (string, error) {
	o := d.o.Broker
	o.Any = false
	made, err := broker.Init(ctx, broker.InitOptions{Options: o, VaultPath: v.Path, Device: v.Device, Passphrase: v.Passphrase})
	if err != nil {
		return "", d.advise(err)
	}
	d.drop(time.Time{})
	note := fmt.Sprintf("vault %s is made", made.Vault)
	if v.Passphrase.IsZero() {
		return note, nil
	}
	unlocked, err := d.Unlock(ctx, v.Passphrase, 0)
	if err != nil {
		return "", err
	}
	return note + ", " + unlocked, nil
}

// drop forgets the open vault, with the identity that opened it; until is when the
// one that opens the next locks, zero where nobody knows.
func (d *Desk) drop(until time.Time) {
	d.opening.Lock()
	defer d.opening.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(nil)
	d.until = until
}
