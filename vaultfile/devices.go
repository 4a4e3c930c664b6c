package vaultfile

import (
	"bytes"
	"fmt"
	"maps"
)

// PutDevice adds a device, vouching for it as this one, or renames one that is
// there: what it is encrypted to and signs with never changes.
func (tx *Tx) PutDevice(d Device) error {
	if !isDeviceID(d.ID) || !validName(d.Name) {
		return invalid("device", d.ID, "bad id or name")
	}
	if _, err := parseRecipient(d.Recipient); err != nil {
		return fmt.Errorf("put device %q: %w", d.Name, err)
	}
	switch d.Kind {
	case KindDevice:
		if len(d.SignKey) != 32 {
			return invalid("device", d.ID, "no signing key of 32 bytes")
		}
	case KindCI, KindRecovery:
		if len(d.SignKey) != 0 {
			return invalid("device", d.ID, "signing key of one that only reads")
		}
	default:
		return invalid("device", d.ID, "unknown kind")
	}
	if i, ok := tx.index["device/"+d.ID]; ok {
		if tx.p.records[i].deleted {
			return invalid("device", d.ID, "a removed device never comes back under its id")
		}
		was := newDecoder().device(&tx.p.records[i], d.ID)
		if was.Recipient != d.Recipient || !bytes.Equal(was.SignKey, d.SignKey) || was.Kind != d.Kind {
			return invalid("device", d.ID, "keys of a device do not change")
		}
		was.Name = d.Name
		tx.put("device", d.ID, encodeDevice(&was))
		return nil
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

// AddRecovery adds an age recipient (age1...) that can read the vault and
// nothing else: a key on paper.
func (tx *Tx) AddRecovery(name, recipient string) error {
	return tx.PutDevice(Device{ID: tx.newDeviceID(), Name: name, Recipient: recipient, Kind: KindRecovery})
}

func (tx *Tx) newDeviceID() string { return tx.newID("device", "")[:8] + tx.newID("device", "") }

// DeleteDevice removes a device: the vault is no longer encrypted to it, and
// what it signs is not accepted. What it has read it still knows. Devices that
// it had added stay, vouched for by this one.
func (tx *Tx) DeleteDevice(id string) error {
	if id == tx.id.id {
		return fmt.Errorf("delete device %q: a device does not remove itself: %w", id, ErrInvalid)
	}
	if err := tx.remove("device", id); err != nil {
		return err
	}
	tx.vouchForAll()
	return nil
}
