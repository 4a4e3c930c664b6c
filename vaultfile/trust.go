package vaultfile

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
)

// grantPrefix separates a device record's signature from others.
const grantPrefix = "kb device v1\n"

// grant is the message by which one device vouches for another.
func grant(vaultID string, d *Device) []byte {
	var o object
	o.str("id", d.ID)
	o.str("recipient", d.Recipient)
	o.str("sign_key", base64.StdEncoding.EncodeToString(d.SignKey))
	o.str("vault_id", vaultID)
	return append([]byte(grantPrefix), o.done()...)
}

// vouch signs a device record as this device.
func (i *Identity) vouch(vaultID string, d *Device) {
	d.Vouched = maps.Clone(d.Vouched)
	if d.Vouched == nil {
		d.Vouched = map[string][]byte{}
	}
	d.Vouched[i.id] = i.sign.sign(grant(vaultID, d))
}

// signers works out whom to trust in a vault, starting from the roots: those
// whom this device trusts already. A device is trusted if a chain of vouched
// records leads from it to a root, and none on the way was removed before. The
// keys of those that may sign are returned, and the first device that no chain
// reaches, if any, with what is wrong with it.
func signers(vaultID string, devices []Device, roots map[string][]byte, removed map[string]bool) (keys map[string][]byte, stranger error) {
	keys = map[string][]byte{}
	maps.Copy(keys, roots)
	var pending []*Device
	for i := range devices {
		d := &devices[i]
		known, ok := keys[d.ID]
		switch {
		case removed[d.ID]:
			stranger = fmt.Errorf("device %q was removed and is back: %w", d.ID, ErrUntrustedDevice)
		case ok && !bytes.Equal(known, d.SignKey):
			stranger = fmt.Errorf("device %q has another signing key than before: %w", d.ID, ErrUntrustedDevice)
		default:
			pending = append(pending, d)
		}
	}
	for progress := true; progress; {
		progress = false
		rest := pending[:0]
		for _, d := range pending {
			if !d.vouchedBy(vaultID, keys) {
				rest = append(rest, d)
				continue
			}
			progress = true
			if len(d.SignKey) > 0 {
				keys[d.ID] = d.SignKey
			}
		}
		pending = rest
	}
	if stranger == nil && len(pending) > 0 {
		stranger = fmt.Errorf("device %q: %w", pending[0].ID, ErrUntrustedDevice)
	}
	return keys, stranger
}

// vouchedBy reports whether the holder of any of the keys vouches for d.
func (d *Device) vouchedBy(vaultID string, keys map[string][]byte) bool {
	for by, sig := range d.Vouched {
		if key := keys[by]; len(key) == ed25519.PublicKeySize && ed25519.Verify(key, grant(vaultID, d), sig) {
			return true
		}
	}
	return false
}

// verify checks a vault's signer, signature and devices, in this order,
// against what is remembered, and returns what to remember of them: the keys
// to trust and the devices that are gone.
//
// Every live device must be reached by a chain, not the signer alone: the
// vault could else smuggle in a recipient that the next save encrypts to.
//
// A fork, which is to be merged, need not have heard of a removal: it may
// still hold the removed device, and others that this one had added. The
// signer answers for them, to whom a chain must lead past all that are removed.
func (p *payload) verify(c *Contents, digest [32]byte, roots map[string][]byte, removed map[string]bool, fork bool) (trusted map[string][]byte, gone map[string]bool, err error) {
	gone = map[string]bool{}
	maps.Copy(gone, removed)
	for i := range p.records {
		if r := &p.records[i]; r.typ == "device" && r.deleted {
			gone[r.id[len("device/"):]] = true
		}
	}
	keys, stranger := signers(p.vaultID, c.Devices, roots, removed)
	live := map[string]bool{}
	for i := range c.Devices {
		live[c.Devices[i].ID] = true
	}
	key := keys[p.signer]
	switch {
	case gone[p.signer]:
		return nil, nil, ErrRemovedSigner
	case len(key) != ed25519.PublicKeySize || !live[p.signer]:
		return nil, nil, fmt.Errorf("signer %q: %w", p.signer, ErrUnknownSigner)
	case !ed25519.Verify(key, sigMessage(digest), p.sig):
		return nil, nil, ErrBadSignature
	}
	if fork {
		keys, stranger = signers(p.vaultID, c.Devices, roots, nil)
	}
	if stranger != nil {
		return nil, nil, stranger
	}
	trusted = map[string][]byte{}
	for id, k := range keys {
		if live[id] && !gone[id] {
			trusted[id] = k
		}
	}
	return trusted, gone, nil
}
