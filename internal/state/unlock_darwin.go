package state

import (
	"errors"
	"fmt"
	"time"

	"kb/internal/secret"
)

// errDarwin says what to do instead.
var errDarwin = fmt.Errorf("%w: on macOS it is not supported yet; type the passphrase, or keep the identity without one", ErrNoKeyring)

// HoldIdentity is not supported yet on macOS.
func HoldIdentity(string, secret.Value, time.Duration) (Scope, error) { return "", errDarwin }

// HeldIdentity is not supported yet on macOS: nothing is ever held.
func HeldIdentity(string) (secret.Value, error) { return secret.Value{}, ErrNotHeld }

// DropIdentity is not supported yet on macOS: nothing is ever held.
func DropIdentity(string) error { return ErrNotHeld }

// JoinFreshSessionKeyring has nothing to do on macOS.
func JoinFreshSessionKeyring() error { return nil }

// DenyKeyrings is not supported on macOS.
func DenyKeyrings() error { return fmt.Errorf("deny keyrings: %w", errors.ErrUnsupported) }
