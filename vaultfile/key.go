package vaultfile

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// ageKey is the age secret key of a device, of either kind: X25519
// ("AGE-SECRET-KEY-1…"), or age's post-quantum hybrid of ML-KEM-768 and X25519
// ("AGE-SECRET-KEY-PQ-1…").
type ageKey struct {
	age.Identity
	text      string // the secret key, as age writes it
	recipient age.Recipient
	public    string // the recipient, as age writes it
}

// Recipient is what age encrypts to.
func (k *ageKey) Recipient() age.Recipient { return k.recipient }

// Format shows the recipient and no key.
func (k *ageKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "age key of %s", k.public) }

func (k *ageKey) postQuantum() bool { return isHybrid(k.public) }

// Prefixes by which age tells the hybrid kind from the others.
const (
	hybridRecipient = "age1pq1"
	hybridSecret    = "AGE-SECRET-KEY-PQ-1"
)

func isHybrid(recipient string) bool { return strings.HasPrefix(recipient, hybridRecipient) }

// newAgeKey makes a secret key of either kind.
func newAgeKey(postQuantum bool) (*ageKey, error) {
	if postQuantum {
		h, err := age.GenerateHybridIdentity()
		if err != nil {
			return nil, err
		}
		return hybridKey(h), nil
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	return classicKey(x), nil
}

func hybridKey(h *age.HybridIdentity) *ageKey {
	return &ageKey{Identity: h, text: h.String(), recipient: h.Recipient(), public: h.Recipient().String()}
}

func classicKey(x *age.X25519Identity) *ageKey {
	return &ageKey{Identity: x, text: x.String(), recipient: x.Recipient(), public: x.Recipient().String()}
}

// errBadKey stands for age's own error, which quotes the key.
var errBadKey = errors.New("not an age secret key")

// parseAgeKey reads what newAgeKey made, in the one form that age writes.
func parseAgeKey(s string) (*ageKey, error) {
	var k *ageKey
	if strings.HasPrefix(s, hybridSecret) {
		h, err := age.ParseHybridIdentity(s)
		if err != nil {
			return nil, errBadKey
		}
		k = hybridKey(h)
	} else {
		x, err := age.ParseX25519Identity(s)
		if err != nil {
			return nil, errBadKey
		}
		k = classicKey(x)
	}
	if k.text != s {
		return nil, errBadKey
	}
	return k, nil
}
