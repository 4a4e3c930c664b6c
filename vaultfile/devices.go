package vaultfile

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
)

// PutDevice adds a device, vouching for it as this one, or renames one that is
// there: what it is encrypted to and signs with never changes.
func (tx *Tx) PutDevice(d Device) error {
	if !isDeviceID(d.ID) || !validName(d.Name) {
		return invalid("device", d.ID, "bad id or name")
	}
	if err := checkDevice(&d); err != nil {
		return err
	}
	if i, ok := tx.index["device/"+d.ID]; ok {
		if tx.p.records[i].deleted {
			return fmt.Errorf("put device %q: %w", d.Name, ErrDeviceRemoved)
		}
		was := newDecoder().device(&tx.p.records[i], d.ID)
		if was.Recipient != d.Recipient || !bytes.Equal(was.SignKey, d.SignKey) || was.Kind != d.Kind {
			return invalid("device", d.ID, "keys of a device do not change")
		}
		was.Name = d.Name
		tx.put("device", d.ID, encodeDevice(&was))
		return nil
	}
	if err := tx.checkMix(&d); err != nil {
		return err
	}
	if d.Created.IsZero() {
		d.Created = tx.wall
	}
	d.AddedBy, d.Vouched = tx.id.id, nil
	tx.id.vouch(tx.p.vaultID, &d)
	tx.put("device", d.ID, encodeDevice(&d))
	tx.vouchForAll()
	return nil
}

// checkDevice refuses keys that a device of its kind cannot have.
func checkDevice(d *Device) error {
	if _, err := parseRecipient(d.Recipient); err != nil {
		return fmt.Errorf("put device %q: %w", d.Name, err)
	}
	switch d.Kind {
	case KindDevice:
		if len(d.SignKey) != ed25519.PublicKeySize {
			return invalid("device", d.ID, "no signing key of 32 bytes")
		}
	case KindCI:
		if len(d.SignKey) != 0 {
			return invalid("device", d.ID, "signing key of one that only reads")
		}
	case KindRecovery:
		if n := len(d.SignKey); n != 0 && n != ed25519.PublicKeySize {
			return invalid("device", d.ID, "signing key that is not 32 bytes")
		}
		return nil // its secret key is not kb's: any recipient will do
	default:
		return invalid("device", d.ID, "unknown kind")
	}
	if !native(d.Recipient) {
		return fmt.Errorf("put device %q: recipient is not one of kb's own keys: %w", d.Name, ErrUnsupportedRecipient)
	}
	return nil
}

// devices are the live ones, as this edit has left them so far.
func (tx *Tx) devices() []Device {
	var out []Device
	d := newDecoder()
	for i := range tx.p.records {
		if r := &tx.p.records[i]; r.typ == "device" && !r.deleted {
			out = append(out, d.device(r, r.key()))
		}
	}
	return out
}

// vouchForAll has this device vouch for every device there is, so that whoever
// trusts it, such as the one it has just added, finds a chain to each. The
// signatures of devices that are no more go.
func (tx *Tx) vouchForAll() {
	live := map[string]bool{}
	devices := tx.devices()
	for _, d := range devices {
		live[d.ID] = true
	}
	for _, d := range devices {
		if _, done := d.Vouched[tx.id.id]; !done {
			tx.id.vouch(tx.p.vaultID, &d)
		}
		maps.DeleteFunc(d.Vouched, func(by string, _ []byte) bool { return !live[by] })
		tx.put("device", d.ID, encodeDevice(&d))
	}
}

// AddRecovery adds a recipient that can read the vault and nothing else: an
// age one, one of an age plugin (age1NAME1…), or an ssh-ed25519 public key in
// the form of NormalRecipient. A key on paper that can also bring a vault back
// is AddPaper's.
func (tx *Tx) AddRecovery(name, recipient string) error {
	return tx.PutDevice(Device{ID: tx.newDeviceID(), Name: name, Recipient: recipient, Kind: KindRecovery})
}

func (tx *Tx) newDeviceID() string { return tx.newID("device", "")[:8] + tx.newID("device", "") }

// DeleteDevice removes a device: the vault is no longer encrypted to it, and
// what it signs is not accepted. What it has read it still knows: see
// Checklist, for which its name is kept. Devices that it had added stay, vouched
// for by this one.
func (tx *Tx) DeleteDevice(id string) error {
	if id == tx.id.id {
		return fmt.Errorf("delete device %q: %w", id, ErrSelf)
	}
	i, ok := tx.index["device/"+id]
	if !ok || tx.p.records[i].deleted {
		return fmt.Errorf("delete %q: %w", "device/"+id, ErrNotFound)
	}
	was := newDecoder().device(&tx.p.records[i], id)
	if err := tx.remove("device", id); err != nil {
		return err
	}
	tx.vouchForAll()
	tx.exposeTo(id)
	return tx.PutSetting(Setting{Name: removedPrefix + id, Value: was.Name})
}
