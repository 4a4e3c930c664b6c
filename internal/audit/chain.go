package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
)

// MAC is one link of a chain: an HMAC-SHA-256. As text it is unpadded
// base64url.
type MAC [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, m[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) != macLen {
		return fmt.Errorf("read mac: %d characters, want %d", len(b), macLen)
	}
	_, err := base64.RawURLEncoding.Strict().Decode(m[:], b)
	return err
}

// chain computes the links of one file.
type chain struct {
	h    hash.Hash
	last MAC
	text [macLen]byte
}

// newChain starts the chain of a session's part. prev is the last MAC of the
// part before, zero for part 1.
func newChain(key [32]byte, session string, part int, prev MAC) *chain {
	c := &chain{h: hmac.New(sha256.New, key[:])}
	b := append([]byte("kb audit 1 file\x00"), session...)
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(part), 10)
	b = append(b, 0)
	c.h.Write(append(b, prev[:]...))
	c.h.Sum(c.last[:0])
	return c
}

// next advances the chain over a line's bytes up to its "mac" member and
// returns the MAC as text, good until the next call.
func (c *chain) next(body []byte) []byte {
	c.h.Reset()
	c.h.Write(c.last[:])
	c.h.Write(body)
	c.h.Sum(c.last[:0])
	base64.RawURLEncoding.Encode(c.text[:], c.last[:])
	return c.text[:]
}

// KeyID names an audit key without telling anything of it. A file's sealed
// head carries it, so that a wrong key is told from a tampered file.
func KeyID(key [32]byte) string {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte("kb audit 1 key id"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}
