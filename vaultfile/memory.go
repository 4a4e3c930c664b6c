package vaultfile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// Memory is what a device remembers of one vault outside the vault: enough to
// notice that it was swapped, rolled back or forged. It deals in bytes that it
// need not understand; internal/state keeps them encrypted.
type Memory interface {
	// Lock keeps other writers of this vault on this device out until unlock
	// is called. The lock is a file of the device's own, never one in the
	// directory that syncs. It honours ctx.
	Lock(ctx context.Context) (unlock func() error, err error)
	// Accepted returns what Accept was last given as note, nil when nothing.
	// A note that cannot be trusted is an error, not nothing.
	Accepted(ctx context.Context) (note []byte, err error)
	// Accept keeps a note, and the whole vault file that it is about, on the
	// disk, the file first. A nil file leaves the one that is kept; one that
	// is empty removes it. It is called with the lock held.
	Accept(ctx context.Context, note, file []byte) error
	// Kept returns the file that is kept; nil when there is
	// none. After a crash it may be newer than the note.
	Kept(ctx context.Context) (file []byte, err error)
}

// accepted is the note of the last vault that the device accepted.
type accepted struct {
	VaultID string
	Clock   Clock
	Counter uint64            // highest count that this device ever wrote; never given out twice
	File    [32]byte          // SHA-256 of the file
	Payload [32]byte          // SHA-256 of the payload without its signature
	Trusted map[string][]byte // device id -> Ed25519 public key
	Removed map[string]bool   // device ids that were removed; never trusted again
	Former  map[string][]byte // device id -> key of removed devices that were trusted: for history
	// Replacing is the SHA-256 of the file that a save is about to replace,
	// and zero once it has. If a kill came in between, that file is still in
	// the vault's place: no rollback, but a save to be finished with the file
	// that Memory keeps.
	Replacing [32]byte
}

// known reports whether a was made from a vault. What a CI file knows is a
// clock and signers, and no content to compare with.
func (a *accepted) known() bool { return a.Payload != [32]byte{} }

// follow carries on what a knows of a vault that is succeeded by one of these
// keys: who was trusted, and how often this device has counted.
func (a *accepted) follow(keys map[string][]byte) (former map[string][]byte) {
	former = map[string][]byte{}
	maps.Copy(former, a.Former)
	for id, key := range a.Trusted {
		if keys[id] == nil {
			former[id] = key
		}
	}
	return former
}

// note is accepted in JSON.
type note struct {
	Format    int               `json:"format"`
	VaultID   string            `json:"vault_id"`
	Clock     Clock             `json:"clock"`
	Counter   uint64            `json:"counter"`
	File      string            `json:"file"`
	Payload   string            `json:"payload"`
	Trusted   map[string][]byte `json:"trusted"`
	Removed   map[string]bool   `json:"removed"`
	Former    map[string][]byte `json:"former,omitempty"`
	Replacing string            `json:"replacing,omitempty"`
}

func (a *accepted) encode() []byte {
	n := note{
		Format: 1, VaultID: a.VaultID, Clock: a.Clock, Counter: a.Counter,
		File: hex.EncodeToString(a.File[:]), Payload: hex.EncodeToString(a.Payload[:]),
		Trusted: a.Trusted, Removed: a.Removed, Former: a.Former,
	}
	if a.Replacing != [32]byte{} {
		n.Replacing = hex.EncodeToString(a.Replacing[:])
	}
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // maps of strings, bytes and numbers always encode
	}
	return b
}

// load reads the memory's note; nil when there is none.
func load(ctx context.Context, mem Memory) (*accepted, error) {
	b, err := mem.Accepted(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what this device remembers of the vault: %w", err)
	}
	if b == nil {
		return nil, nil
	}
	var n note
	if err := json.Unmarshal(b, &n); err != nil || n.Format != 1 || !isVaultID(n.VaultID) {
		return nil, fmt.Errorf("read what this device remembers of the vault: %w", ErrMalformed)
	}
	a := &accepted{VaultID: n.VaultID, Clock: n.Clock, Counter: n.Counter, Trusted: n.Trusted, Removed: n.Removed, Former: n.Former}
	if n.Replacing != "" {
		if h, err := hex.DecodeString(n.Replacing); err != nil || copy(a.Replacing[:], h) != len(a.Replacing) {
			return nil, fmt.Errorf("read what this device remembers of the vault: %w", ErrMalformed)
		}
	}
	for hexed, to := range map[string][]byte{n.File: a.File[:], n.Payload: a.Payload[:]} {
		if h, err := hex.DecodeString(hexed); err != nil || copy(to, h) != len(to) {
			return nil, fmt.Errorf("read what this device remembers of the vault: %w", ErrMalformed)
		}
	}
	return a, nil
}

// NewMemory returns a Memory that ends with the process: that of a CI job, and
// of tests.
func NewMemory() Memory { return &volatile{sem: make(chan struct{}, 1)} }

type volatile struct {
	sem  chan struct{} // the lock
	mu   sync.Mutex
	note []byte
	file []byte
}

func (v *volatile) Lock(ctx context.Context) (func() error, error) {
	select {
	case v.sem <- struct{}{}:
		return func() error { <-v.sem; return nil }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *volatile) Accepted(context.Context) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.note, nil
}

func (v *volatile) Accept(_ context.Context, note, file []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note = note
	if file != nil {
		v.file = file
	}
	return nil
}

func (v *volatile) Kept(context.Context) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.file, nil
}
