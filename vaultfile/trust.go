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
	d.AddedBy = i.id
	d.Signature = ed25519.Sign(i.sign, grant(vaultID, d))
}

// signers works out whom to trust in a vault, starting from those whom this
// device trusts already: a device is trusted if a chain of device records
// leads from it to one of them, and none on the way was removed before. Every
// live device of the vault must be reached, else the vault could smuggle a
// recipient in.
func signers(vaultID string, devices []Device, roots map[string][]byte, removed map[string]bool) (map[string][]byte, error) {
	keys := map[string][]byte{}
	for id, key := range roots {
		if !removed[id] {
			keys[id] = key
		}
	}
	pending := make([]*Device, 0, len(devices))
	for i := range devices {
		d := &devices[i]
		if removed[d.ID] {
			return nil, fmt.Errorf("device %q was removed and is back: %w", d.ID, ErrUntrustedDevice)
		}
		if known, ok := keys[d.ID]; ok && !bytes.Equal(known, d.SignKey) {
			return nil, fmt.Errorf("device %q has another signing key than before: %w", d.ID, ErrUntrustedDevice)
		}
		pending = append(pending, d)
	}
	for progress := true; progress && len(pending) > 0; {
		progress = false
		rest := pending[:0]
		for _, d := range pending {
			by := keys[d.AddedBy]
			if len(by) != ed25519.PublicKeySize {
				rest = append(rest, d)
				continue
			}
			if !ed25519.Verify(by, grant(vaultID, d), d.Signature) {
				return nil, fmt.Errorf("device %q: its record's signature is not that of %q: %w", d.ID, d.AddedBy, ErrUntrustedDevice)
			}
			if len(d.SignKey) > 0 {
				keys[d.ID] = d.SignKey
			}
			progress = true
		}
		pending = rest
	}
	if len(pending) > 0 {
		return nil, fmt.Errorf("device %q, added by %q: %w", pending[0].ID, pending[0].AddedBy, ErrUntrustedDevice)
	}
	return keys, nil
}

// verify checks a vault's signature and chain against what is remembered, and
// returns what to remember of its devices.
func (p *payload) verify(c *Contents, digest [32]byte, roots map[string][]byte, removed map[string]bool) (trusted map[string][]byte, gone map[string]bool, err error) {
	if removed[p.signer] {
		return nil, nil, ErrRemovedSigner
	}
	live := map[string]bool{}
	for i := range c.Devices {
		live[c.Devices[i].ID] = true
	}
	gone = maps.Clone(removed)
	if gone == nil {
		gone = map[string]bool{}
	}
	for i := range p.records {
		if r := &p.records[i]; r.typ == "device" && r.deleted {
			gone[r.id[len("device/"):]] = true
		}
	}
	keys, chainErr := signers(p.vaultID, c.Devices, roots, removed)
	key := keys[p.signer]
	if chainErr != nil {
		// Was it the signer that nobody knows? Then that is the news.
		if _, root := roots[p.signer]; !root {
			if !p.chained(c, roots, removed) {
				return nil, nil, fmt.Errorf("signer %q: %w", p.signer, ErrUnknownSigner)
			}
		}
		return nil, nil, chainErr
	}
	switch {
	case gone[p.signer]:
		return nil, nil, ErrRemovedSigner
	case key == nil || !live[p.signer]:
		return nil, nil, fmt.Errorf("signer %q: %w", p.signer, ErrUnknownSigner)
	case !ed25519.Verify(key, sigMessage(digest), p.sig):
		return nil, nil, ErrBadSignature
	}
	trusted = map[string][]byte{}
	for id, k := range keys {
		if live[id] {
			trusted[id] = k
		}
	}
	return trusted, gone, nil
}

// chained reports whether a chain leads from the signer to a root, whatever
// the other devices look like.
func (p *payload) chained(c *Contents, roots map[string][]byte, removed map[string]bool) bool {
	byID := map[string]*Device{}
	for i := range c.Devices {
		byID[c.Devices[i].ID] = &c.Devices[i]
	}
	id := p.signer
	for range len(byID) + 1 {
		d := byID[id]
		if removed[id] {
			return false
		}
		if _, root := roots[id]; root {
			return true
		}
		if d == nil {
			return false
		}
		by := byID[d.AddedBy]
		if k, root := roots[d.AddedBy]; root {
			return !removed[d.AddedBy] && ed25519.Verify(k, grant(p.vaultID, d), d.Signature)
		}
		if by == nil || len(by.SignKey) != ed25519.PublicKeySize || !ed25519.Verify(by.SignKey, grant(p.vaultID, d), d.Signature) {
			return false
		}
		id = d.AddedBy
	}
	return false
}
