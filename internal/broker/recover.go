package broker

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kb/internal/secret"
	"kb/internal/state"
	"kb/vaultfile"
)

// Recovery is a vault as the key on paper opens it.
type Recovery struct {
	*vaultfile.Paper
	o RecoverOptions
	b *Broker
}

// RecoverOptions are for Recover.
type RecoverOptions struct {
	Options
	VaultPath string // empty means the config folder
	VaultName string // what this device calls the vault; empty means "default"
	Device    string // name of the device; empty means the host's
}

// Recover opens a vault with a recovery key, on a device that has none. The
// result's Finish makes the device's identity and adds it.
func Recover(ctx context.Context, o RecoverOptions, key secret.Value) (*Recovery, error) {
	b := newBroker(o.Options)
	if err := CheckVaultName(joinName(o.VaultName)); err != nil {
		return nil, err
	}
	path, err := b.joinPath(o.VaultPath)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", ErrNoVault, path)
	}
	paper, err := vaultfile.OpenPaper(ctx, path, key)
	if err != nil {
		return nil, err
	}
	b.vaultPath = path
	return &Recovery{paper, o, b}, nil
}

// Finish makes this device's identity, unless it has one, and adds it to the
// vault, signed by the paper key. believe takes a vault that no chain from the
// paper leads to, which is a person's decision. A passphrase wraps the
// identity; an empty one leaves it in the clear.
func (r *Recovery) Finish(ctx context.Context, believe bool, passphrase secret.Value) (InitResult, error) {
	var result InitResult
	if r.Broken && !believe {
		return result, vaultfile.ErrBrokenChain
	}
	b := r.b
	var err error
	switch b.identity, err = loadIdentity(b.paths); {
	case err == nil && !passphrase.IsZero():
		return result, ErrIdentity
	case err == nil:
		result.Added = true
	case errors.Is(err, ErrNoIdentity):
		b.identity, err = b.newIdentity(InitOptions{Device: r.o.Device, Passphrase: passphrase, PostQuantum: r.PostQuantum()})
	}
	if err != nil {
		return result, err
	}
	if b.identity.PostQuantum() != r.PostQuantum() {
		return result, &KindError{PostQuantum: r.PostQuantum()}
	}
	path, name := b.vaultPath, joinName(r.o.VaultName)
	if err := b.openState(b.paths.State); err != nil {
		return result, err
	}
	if err := b.notYet(ctx, name); err != nil {
		return result, err
	}
	memory, err := b.store.VaultMemory(name)
	if err != nil {
		return result, err
	}
	result.Identity, result.Vault, result.Name = b.identityFile(), path, name
	if _, err := r.Recover(ctx, b.identity, memory, believe); err != nil {
		return result, err
	}
	if err := b.store.RemoveJoin(name); err != nil {
		return result, err
	}
	return result, b.store.PutVault(ctx, state.Vault{Name: name, Path: path})
}
