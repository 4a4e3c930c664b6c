package vaultfile

import (
	"bytes"
	"slices"
)

// A removed device still knows what it has read, and git's history stays
// readable to it. Which secrets it could read follows from the vault itself: a
// secret that was written by someone who knew of the removal was never
// encrypted to the device. So each login and client lists, beside its secrets,
// the devices that were gone when these were written, and all others were
// there. The list is part of the same field as the secrets: no merge parts
// them, and a login that was made beside a removal, and encrypted to the
// removed device, is found too.

// secrets are the canonical bytes of what a login keeps secret: values, and
// references, which say where one is to be found.
func (l *Login) secrets() []byte {
	return slices.Concat(strMap(l.Secrets, reveal), []byte{0}, strMap(l.Refs, same))
}

func (c *Client) secrets() []byte {
	secrets := slices.Concat([]byte(c.ClientSecret.Reveal()), []byte{0}, []byte(c.RegistrationToken.Reveal()))
	if c.SecretRef != "" {
		secrets = slices.Concat(secrets, []byte{0}, []byte(c.SecretRef))
	}
	return secrets
}

// after returns the After of a record that is put with these secrets: as it
// was if they are the same, else every device that is removed by now.
func (tx *Tx) after(typ, key string, secrets []byte) []string {
	if i, ok := tx.index[typ+"/"+key]; ok && !tx.p.records[i].deleted {
		if had, after := secretsOf(&tx.p.records[i]); bytes.Equal(had, secrets) {
			return after
		}
	}
	return removedDevices(tx.p.records)
}

// secretsOf reads a login's or a client's record.
func secretsOf(r *record) (secrets []byte, after []string) {
	switch r.typ {
	case "login":
		l, _ := newDecoder().login(r, r.key())
		return l.secrets(), l.After
	case "client":
		c := newDecoder().client(r, r.key())
		return c.secrets(), c.After
	}
	return nil, nil
}

// exposeTo strikes a device that is removed now from the lists of those that
// were gone before: it was not, and can have put itself there.
func (tx *Tx) exposeTo(device string) {
	for i := range tx.p.records {
		r := &tx.p.records[i]
		if _, after := secretsOf(r); r.deleted || !slices.Contains(after, device) {
			continue
		}
		strike := func(after []string) []string {
			return slices.DeleteFunc(after, func(id string) bool { return id == device })
		}
		switch r.typ {
		case "login":
			l, _ := newDecoder().login(r, r.key())
			l.After = strike(l.After)
			tx.put("login", r.key(), encodeLogin(&l))
		case "client":
			c := newDecoder().client(r, r.key())
			c.After = strike(c.After)
			tx.put("client", r.key(), encodeClient(&c))
		}
	}
}

func removedDevices(records []record) []string {
	var gone []string
	for i := range records {
		if r := &records[i]; r.typ == "device" && r.deleted {
			gone = append(gone, r.key())
		}
	}
	slices.Sort(gone)
	return gone
}

// Exposed is a secret that a removed device could read and that nobody has
// changed since.
type Exposed struct {
	Device string // id of the removed device
	Type   string // "login" or "client"
	Key    string // record id without its type
}

// Exposed lists what is still to be rotated, by removed device and record.
func (f *File) Exposed() []Exposed {
	var out []Exposed
	for _, device := range removedDevices(f.payload.records) {
		for i := range f.payload.records {
			r := &f.payload.records[i]
			if r.deleted || r.typ != "login" && r.typ != "client" {
				continue
			}
			if secrets, after := secretsOf(r); len(secrets) > 1 && !slices.Contains(after, device) {
				out = append(out, Exposed{device, r.typ, r.key()})
			}
		}
	}
	return out
}

// Dismiss takes a secret off the list of what is to be rotated for a removed
// device, for a reason of the user's own: it is no longer valid, say.
func (tx *Tx) Dismiss(e Exposed) error {
	i, ok := tx.index[e.Type+"/"+e.Key]
	if !ok || tx.p.records[i].deleted || !slices.Contains(removedDevices(tx.p.records), e.Device) {
		return invalid(e.Type, e.Key, "nothing of it is to be rotated for that device")
	}
	r := &tx.p.records[i]
	switch e.Type {
	case "login":
		l, _ := newDecoder().login(r, r.key())
		l.After = with(l.After, e.Device)
		tx.put("login", r.key(), encodeLogin(&l))
	case "client":
		c := newDecoder().client(r, r.key())
		c.After = with(c.After, e.Device)
		tx.put("client", r.key(), encodeClient(&c))
	default:
		return invalid(e.Type, e.Key, "only logins and clients hold secrets")
	}
	return nil
}

func with(sorted []string, s string) []string {
	out := append(slices.Clone(sorted), s)
	slices.Sort(out)
	return slices.Compact(out)
}
