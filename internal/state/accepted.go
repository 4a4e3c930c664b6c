package state

import (
	"context"
	"fmt"

	"kb/internal/atomicfile"
)

// VaultMemory is what this device remembers of one vault: the note of the last
// one that it accepted (clock, hash, trusted signers) and that file itself,
// still encrypted. It is a vaultfile.Memory.
type VaultMemory struct {
	store *Store
	name  string
}

// VaultMemory returns the memory for the vault that this device knows by that
// name (see Vaults). The name stands for the place: what is found there is
// compared with what was there before.
func (s *Store) VaultMemory(name string) (*VaultMemory, error) {
	if err := checkVaultName(name); err != nil {
		return nil, err
	}
	return &VaultMemory{s, name}, nil
}

// Lock keeps other writers of the vault on this device out.
func (m *VaultMemory) Lock(ctx context.Context) (unlock func() error, err error) {
	return m.store.Lock(ctx, "vault/"+m.name)
}

// Accepted returns the note of the last accepted vault, nil if there is none.
func (m *VaultMemory) Accepted(context.Context) ([]byte, error) {
	note, ok, err := m.store.Get("accepted/note/" + m.name)
	if err != nil || !ok {
		return nil, err
	}
	return note, nil
}

// Accept keeps a note and its vault file; a nil file leaves the one that is
// kept. The file goes first: a note without its file would promise what is not
// there.
func (m *VaultMemory) Accept(ctx context.Context, note, file []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	durable := atomicfile.Options{Durable: true, Disk: atomicfile.DiskOf(ctx)}
	if file != nil {
		if err := m.store.put("accepted/file/"+m.name, file, durable); err != nil {
			return fmt.Errorf("keep accepted vault: %w", err)
		}
	}
	return m.store.put("accepted/note/"+m.name, note, durable)
}

// Kept returns the last accepted vault file, nil if there is none. A process
// killed within Accept leaves one that is newer than the note.
func (m *VaultMemory) Kept(context.Context) ([]byte, error) {
	b, ok, err := m.store.Get("accepted/file/" + m.name)
	if err != nil || !ok || len(b) == 0 {
		return nil, err
	}
	return b, nil
}

// Forget drops all of it: the next Open of the vault needs a first trust.
func (m *VaultMemory) Forget() error {
	if err := m.store.Delete("accepted/note/" + m.name); err != nil {
		return err
	}
	return m.store.Delete("accepted/file/" + m.name)
}
