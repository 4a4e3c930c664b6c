package vaultfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kb/internal/secret"
)

// paperLabel derives the signing key of a paper key from its age key, so that
// one line on paper is both.
const paperLabel = "recovery signing"

// Errors of a paper key.
var (
	// ErrPaper: what was typed is no age secret key.
	ErrPaper = errors.New("not a recovery key: one begins with AGE-SECRET-KEY-")
	// ErrPaperReads: the key can read the vault and no more: it was added as
	// a recipient, without a signing key.
	ErrPaperReads = errors.New("this key can read the vault but not bring it back: it was added as a recipient and not by kb device add-recovery")
	// ErrBrokenChain: every device that the paper key vouched for was removed
	// since, and so nothing on the paper says that the vault is genuine.
	ErrBrokenChain = errors.New("no chain of devices leads from the recovery key to the vault's signer")
)

// NewPaper makes a key for paper: an identity that can open the vault and sign
// it, and whose Text is nowhere but where the caller puts it.
func NewPaper(name string, postQuantum bool) (*Identity, error) {
	id, err := newIdentity(name, nil, postQuantum)
	if err != nil {
		return nil, err
	}
	id.signFromAge()
	return id, nil
}

func (i *Identity) signFromAge() {
	seed := i.DeriveKey(paperLabel)
	i.sign = newSigner(seed[:])
}

// Key is the age secret key alone, as a person copies it from paper.
func (i *Identity) Key() secret.Value { return secret.New(i.age.text) }

// AddPaper adds a paper key as a device of kind recovery. Before it is
// forgotten it vouches for every device there is: a chain then leads from the
// paper to them, and by them to those that are added later.
func (tx *Tx) AddPaper(paper *Identity) error {
	if err := tx.PutDevice(Device{ID: paper.id, Name: paper.name, Recipient: paper.Recipient(), SignKey: paper.SignKey(), Kind: KindRecovery}); err != nil {
		return err
	}
	for _, d := range tx.devices() {
		paper.vouch(tx.p.vaultID, &d)
		tx.put("device", d.ID, encodeDevice(&d))
	}
	return nil
}

// Paper is a vault as its recovery key opens it, before anything of it is
// trusted.
type Paper struct {
	VaultID string
	Name    string // of the vault
	Signer  Device // who saved it last; only its id is known if it is no live device
	Saved   time.Time
	Broken  bool // ErrBrokenChain: taking this vault is a person's decision

	path string
	id   *Identity
	mem  Memory
}

// OpenPaper opens the vault at path with the secret key from a recovery key's
// paper, and starts trust from the paper's own signing key. Spaces and line
// breaks in the typed key do not count.
func OpenPaper(ctx context.Context, path string, key secret.Value) (*Paper, error) {
	age, err := parseAgeKey(strings.ToUpper(strings.Join(strings.Fields(key.Reveal()), "")))
	if err != nil {
		return nil, ErrPaper
	}
	id := &Identity{name: "recovery", age: age}
	id.signFromAge()
	p, c, err := look(path, id)
	if err != nil {
		return nil, err
	}
	reads := false
	for i := range c.Devices {
		if d := &c.Devices[i]; d.Recipient == id.Recipient() {
			reads = true
			if bytes.Equal(d.SignKey, id.SignKey()) {
				id.id, id.name = d.ID, d.Name
			}
		}
	}
	switch {
	case id.id == "" && reads:
		return nil, ErrPaperReads
	case id.id == "":
		return nil, ErrWrongKey
	}
	out := &Paper{VaultID: p.vaultID, Name: p.name, Signer: Device{ID: p.signer}, path: path, id: id, mem: NewMemory()}
	for i := range c.Devices {
		if c.Devices[i].ID == p.signer {
			out.Signer = c.Devices[i]
		}
	}
	for i := range p.records {
		if at := time.UnixMilli(p.records[i].stamp.hlc >> hlcBits).UTC(); at.After(out.Saved) {
			out.Saved = at
		}
	}
	if err := FirstTrust(ctx, out.mem, p.vaultID, id.id, id.SignKey()); err != nil {
		return nil, err
	}
	_, err = Open(ctx, path, id, out.mem)
	if errors.Is(err, ErrUnknownSigner) && !errors.Is(err, ErrRemovedSigner) || errors.Is(err, ErrUntrustedDevice) {
		out.Broken = true
		return out, nil
	}
	return out, err
}

// PostQuantum reports whether the vault needs a post-quantum identity.
func (p *Paper) PostQuantum() bool { return p.id.PostQuantum() }

// Recover adds a device to the vault, signed by the paper key, so that every
// device that accepted the paper key accepts it. The new device trusts the
// paper key, and by it the vault. believe takes a vault whose chain is broken.
func (p *Paper) Recover(ctx context.Context, id *Identity, mem Memory, believe bool) (*File, error) {
	if p.Broken {
		if !believe {
			return nil, ErrBrokenChain
		}
		if _, err := Accept(ctx, p.path, p.id, p.mem); err != nil {
			return nil, err
		}
	}
	if _, err := Edit(ctx, p.path, p.id, p.mem, func(tx *Tx) error {
		return tx.PutDevice(Device{ID: id.id, Name: id.name, Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: KindDevice, Created: id.created})
	}); err != nil {
		return nil, err
	}
	if err := FirstTrust(ctx, mem, p.VaultID, p.id.id, p.id.SignKey()); err != nil {
		return nil, err
	}
	return Open(ctx, p.path, id, mem)
}

// look opens a vault without believing it: decrypted and well-formed, and no
// more.
func look(path string, id *Identity) (*payload, *Contents, error) {
	_, raw, _, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	plain, err := unseal(raw, id.age)
	if err != nil {
		return nil, nil, fmt.Errorf("open vault %q: %w", path, err)
	}
	p, _, err := parsePayload(plain)
	if err != nil {
		return nil, nil, fmt.Errorf("open vault %q: %w", path, err)
	}
	c, err := decode(p.records)
	if err != nil {
		return nil, nil, fmt.Errorf("open vault %q: %w", path, err)
	}
	return p, c, nil
}
