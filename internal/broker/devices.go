package broker

import (
	"context"
	"fmt"
	"strings"

	"kb/internal/secret"
	"kb/vaultfile"
)

// NoDeviceError names a device that the vault does not have, or several that it
// cannot tell apart by name.
type NoDeviceError struct {
	Name string
	IDs  []string // of those with that name; none if there is none
}

func (e *NoDeviceError) Error() string {
	if len(e.IDs) == 0 {
		return fmt.Sprintf("find device %q: the vault has none of that name or id", e.Name)
	}
	return fmt.Sprintf("find device %q: the vault has %d of that name: %s", e.Name, len(e.IDs), strings.Join(e.IDs, ", "))
}

// FindDevice finds a device of the vault by its id, or by its name if that is
// the only one.
func (b *Broker) FindDevice(name string) (vaultfile.Device, error) {
	var found []vaultfile.Device
	for _, d := range b.Contents().Devices {
		if d.ID == name {
			return d, nil
		}
		if d.Name == name {
			found = append(found, d)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	e := &NoDeviceError{Name: name}
	for _, d := range found {
		e.IDs = append(e.IDs, d.ID)
	}
	return vaultfile.Device{}, e
}

// RemoveDevice takes a device out of the vault, and returns what it could read.
func (b *Broker) RemoveDevice(ctx context.Context, id string) (vaultfile.RemovedDevice, error) {
	if err := b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.DeleteDevice(id) }); err != nil {
		return vaultfile.RemovedDevice{}, err
	}
	for _, d := range b.Checklist() {
		if d.ID == id {
			return d, nil
		}
	}
	return vaultfile.RemovedDevice{ID: id}, nil
}

// Checklist lists the removed devices and what each could read that was not
// changed since.
func (b *Broker) Checklist() []vaultfile.RemovedDevice {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.selected.file.Checklist()
}

// Rotated takes an item off the checklists.
func (b *Broker) Rotated(ctx context.Context, item string) error {
	return b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.Rotated(item) })
}

// AddPaper makes a recovery key, adds it to the vault, and returns it. It is
// nowhere else.
func (b *Broker) AddPaper(ctx context.Context, name string) (id string, recipient string, key secret.Value, err error) {
	paper, err := vaultfile.NewPaper(name, b.identity.PostQuantum())
	if err != nil {
		return "", "", secret.Value{}, err
	}
	if err := b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.AddPaper(paper) }); err != nil {
		return "", "", secret.Value{}, err
	}
	return paper.ID(), paper.Recipient(), paper.Key(), nil
}

// AddRecipient has the vault encrypted to a recipient that is no device of kb:
// it can read the vault with age and change nothing.
func (b *Broker) AddRecipient(ctx context.Context, name, recipient string) error {
	return b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.AddRecovery(name, recipient) })
}

// VaultID is the vault's own id.
func (b *Broker) VaultID() string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.selected.file.ID()
}

// PostQuantum reports whether the vault's keys are post-quantum.
func (b *Broker) PostQuantum() bool { return b.identity.PostQuantum() }

// deviceAttention lists what is to be seen to about the devices of each vault.
func (b *Broker) deviceAttention() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []string
	for _, v := range b.vaults {
		if v.file == nil {
			continue
		}
		which, flag := "the vault", ""
		if b.several() {
			which, flag = "vault "+v.name, " --vault "+v.name
		}
		if !b.ci && loneDevice(v.contents.Devices) {
			out = append(out, fmt.Sprintf("losing this device loses %s: run kb device add-recovery%s, or kb device join on another device", which, flag))
		}
		for _, d := range v.file.Checklist() {
			if n := len(d.Open); n > 0 {
				out = append(out, fmt.Sprintf("device %s was removed from %s and knows %d of its secrets: run kb device checklist%s", d.Name, which, n, flag))
			}
		}
	}
	return out
}

// loneDevice reports whether the vault is lost with one machine.
func loneDevice(devices []vaultfile.Device) bool {
	n := 0
	for _, d := range devices {
		switch d.Kind {
		case vaultfile.KindDevice:
			n++
		case vaultfile.KindRecovery:
			return false
		}
	}
	return n == 1
}

// ProfileIn is how the profile of that name in the selected vault is called in
// talk and on the command line.
func (b *Broker) ProfileIn(name string) string { return b.Show(b.full(b.selected, name)) }
