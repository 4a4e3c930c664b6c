package vaultfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"kb/internal/secret"
)

// Identity is what makes a device: the age key that opens vaults and the
// Ed25519 key that signs them. A ci identity has no signing key.
//
// It is kept as text that age itself reads as an identity file, so that
// "age -d -i identity.txt vault.age" opens a vault without kb:
//
//	# kb identity, format 1. Keep it secret: it opens your vault.
//	# device: 8f14e45fceea167a
//	# name: laptop
//	# created: 2026-11-23T17:00:00Z
//	# public key: age1...
//	# signing key: (base64 of the Ed25519 seed, 32 bytes)
//	AGE-SECRET-KEY-1...
type Identity struct {
	id      string
	name    string
	created time.Time
	age     *ageKey
	sign    *signer // nil for ci
}

// signer is the signing key, made from its seed when something is signed:
// making the public half takes 1 ms, a tenth of what opening a vault may cost.
type signer struct {
	seed []byte
	key  func() ed25519.PrivateKey
}

func newSigner(seed []byte) *signer {
	return &signer{seed: seed, key: sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seed) })}
}

func (s *signer) sign(message []byte) []byte { return ed25519.Sign(s.key(), message) }

const identityHeader = "# kb identity, format 1. Keep it secret: it opens your vault.\n"

// NewIdentity makes the keys of a new device. Nil random means crypto/rand;
// another source is for tests, and is used for everything but the age key.
func NewIdentity(name string, random io.Reader) (*Identity, error) {
	return newIdentity(name, random, false)
}

// NewHybridIdentity does, with an age key that is safe against quantum
// computers (ML-KEM-768 and X25519). age encrypts no file both to such a key
// and to another kind: all devices of a vault are of one kind.
func NewHybridIdentity(name string, random io.Reader) (*Identity, error) {
	return newIdentity(name, random, true)
}

func newIdentity(name string, random io.Reader, postQuantum bool) (*Identity, error) {
	if random == nil {
		random = rand.Reader
	}
	if !validName(name) {
		return nil, fmt.Errorf("name device %q: %w", name, ErrInvalid)
	}
	var b [8 + ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, err
	}
	key, err := newAgeKey(postQuantum)
	if err != nil {
		return nil, err
	}
	return &Identity{
		id: newHex(b[:8]), name: name, created: time.Now().UTC().Truncate(time.Second),
		age: key, sign: newSigner(bytes.Clone(b[8:])),
	}, nil
}

// ID is the device id: 16 hexadecimal digits.
func (i *Identity) ID() string { return i.id }

// Name is what a person calls the device.
func (i *Identity) Name() string { return i.name }

// Recipient is the age recipient of the device: age1..., or age1pq1... if it
// is post-quantum.
func (i *Identity) Recipient() string { return i.age.public }

// PostQuantum reports whether the age key is a hybrid one.
func (i *Identity) PostQuantum() bool { return i.age.postQuantum() }

// SignKey is the public half of the signing key, nil if it may not sign.
func (i *Identity) SignKey() ed25519.PublicKey {
	if i.sign == nil {
		return nil
	}
	return i.sign.key().Public().(ed25519.PublicKey)
}

// Age is the identity for age itself.
func (i *Identity) Age() age.Identity { return i.age }

// Seal encrypts what this device alone may open again, as an armored age file.
func (i *Identity) Seal(plain secret.Value) ([]byte, error) {
	return seal([]byte(plain.Reveal()), i.age.Recipient())
}

// DeriveKey makes a key of the device's own for one purpose, which the label
// names: HKDF-SHA-256 (RFC 5869) over the age secret key.
func (i *Identity) DeriveKey(label string) [32]byte {
	k, err := hkdf.Key(sha256.New, []byte(i.age.text), nil, "kb device key v1: "+label, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return [32]byte(k)
}

// Format shows the device id and no key.
func (i *Identity) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "identity of device %s", i.id)
}

// MarshalJSON shows the device id and no key.
func (i *Identity) MarshalJSON() ([]byte, error) { return []byte(`"` + i.id + `"`), nil }

// validName: what stands on one line of a comment, and on a screen.
func validName(s string) bool {
	return validText(s) && s != "" && len(s) <= 128 && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 })
}

// Text is the identity as identity.txt holds it.
func (i *Identity) Text() secret.Value {
	return secret.New(identityHeader + i.body())
}

func (i *Identity) body() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# device: %s\n# name: %s\n# created: %s\n# public key: %s\n",
		i.id, i.name, i.created.Format(time.RFC3339), i.Recipient())
	if i.sign != nil {
		fmt.Fprintf(&b, "# signing key: %s\n", base64.StdEncoding.EncodeToString(i.sign.seed))
	}
	b.WriteString(i.age.text + "\n")
	return b.String()
}

// maxIdentity bounds an identity file; a CI one with a clock of many devices
// is the longest.
const maxIdentity = 1 << 20

// ParseIdentity reads what Text wrote. Line ends may be CRLF, and white space
// around the whole is ignored; nothing else may differ.
func ParseIdentity(text []byte) (*Identity, error) {
	l, err := newLines(text, identityHeader)
	if err != nil {
		return nil, err
	}
	i, err := l.identity()
	if err != nil {
		return nil, err
	}
	if i.sign == nil {
		return nil, l.bad("no signing key")
	}
	return i, l.end()
}

// lines reads the lines of an identity file in their fixed order.
type lines struct {
	rest []string
	n    int
}

func newLines(text []byte, header string) (*lines, error) {
	if len(text) > maxIdentity {
		return nil, fmt.Errorf("%w: too large", ErrBadIdentity)
	}
	s := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
	l := &lines{rest: strings.Split(s, "\n")}
	if first, _ := l.next(); first+"\n" != header {
		return nil, fmt.Errorf("%w: its first line is not kb's", ErrBadIdentity)
	}
	return l, nil
}

func (l *lines) bad(what string) error {
	return fmt.Errorf("%w: line %d: %s", ErrBadIdentity, l.n, what)
}

func (l *lines) next() (string, bool) {
	if len(l.rest) == 0 {
		return "", false
	}
	line := l.rest[0]
	l.rest, l.n = l.rest[1:], l.n+1
	return line, true
}

// value takes a line "# name: value".
func (l *lines) value(name string) (string, error) {
	if !l.has(name) {
		l.n++
		return "", l.bad("expected " + name)
	}
	line, _ := l.next()
	return line[len("# : ")+len(name):], nil
}

func (l *lines) has(name string) bool {
	return len(l.rest) > 0 && strings.HasPrefix(l.rest[0], "# "+name+": ")
}

func (l *lines) end() error {
	if len(l.rest) > 0 {
		l.n++
		return l.bad("more than an identity")
	}
	return nil
}

func (l *lines) identity() (*Identity, error) {
	i := &Identity{}
	var err error
	if i.id, err = l.value("device"); err != nil {
		return nil, err
	}
	if !isDeviceID(i.id) {
		return nil, l.bad("device id that is not 16 hexadecimal digits")
	}
	if i.name, err = l.value("name"); err != nil {
		return nil, err
	}
	if !validName(i.name) {
		return nil, l.bad("bad name")
	}
	created, err := l.value("created")
	if err != nil {
		return nil, err
	}
	if i.created, err = time.Parse(time.RFC3339, created); err != nil || i.created.UTC().Format(time.RFC3339) != created {
		return nil, l.bad("bad time")
	}
	i.created = i.created.UTC()
	public, err := l.value("public key")
	if err != nil {
		return nil, err
	}
	if l.has("signing key") {
		v, _ := l.value("signing key")
		seed, err := base64.StdEncoding.Strict().DecodeString(v)
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, l.bad("bad signing key")
		}
		i.sign = newSigner(seed)
	}
	line, _ := l.next()
	if i.age, err = parseAgeKey(line); err != nil {
		return nil, l.bad("bad age identity")
	}
	if public != i.Recipient() {
		return nil, l.bad("public key is not that of the secret key")
	}
	return i, nil
}

// defaultWorkFactor: scrypt with N = 2^18 takes about a second and 256 MB.
const defaultWorkFactor = 18

// maxWorkFactor bounds what a planted identity.age can cost: 2^20 is 1 GB.
const maxWorkFactor = 20

// Wrap encrypts the identity with a passphrase, as an armored age file that
// age itself takes with -i. A workFactor of 0 means 18; tests use less.
func (i *Identity) Wrap(passphrase secret.Value, workFactor int) ([]byte, error) {
	r, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return nil, fmt.Errorf("wrap identity: passphrase is empty: %w", ErrInvalid)
	}
	if workFactor == 0 {
		workFactor = defaultWorkFactor
	}
	if workFactor < 1 || workFactor > maxWorkFactor {
		return nil, fmt.Errorf("wrap identity with work factor %d: %w", workFactor, ErrInvalid)
	}
	r.SetWorkFactor(workFactor)
	return seal([]byte(i.Text().Reveal()), r)
}

// IsWrapped reports whether an identity file needs a passphrase.
func IsWrapped(file []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(file), []byte(armor.Header))
}

// Unwrap opens what Wrap made.
func Unwrap(file []byte, passphrase secret.Value) (*Identity, error) {
	if len(file) > maxIdentity {
		return nil, fmt.Errorf("%w: too large", ErrBadIdentity)
	}
	id, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return nil, ErrPassphrase // it is empty
	}
	id.SetMaxWorkFactor(maxWorkFactor)
	text, err := unseal(file, id)
	switch {
	case errors.Is(err, ErrWrongKey):
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBadIdentity, err)
	}
	return ParseIdentity(text)
}
