// Package secret holds credentials as values that cannot be printed.
//
// A [Value] formats as "[redacted]" through every door the standard library
// offers: fmt with any verb, encoding/json, encoding text, log/slog. The only
// way to the bytes is [Value.Reveal], which is easy to grep for and whose
// callers internal/archtest keeps on a list.
//
// # What it leaves out
//
// Values are not locked in memory and not wiped: Go's collector copies freely,
// and a promise that cannot be kept is worse than none. What keeps a process's
// memory from its neighbours is the isolation tier (docs/threat-model.md).
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Redacted is what a Value shows in place of itself.
const Redacted = "[redacted]"

// ErrControl says that a secret holds CR, LF or NUL, which would let it write
// header lines of its own.
var ErrControl = errors.New("secret holds a line break or NUL")

// Value is a credential. The zero Value is empty. Values are immutable and may
// be copied; they must not be compared with ==, use Equal.
type Value struct {
	// A pointer, because fmt calls no method on an unexported field: it would
	// print a string found there, but prints a pointer as an address.
	p *string
	_ [0]func() // not comparable
}

// New returns the Value of s.
func New(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{p: &s}
}

// Reveal returns the secret itself. Every caller is on archtest's list.
func (v Value) Reveal() string {
	if v.p == nil {
		return ""
	}
	return *v.p
}

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return v.p == nil }

// Equal compares in time that depends on neither content nor length.
func (v Value) Equal(w Value) bool {
	a, b := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(w.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Check returns ErrControl if the secret cannot travel in one header line.
func (v Value) Check() error {
	if strings.ContainsAny(v.Reveal(), "\r\n\x00") {
		return ErrControl
	}
	return nil
}

// String implements fmt.Stringer and shows nothing.
func (Value) String() string { return Redacted }

// GoString implements fmt.GoStringer and shows nothing.
func (Value) GoString() string { return Redacted }

// Format implements fmt.Formatter, so that no verb reaches the string.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalJSON implements json.Marshaler and shows nothing.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler and shows nothing.
func (Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer and shows nothing.
func (Value) LogValue() slog.Value { return slog.StringValue(Redacted) }
