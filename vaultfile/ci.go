package vaultfile

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kb/internal/secret"
)

// CI is what a job without a state directory needs to open a vault: one file,
// or the same text in a variable. It only reads. Besides the identity it says
// which vault, whose signature to trust, and how old the vault may be.
//
// The text is an age identity file, as identity.txt is:
//
//	# kb CI identity, format 1. Keep it secret: it opens your vault.
//	# device: ...              as in identity.txt, but without a signing key
//	# ...
//	AGE-SECRET-KEY-1...
//	# vault: 32 hexadecimal digits
//	# clock: 8f14e45fceea167a 12
//	# signer: 8f14e45fceea167a (base64 of the Ed25519 public key)
//
// with one clock line and one signer line for each device, in order of their
// ids.
type CI struct {
	Identity *Identity
	VaultID  string
	Floor    Clock             // an older vault is refused with ErrRollback
	Signers  map[string][]byte // device id -> Ed25519 public key
}

const ciHeader = "# kb CI identity, format 1. Keep it secret: it opens your vault.\n"

// AddCI adds a device of kind ci to the vault and returns what its job needs.
// The result is nowhere else: the caller writes it once.
func AddCI(ctx context.Context, path string, id *Identity, mem Memory, name string) (*File, *CI, error) {
	if !validName(name) {
		return nil, nil, fmt.Errorf("name device %q: %w", name, ErrInvalid)
	}
	key, err := newAgeKey(id.PostQuantum()) // age mixes no kinds
	if err != nil {
		return nil, nil, err
	}
	job := &Identity{name: name, created: time.Now().UTC().Truncate(time.Second), age: key}
	f, err := Edit(ctx, path, id, mem, func(tx *Tx) error {
		job.id = tx.newDeviceID()
		return tx.PutDevice(Device{ID: job.id, Name: name, Recipient: job.Recipient(), Kind: KindCI, Created: job.created})
	})
	if err != nil {
		return f, nil, err
	}
	return f, &CI{Identity: job, VaultID: f.ID(), Floor: f.Clock(), Signers: maps.Clone(f.acc.Trusted)}, nil
}

// Memory is a memory that begins with what the CI file knows and ends with
// the process.
func (c *CI) Memory() Memory {
	a := &accepted{VaultID: c.VaultID, Clock: c.Floor, Trusted: c.Signers, Removed: map[string]bool{}}
	m := NewMemory().(*volatile)
	m.note = a.encode()
	return m
}

// OpenCI reads the vault at path as a CI job.
func OpenCI(ctx context.Context, path string, c *CI) (*File, error) {
	return Open(ctx, path, c.Identity, c.Memory())
}

// Format shows the device id and no key.
func (c *CI) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "CI identity %s", c.Identity.id) }

// IsCI reports whether an identity's text is that of a CI job.
func IsCI(text []byte) bool {
	return strings.HasPrefix(strings.TrimSpace(string(text)), strings.TrimSpace(ciHeader[:len("# kb CI identity")]))
}

// Text is what KB_IDENTITY_FILE holds.
func (c *CI) Text() secret.Value {
	var b strings.Builder
	b.WriteString(ciHeader + c.Identity.body())
	fmt.Fprintf(&b, "# vault: %s\n", c.VaultID)
	for _, id := range slices.Sorted(maps.Keys(c.Floor)) {
		fmt.Fprintf(&b, "# clock: %s %d\n", id, c.Floor[id])
	}
	for _, id := range slices.Sorted(maps.Keys(c.Signers)) {
		fmt.Fprintf(&b, "# signer: %s %s\n", id, base64.StdEncoding.EncodeToString(c.Signers[id]))
	}
	return secret.New(b.String())
}

// ParseCI reads what Text wrote, with the same leniency as ParseIdentity.
func ParseCI(text []byte) (*CI, error) {
	l, err := newLines(text, ciHeader)
	if err != nil {
		return nil, err
	}
	c := &CI{Floor: Clock{}, Signers: map[string][]byte{}}
	if c.Identity, err = l.identity(); err != nil {
		return nil, err
	}
	if c.Identity.sign != nil {
		return nil, l.bad("a CI identity does not sign")
	}
	if c.VaultID, err = l.value("vault"); err != nil {
		return nil, err
	}
	if !isVaultID(c.VaultID) {
		return nil, l.bad("vault id that is not 32 hexadecimal digits")
	}
	last := ""
	for l.has("clock") {
		line, _ := l.value("clock")
		id, count, _ := strings.Cut(line, " ")
		n, err := strconv.ParseUint(count, 10, 53)
		if err != nil || n == 0 || !isDeviceID(id) || strconv.FormatUint(n, 10) != count || id <= last {
			return nil, l.bad("bad clock")
		}
		c.Floor[id], last = n, id
	}
	last = ""
	for l.has("signer") {
		line, _ := l.value("signer")
		id, key, _ := strings.Cut(line, " ")
		k, err := base64.StdEncoding.Strict().DecodeString(key)
		if err != nil || len(k) != ed25519.PublicKeySize || !isDeviceID(id) || id <= last {
			return nil, l.bad("bad signer")
		}
		c.Signers[id], last = k, id
	}
	if len(c.Floor) == 0 || len(c.Signers) == 0 {
		return nil, l.bad("no clock or no signer")
	}
	return c, l.end()
}
